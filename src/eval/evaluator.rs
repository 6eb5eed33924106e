//! Scores weights by adapting them to seeded draws of support sets.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use tch::TchError;
use thiserror::Error;

use super::domain::{DomainStart, Scored};
use super::evaluation::{DomainResult, Draw};
use super::metrics::Scores;
use super::outcome::Outcome;
use super::predict;
use crate::data::{Corpus, DomainId, Episode, EpisodeSampler, ExampleId, LabelSet};
use crate::machine::workers::Workers;
use crate::meta::{Adapted, HeadStart};
use crate::model::Pass;
use crate::params::ParamSet;
use crate::seed;
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
        let start = self.start(params, samplers[0].labels_of(domain), &own)?;
        let tested = |test: TestTexts| self.vectors(&start.theta, test.corpus, test.examples);
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
                        let (corpus, vectors) = (evaluator.builder.corpus, &start.vectors);
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
        let adapted = self.adapt(start, &episode.support, &stream, episode.index);
        let adapted = adapted.with_context(|| what.clone())?;
        let is_moved = self.builder.recipe.moves_encoder();
        Ok(Draw {
            zero_step: self.score(start, (&adapted.start, false), scored, &what)?,
            adapted: self.score(start, (&adapted.weights, is_moved), scored, &what)?,
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

    /// `params` with a head for `labels`, and the vectors of `examples`.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub(super) fn start(
        &self,
        params: &ParamSet,
        labels: LabelSet,
        examples: &[ExampleId],
    ) -> Result<DomainStart> {
        let TaskBuilder { classifier, recipe, corpus, .. } = self.builder;
        let theta = self.head_rows.select(params, classifier.head(), &labels, recipe.head)?;
        let names = match recipe.head {
            HeadStart::LabelNames => {
                let names = labels.ids().iter().map(|&label| corpus.name_of(label));
                let names: Vec<&[u32]> = names.collect();
                Some(predict::vectors(classifier, &theta, &names, self.workers)?)
            }
            _ => None,
        };
        let features = predict::vectors(classifier, &theta, &texts(corpus, examples), self.workers);
        let vectors = Vectors::new(examples, features?, names);
        Ok(DomainStart { labels, theta, vectors })
    }

    /// The vectors of texts of any corpus under `theta`.
    fn vectors(
        &self,
        theta: &ParamSet,
        corpus: &Corpus,
        examples: &[ExampleId],
    ) -> Result<Vectors> {
        let texts = texts(corpus, examples);
        let features = predict::vectors(self.builder.classifier, theta, &texts, self.workers)?;
        Ok(Vectors::new(examples, features, None))
    }

    /// Adapts to `support`. The order of the minibatches and the dropout masks come from the run seed, `stream` and `index`.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub(super) fn adapt(
        &self,
        start: &DomainStart,
        support: &[ExampleId],
        stream: &str,
        index: u64,
    ) -> Result<Adapted, TchError> {
        let DomainStart { labels, theta, vectors } = start;
        let seed = seed::derive(self.run_seed, stream, index);
        self.builder.adapt(theta, support, labels, Some(vectors), seed)
    }

    /// How `weights` answer `scored`; `is_moved` says whether their encoder is another one than before adapting. `adaptation`
    /// names them in an error.
    ///
    /// # Errors
    /// [`Diverged`], and any error of libtorch.
    pub(super) fn score(
        &self,
        start: &DomainStart,
        (weights, is_moved): (&ParamSet, bool),
        scored: &Scored,
        adaptation: &str,
    ) -> Result<Outcome> {
        let Scored { corpus, examples, vectors } = scored;
        let classifier = self.builder.classifier;
        let rows = || -> Result<Vec<Vec<f32>>> {
            if is_moved {
                let texts = texts(corpus, examples);
                return predict::logits(classifier, weights, &texts, self.workers);
            }
            let features = vectors.of(examples)?;
            let logits = tch::no_grad(|| classifier.classify(weights, &features, Pass::eval()))?;
            Ok(predict::to_rows(&logits)?)
        };
        let rows = rows().with_context(|| adaptation.to_owned())?;
        if rows.iter().flatten().any(|logit| !logit.is_finite()) {
            return Err(Diverged { adaptation: adaptation.to_owned() }.into());
        }
        let number = |&id: &ExampleId| start.labels.number_of(corpus.label_of(id));
        let truth: Vec<u32> = examples.iter().map(number).collect();
        Ok(Outcome::of(&truth, &rows))
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

fn texts<'a>(corpus: &'a Corpus, examples: &[ExampleId]) -> Vec<&'a [u32]> {
    examples.iter().map(|&id| corpus.tokens_of(id)).collect()
}
