//! Seeded draws of support and query sets of a domain, each adapted to and scored.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use tch::{Device, Kind};

use super::domain::{DomainStart, Scored};
use super::evaluation::{DomainResult, Draw};
use super::evaluator::Evaluator;
use super::held_out::{FoldStreams, Folds};
use super::metrics::Scores;
use super::outcome::Outcome;
use super::safeguard::HeldOut;
use crate::data::{Corpus, DomainId, DomainPool, Episode, EpisodeSampler, ExampleId};
use crate::params::ParamSet;
use crate::seed;
use crate::tasks::Vectors;

/// Texts other than a draw's query set to score on.
#[derive(Clone, Copy)]
pub struct TestTexts<'a> {
    /// The tokenised texts.
    pub corpus: &'a Corpus,
    /// Those to use.
    pub examples: &'a [ExampleId],
}

impl Evaluator<'_> {
    /// `num_draws` draws of one domain by each of `samplers`, each scored on its own query set or on `test` where given; one
    /// result a sampler. Texts are embedded once for all of them. `on_draw` is called after each with its adapted scores.
    ///
    /// # Errors
    /// [`Diverged`](super::evaluator::Diverged), and any error of libtorch.
    pub fn domain(
        &self,
        params: &ParamSet,
        samplers: &[EpisodeSampler],
        (domain, name): (DomainId, &str),
        num_draws: u64,
        test: Option<TestTexts>,
        mut on_draw: impl FnMut(Scores),
    ) -> Result<Vec<DomainResult>> {
        let draws = samplers.iter().map(|sampler| {
            (0..num_draws).map(|draw| sampler.draw(domain, draw)).collect::<Vec<Episode>>()
        });
        let draws: Vec<Vec<Episode>> = draws.collect();
        let own = self.texts_to_embed(draws.iter().flatten(), test.is_none());
        let start = self.start(params, samplers[0].labels_of(domain), &own)?;
        let tested = |test: TestTexts| self.vectors(&start.theta, test.corpus, test.examples);
        let tested = test.map(tested).transpose()?;
        let share = || {
            let tested = tested.as_ref().map(Vectors::share).transpose()?;
            Ok((start.share()?, tested))
        };
        let mut results = Vec::new();
        for (draws, sampler) in draws.iter().zip(samplers) {
            let pool = sampler.pool(domain);
            let work = |evaluator: &Evaluator, (start, tested): &Shared, draw: usize| {
                let scored = match (&test, tested) {
                    (Some(TestTexts { corpus, examples }), Some(vectors)) => {
                        Scored { corpus, examples, vectors }
                    }
                    _ => {
                        let (corpus, vectors) = (evaluator.builder.corpus, &start.vectors);
                        Scored { corpus, examples: &draws[draw].query, vectors }
                    }
                };
                Ok((evaluator.draw(start, pool, &draws[draw], &scored)?, ()))
            };
            let mut scored = Vec::new();
            self.in_parallel(draws.len(), share, work, |draw: Draw, _| {
                on_draw(draw.adapted.scores());
                scored.push(draw);
                Ok(())
            })?;
            results.push(DomainResult::of(name, draws[0].support.len(), scored, self.run_seed));
        }
        Ok(results)
    }

    /// Adapts to the support set of `episode`, drawn from `pool`, and scores before and after.
    fn draw(
        &self,
        start: &DomainStart,
        pool: &DomainPool,
        episode: &Episode,
        scored: &Scored,
    ) -> Result<Draw> {
        let (name, index) = (&pool.name, episode.index);
        let what = format!("domain {name}, draw {index}");
        let stream = format!("adaptation in evaluation/{name}");
        let with_unlabelled;
        let start = match (self.builder.recipe.head.is_made_of_support(), &episode.unlabelled) {
            (true, unlabelled) if !unlabelled.is_empty() => {
                with_unlabelled = start.with_unlabelled(start.vectors.of(unlabelled)?)?;
                &with_unlabelled
            }
            _ => start,
        };
        let adapted = self.adapt(start, &episode.support, &stream, index);
        let adapted = adapted.with_context(|| what.clone())?;
        let support = pool.clone().only(&episode.support);
        let support = match self.builder.recipe.head.is_made_of_support() {
            // Every fold needs a text of every label.
            true => support.with_own_labels(),
            false => support,
        };
        let folds = self.folds(start, &support, index)?;
        let held_out: Vec<&HeldOut> = folds.answers.iter().collect();
        let safeguard = self.safeguard_for(&start.labels);
        let verdict = safeguard.verdict(&held_out, &support.label_counts())?;
        let inner_losses = adapted.losses.f_to_kind(Kind::Double)?.f_to_device(Device::Cpu)?;
        let inner_losses = Vec::try_from(inner_losses)?;
        let zero_step = self.logits(&adapted.start, false, scored, &what)?;
        let answers = match verdict.falls_back {
            true => zero_step.clone(),
            false => {
                let is_moved = self.builder.recipe.moves_encoder();
                let weights = folds.mean_with(adapted.weights, &start.theta)?;
                self.logits(&weights, is_moved, scored, &what)?
            }
        };
        let answers: Vec<_> = answers.iter().map(|row| verdict.calibration.apply(row)).collect();
        let (labels, vectors) = (&start.labels, Some(&start.vectors));
        let leaves_names_out = self.builder.leaves_names_out(&episode.support, labels, vectors)?;
        let truths = scored.truths(&start.labels);
        Ok(Draw {
            zero_step: Outcome::of(&truths, &zero_step),
            adapted: Outcome::of(&truths, &answers),
            num_folds: held_out.len(),
            falls_back: verdict.falls_back,
            leaves_names_out,
            inner_losses,
        })
    }

    /// The folds of the support set of draw number `index`, where the answers depend on them.
    fn folds(&self, start: &DomainStart, support: &DomainPool, index: u64) -> Result<Folds> {
        let num_folds = match self.safeguard.reads_folds() {
            true => self.safeguard.num_folds(support),
            false => 0,
        };
        let stream = format!("safeguard in evaluation/{}", support.name);
        let streams = FoldStreams {
            deal: seed::derive(self.run_seed, &stream, index),
            adaptations: format!("{stream}/{index}"),
        };
        match num_folds {
            0 => Ok(Folds::default()),
            _ => self.hold_out(start, support, num_folds, &streams, |_| ()),
        }
    }

    /// The texts whose vectors before adapting are read: those scored, and those that a head or its steps read.
    fn texts_to_embed<'d>(
        &self,
        draws: impl Iterator<Item = &'d Episode>,
        scores_queries: bool,
    ) -> Vec<ExampleId> {
        let mut read = BTreeSet::new();
        let is_made = self.builder.recipe.head.is_made_of_support();
        for Episode { support, query, unlabelled, .. } in draws {
            if is_made {
                read.extend(unlabelled);
            }
            if self.builder.recipe.reads_whole() || self.safeguard.reads_folds() {
                read.extend(support);
            }
            if scores_queries {
                read.extend(query);
            }
        }
        read.into_iter().collect()
    }
}

/// What every draw of a domain reads: its start, and the vectors of the test texts.
type Shared = (DomainStart, Option<Vectors>);
