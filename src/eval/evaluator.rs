//! What every way to score weights is made of: adapting them to texts of a domain, and answering others.

use anyhow::{Context, Result};
use tch::TchError;
use thiserror::Error;

use super::domain::{DomainStart, Scored};
use super::predict;
use super::safeguard::SafeguardConfig;
use crate::data::{Corpus, ExampleId, LabelSet};
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
    /// What keeps adaptations from doing harm.
    pub safeguard: SafeguardConfig,
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

impl Evaluator<'_> {
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
    ///
    /// # Errors
    /// Any error of libtorch.
    pub(super) fn vectors(
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
        let adapted = self.builder.adapt(theta, support, labels, Some(vectors), seed)?;
        match self.safeguard.share {
            1.0 => Ok(adapted),
            share => adapted.part_of_the_way(share),
        }
    }

    /// The logits of the texts of `scored`, `[texts, labels]`; `is_moved` says whether the encoder of `weights` is another one
    /// than before adapting. `adaptation` names them in an error.
    ///
    /// # Errors
    /// [`Diverged`], and any error of libtorch.
    pub(super) fn logits(
        &self,
        weights: &ParamSet,
        is_moved: bool,
        scored: &Scored,
        adaptation: &str,
    ) -> Result<Vec<Vec<f32>>> {
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
        match rows.iter().flatten().all(|logit| logit.is_finite()) {
            true => Ok(rows),
            false => Err(Diverged { adaptation: adaptation.to_owned() }.into()),
        }
    }
}

fn texts<'a>(corpus: &'a Corpus, examples: &[ExampleId]) -> Vec<&'a [u32]> {
    examples.iter().map(|&id| corpus.tokens_of(id)).collect()
}
