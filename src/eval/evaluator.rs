//! Scores weights by adapting them to seeded draws of support sets.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use tch::Tensor;
use thiserror::Error;

use super::domain::{DomainStart, Scored};
use super::evaluation::{DomainResult, Draw};
use super::metrics::Scores;
use super::predict;
use crate::data::{Corpus, DomainId, Episode, EpisodeSampler, ExampleId};
use crate::machine::workers::Workers;
use crate::params::ParamSet;
use crate::tasks::{HeadRows, TaskBuilder, Vectors};

/// Adapts and scores. A draw depends on the run seed, the domain's name and the draw's number
/// only: two checkpoints evaluated with one seed see the same texts in the same order.
pub struct Evaluator<'a> {
    /// Adapts to support sets.
    pub builder: TaskBuilder<'a>,
    /// The rows of the labels of the dataset in the heads that are evaluated.
    pub head_rows: &'a HeadRows,
    /// Seed of the run.
    pub run_seed: u64,
    /// How many adaptations run at once.
    pub workers: Workers,
}

/// An adaptation whose logits are not finite: its scores would mean nothing.
#[derive(Debug, Error)]
#[error("{adaptation}: the adapted model's logits are not finite; lower inner.lr")]
pub struct Diverged {
    /// Which adaptation, in words.
    pub adaptation: String,
}

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
    /// result a sampler. Texts are embedded once for all of them. `on_draw` is called after each with its adapted scores, and
    /// may end the series with an error.
    ///
    /// # Errors
    /// [`Diverged`], and any error of libtorch.
    pub fn domain(
        &self,
        params: &ParamSet,
        samplers: &[EpisodeSampler],
        (domain, name): (DomainId, &str),
        num_draws: u64,
        test: Option<TestTexts>,
        mut on_draw: impl FnMut(Scores) -> Result<()>,
    ) -> Result<Vec<DomainResult>> {
        let draws = samplers.iter().map(|sampler| {
            (0..num_draws).map(|draw| sampler.draw(domain, draw)).collect::<Vec<Episode>>()
        });
        let draws: Vec<Vec<Episode>> = draws.collect();
        let own = self.texts_to_embed(draws.iter().flatten(), test.is_none());
        let start = DomainStart::new(self, params, samplers[0].labels_of(domain), &own)?;
        let tested = |test: TestTexts| start.vectors_of(self, test.corpus, test.examples);
        let tested = test.map(tested).transpose()?;
        let share = || {
            let tested = tested.as_ref().map(Vectors::share).transpose()?;
            Ok((start.share()?, tested))
        };
        let mut results = Vec::new();
        for draws in &draws {
            let work = |evaluator: &Evaluator, (start, tested): &Shared, draw: usize| {
                let scored = match (&test, tested) {
                    (Some(TestTexts { corpus, examples }), Some(vectors)) => {
                        Scored { corpus, examples, vectors }
                    }
                    _ => {
                        let (corpus, vectors) = (evaluator.builder.corpus, start.vectors());
                        Scored { corpus, examples: &draws[draw].query, vectors }
                    }
                };
                evaluator.draw(start, &draws[draw], name, &scored)
            };
            let mut scored = Vec::new();
            self.in_parallel(draws.len(), share, work, |_, draw: Draw| {
                let scores = draw.adapted.scores();
                scored.push(draw);
                on_draw(scores)
            })?;
            results.push(DomainResult::of(name, draws[0].support.len(), scored, self.run_seed));
        }
        Ok(results)
    }

    /// Adapts to the support set of `episode`, and scores before and after.
    fn draw(
        &self,
        start: &DomainStart,
        episode: &Episode,
        name: &str,
        scored: &Scored,
    ) -> Result<Draw> {
        let what = format!("domain {name}, draw {}", episode.index);
        let stream = format!("adaptation in evaluation/{name}");
        let adapted = start.adapt(self, &episode.support, &stream, episode.index);
        let adapted = adapted.with_context(|| what.clone())?;
        let is_moved = self.builder.recipe.moves_encoder();
        Ok(Draw {
            zero_step: start.score(self, (&adapted.start, false), scored, &what)?,
            adapted: start.score(self, (&adapted.weights, is_moved), scored, &what)?,
        })
    }

    /// Calls `work` for the jobs 0 to `num_jobs`, several at once, each with an evaluator that runs one job at a time and what
    /// `context` makes for its thread, and `take` with their results in order.
    ///
    /// # Errors
    /// The first error of either.
    pub(super) fn in_parallel<C: Send, T: Send>(
        &self,
        num_jobs: usize,
        context: impl FnMut() -> Result<C>,
        work: impl Fn(&Evaluator, &C, usize) -> Result<T> + Sync,
        take: impl FnMut(usize, T) -> Result<()>,
    ) -> Result<()> {
        let alone = Evaluator { workers: Workers::one(), ..*self };
        self.workers.run(num_jobs, context, |context, job| work(&alone, context, job), take)
    }

    /// The vectors of `texts` under `params`, `[texts, hidden]`.
    pub(super) fn embed(&self, params: &ParamSet, texts: &[&[u32]]) -> Result<Tensor> {
        predict::vectors(self.builder.classifier, params, texts, self.workers)
    }

    /// The texts whose vectors before adapting are read: those scored, and those that a head or its steps read.
    fn texts_to_embed<'d>(
        &self,
        draws: impl Iterator<Item = &'d Episode>,
        scores_queries: bool,
    ) -> Vec<ExampleId> {
        let mut read = BTreeSet::new();
        for Episode { support, query, .. } in draws {
            if self.builder.recipe.reads_whole() {
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
