//! Scores weights by adapting them to seeded draws of support sets.

use anyhow::{Context, Result};
use tch::TchError;
use thiserror::Error;

use super::evaluation::{DomainResult, Draw};
use super::metrics::Scores;
use super::outcome::Outcome;
use super::predict;
use crate::data::{Corpus, DomainId, EpisodeSampler, ExampleId};
use crate::machine::workers::Workers;
use crate::params::ParamSet;
use crate::seed;
use crate::tasks::TaskBuilder;

/// Adapts and scores. A draw depends on the run seed, the domain's name and the draw's number
/// only: two checkpoints evaluated with one seed see the same texts in the same order.
pub struct Evaluator<'a> {
    /// Adapts to support sets.
    pub builder: TaskBuilder<'a>,
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
    /// Adapts a copy of `start` to `support`. The order of the minibatches and the dropout masks
    /// come from the run seed, `stream` and `index`.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn adapt(
        &self,
        start: &ParamSet,
        support: &[ExampleId],
        stream: &str,
        index: u64,
    ) -> Result<ParamSet, TchError> {
        self.builder.adapt(start, support, seed::derive(self.run_seed, stream, index))
    }

    /// Calls `work` for the jobs 0 to `num_jobs`, several at once, each with an evaluator that runs one job at a time and a
    /// handle on `start`, and `take` with their results in order.
    ///
    /// # Errors
    /// The first error of either.
    pub fn in_parallel<T: Send>(
        &self,
        start: &ParamSet,
        num_jobs: usize,
        work: impl Fn(&Evaluator, &ParamSet, usize) -> Result<T> + Sync,
        take: impl FnMut(usize, T) -> Result<()>,
    ) -> Result<()> {
        let alone = Evaluator { workers: Workers::one(), ..*self };
        let work = |start: &ParamSet, job| work(&alone, start, job);
        self.workers.run(num_jobs, || Ok(start.share()?), work, take)
    }

    /// How `params` answer labelled examples; `adaptation` names them in an error.
    ///
    /// # Errors
    /// [`Diverged`], and any error of libtorch.
    pub fn score(
        &self,
        params: &ParamSet,
        corpus: &Corpus,
        examples: &[ExampleId],
        adaptation: &str,
    ) -> Result<Outcome> {
        let texts: Vec<&[u32]> = examples.iter().map(|&id| corpus.tokens_of(id)).collect();
        let truth: Vec<u32> = examples.iter().map(|&id| corpus.label_of(id)).collect();
        let classifier = self.builder.classifier;
        let rows = predict::logits(classifier, params, &texts, self.workers)
            .with_context(|| adaptation.to_owned())?;
        if rows.iter().flatten().any(|logit| !logit.is_finite()) {
            return Err(Diverged { adaptation: adaptation.to_owned() }.into());
        }
        Ok(Outcome::of(&truth, &rows))
    }

    /// `num_draws` draws of one domain of `sampler`, each scored on its own query set or on
    /// `test` where given. `on_draw` is called after each with its adapted scores, and may end
    /// the series with an error.
    ///
    /// # Errors
    /// [`Diverged`], and any error of libtorch.
    pub fn domain(
        &self,
        start: &ParamSet,
        sampler: &EpisodeSampler,
        (domain, name): (DomainId, &str),
        num_draws: u64,
        test: Option<TestTexts>,
        mut on_draw: impl FnMut(Scores) -> Result<()>,
    ) -> Result<DomainResult> {
        let name_draw = |index: u64| format!("domain {name}, draw {index}");
        // On texts that are the same for every draw, so is the unadapted outcome.
        let unadapted = test
            .map(|test| self.score(start, test.corpus, test.examples, &name_draw(0)))
            .transpose()?;
        let work = |evaluator: &Evaluator, start: &ParamSet, draw: usize| {
            let index = draw as u64;
            let episode = sampler.draw(domain, index);
            let (corpus, examples) = match test {
                Some(test) => (test.corpus, test.examples),
                None => (evaluator.builder.corpus, episode.query.as_slice()),
            };
            let stream = format!("adaptation in evaluation/{name}");
            let what = name_draw(index);
            let adapted = evaluator.adapt(start, &episode.support, &stream, index);
            let adapted = adapted.with_context(|| what.clone())?;
            let zero_step = match &unadapted {
                Some(outcome) => outcome.clone(),
                None => evaluator.score(start, corpus, examples, &what)?,
            };
            let adapted = evaluator.score(&adapted, corpus, examples, &what)?;
            Ok((Draw { zero_step, adapted }, episode.support.len()))
        };
        let mut draws = Vec::new();
        let mut num_support = 0;
        self.in_parallel(start, num_draws as usize, work, |_, (draw, adapted_to)| {
            num_support = adapted_to;
            let scores = draw.adapted.scores();
            draws.push(draw);
            on_draw(scores)
        })?;
        Ok(DomainResult::of(name, num_support, draws, self.run_seed))
    }
}
