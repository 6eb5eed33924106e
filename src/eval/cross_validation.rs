//! Adaptation to one domain for keeps, and an estimate of how good it is.

use anyhow::{Context, Result};

use super::bootstrap::Estimate;
use super::evaluator::Evaluator;
use super::metrics::Scores;
use super::outcome::Outcome;
use crate::data::{DomainPool, ExampleId, folds};
use crate::params::ParamSet;

/// k-fold cross-validation of an adaptation: every text is scored once, by the adaptation that did not see it.
#[derive(Clone, Debug)]
pub struct CrossValidation {
    /// Number of folds.
    pub num_folds: usize,
    /// All folds together.
    pub pooled: Outcome,
    /// Accuracy of the pooled counts; the interval resamples the folds.
    pub accuracy: Estimate,
    /// Macro F1, in the same way.
    pub macro_f1: Estimate,
}

/// Adapts `start` to all but one fold and scores on the one left out, for each of `num_folds`
/// stratified folds of `pool`. `on_fold` is called after each with its scores.
///
/// # Errors
/// Any error of libtorch.
pub fn cross_validate(
    evaluator: &Evaluator,
    start: &ParamSet,
    pool: &DomainPool,
    num_folds: usize,
    mut on_fold: impl FnMut(Scores),
) -> Result<CrossValidation> {
    let folds = folds(pool, num_folds, evaluator.run_seed);
    let stream = format!("adaptation in cross-validation/{}", pool.name);
    let work = |evaluator: &Evaluator, start: &ParamSet, fold: usize| {
        let (train, test) = &folds[fold];
        let what = format!("domain {}, fold {fold}", pool.name);
        let adapted = evaluator.adapt(start, train, &stream, fold as u64);
        let adapted = adapted.with_context(|| what.clone())?;
        evaluator.score(&adapted, evaluator.builder.corpus, test, &what)
    };
    let mut outcomes: Vec<Outcome> = Vec::new();
    evaluator.in_parallel(start, folds.len(), work, |_, outcome| {
        on_fold(outcome.scores());
        outcomes.push(outcome);
        Ok(())
    })?;
    let pooled = Outcome::pooled(&outcomes.iter().collect::<Vec<_>>());
    let num_folds = outcomes.len();
    let [accuracy, macro_f1] = Estimate::of_clusters(&[outcomes], evaluator.run_seed, |folds| {
        let Scores { accuracy, macro_f1 } = Outcome::pooled(folds).scores();
        [accuracy, macro_f1]
    });
    Ok(CrossValidation { num_folds, pooled, accuracy, macro_f1 })
}

/// Adapts `start` to `support`, to be written out.
///
/// # Errors
/// Any error of libtorch.
pub fn adapt(
    evaluator: &Evaluator,
    start: &ParamSet,
    support: &[ExampleId],
    domain: &str,
) -> Result<ParamSet> {
    let stream = format!("adaptation for keeps/{domain}");
    let adapted = evaluator.adapt(start, support, &stream, 0);
    adapted.with_context(|| format!("adapting to {domain}"))
}
