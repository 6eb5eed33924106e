//! Adaptation to one domain for keeps, and an estimate of how good it is.

use anyhow::{Context, Result};

use super::evaluator::Evaluator;
use super::metrics::{Estimate, Scores};
use crate::data::{DomainPool, ExampleId, folds};
use crate::params::ParamSet;

/// k-fold cross-validation of an adaptation.
#[derive(Clone, Debug)]
pub struct CrossValidation {
    /// Scores of each fold.
    pub folds: Vec<Scores>,
    /// Accuracy over the folds.
    pub accuracy: Estimate,
    /// Macro F1 over the folds.
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
    let mut scores: Vec<Scores> = Vec::new();
    evaluator.in_parallel(start, folds.len(), work, |_, found| {
        scores.push(found);
        on_fold(found);
        Ok(())
    })?;
    let values = |value: fn(&Scores) -> f64| scores.iter().map(value).collect::<Vec<_>>();
    Ok(CrossValidation {
        accuracy: Estimate::of(&values(|fold| fold.accuracy)),
        macro_f1: Estimate::of(&values(|fold| fold.macro_f1)),
        folds: scores,
    })
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
