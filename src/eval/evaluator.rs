//! What every way to score weights is made of: adapting them to texts of a domain, and answering others.

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tch::TchError;
use thiserror::Error;

use super::domain::{DomainStart, Scored};
use super::predict;
use super::safeguard::SafeguardConfig;
use crate::data::{Corpus, ExampleId, LabelSet};
use crate::machine::Workers;
use crate::meta::{Adapted, HeadStart};
use crate::model::Pass;
use crate::params::ParamSet;
use crate::ranks::{Executor, Kept};
use crate::seed;
use crate::tasks::{HeadRows, TaskBuilder, Vectors};

/// Adapts and scores. A draw depends on the run seed, the domain's name and the draw's number
/// only: two checkpoints evaluated with one seed see the same texts in the same order.
pub struct Evaluator<'a> {
    /// Adapts to support sets.
    pub builder: TaskBuilder<'a>,
    /// The rows of the labels of the dataset in the heads that are evaluated.
    pub head_rows: &'a HeadRows,
    /// Whether their heads were trained to answer as they are.
    pub is_classifier: bool,
    /// Seed of the run.
    pub run_seed: u64,
    /// What keeps adaptations from doing harm.
    pub safeguard: SafeguardConfig,
    /// Who computes its draws, folds and vectors.
    pub executor: Executor<'a>,
}

/// An adaptation whose logits are not finite: its scores would mean nothing.
#[derive(Debug, Serialize, Deserialize, Error)]
#[error("{adaptation}: the adapted model's logits are not finite; lower inner.lr")]
pub struct Diverged {
    /// Which adaptation, in words.
    pub adaptation: String,
}

impl Evaluator<'_> {
    /// Calls `work` for the jobs 0 to `num_jobs`, several at once, each with an evaluator that runs one job at a time and what
    /// `context` makes for its thread, and `take` with their results in order. The second part of a result stays in the process
    /// that has computed it.
    ///
    /// # Errors
    /// The first error of either. [`Diverged`] is that in all processes.
    pub(super) fn in_parallel<C: Send, T: Serialize + DeserializeOwned + Send, L: Send>(
        &self,
        num_jobs: usize,
        context: impl FnMut() -> Result<C>,
        work: impl Fn(&Evaluator, &C, usize) -> Result<(T, L)> + Sync,
        mut take: impl FnMut(T, Kept<Option<L>>) -> Result<()>,
    ) -> Result<()> {
        let Self { builder, head_rows, is_classifier, run_seed, safeguard, .. } = *self;
        let work = |context: &C, job: usize| {
            let executor = Executor::new(Workers::one());
            let alone =
                Evaluator { builder, head_rows, is_classifier, run_seed, safeguard, executor };
            match work(&alone, context, job) {
                Ok((result, kept)) => Ok((Ok(result), Some(kept))),
                Err(error) => Ok((Err(error.downcast::<Diverged>()?), None)),
            }
        };
        self.executor.run_keeping(num_jobs, context, work, |_, result, kept| take(result?, kept))
    }

    /// The safeguard of adaptations to a domain that has these labels.
    pub(super) fn safeguard_for(&self, labels: &LabelSet) -> SafeguardConfig {
        let knows_labels = self.is_classifier && self.head_rows.know(labels);
        self.safeguard.for_head(self.builder.recipe.head, knows_labels)
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
                Some(predict::vectors(classifier, &theta, &names, self.executor)?)
            }
            _ => None,
        };
        let features =
            predict::vectors(classifier, &theta, &texts(corpus, examples), self.executor);
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
        let features = predict::vectors(self.builder.classifier, theta, &texts, self.executor)?;
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
                return predict::logits(classifier, weights, &texts, self.executor);
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
