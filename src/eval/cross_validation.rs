//! The adaptation to one domain that is kept, and an estimate of how good it is.

use anyhow::{Context, Result};

use super::bootstrap::Estimate;
use super::domain::{DomainStart, Scored};
use super::evaluator::Evaluator;
use super::metrics::Scores;
use super::outcome::Outcome;
use crate::data::{DomainPool, ExampleId, LabelSet, folds};
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

/// Adapts `params` to all but one fold and scores on the one left out, for each of `num_folds`
/// stratified folds of `pool`. `on_fold` is called after each with its scores.
///
/// # Errors
/// Any error of libtorch.
pub fn cross_validate(
    evaluator: &Evaluator,
    params: &ParamSet,
    pool: &DomainPool,
    num_folds: usize,
    mut on_fold: impl FnMut(Scores),
) -> Result<CrossValidation> {
    let folds = folds(pool, num_folds, evaluator.run_seed);
    let stream = format!("adaptation in cross-validation/{}", pool.name);
    let recipe = evaluator.builder.recipe;
    // Vectors are read by the adaptation, or in the place of a second pass over texts of an encoder that has not moved.
    let read = match recipe.reads_whole() || !recipe.moves_encoder() {
        true => pool.examples_by_label.concat(),
        false => Vec::new(),
    };
    let start = evaluator.start(params, pool.labels.clone(), &read)?;
    let work = |evaluator: &Evaluator, start: &DomainStart, fold: usize| {
        let (train, test) = &folds[fold];
        let what = format!("domain {}, fold {fold}", pool.name);
        let adapted = evaluator.adapt(start, train, &stream, fold as u64);
        let weights = adapted.with_context(|| what.clone())?.weights;
        let (corpus, vectors) = (evaluator.builder.corpus, &start.vectors);
        let scored = Scored { corpus, examples: test, vectors };
        evaluator.score(start, (&weights, recipe.moves_encoder()), &scored, &what)
    };
    let mut outcomes: Vec<Outcome> = Vec::new();
    evaluator.in_parallel(
        folds.len(),
        || Ok(start.share()?),
        work,
        |_, outcome| {
            on_fold(outcome.scores());
            outcomes.push(outcome);
            Ok(())
        },
    )?;
    let pooled = Outcome::pooled(&outcomes.iter().collect::<Vec<_>>());
    let num_folds = outcomes.len();
    let [accuracy, macro_f1] = Estimate::of_clusters(&[outcomes], evaluator.run_seed, |folds| {
        let Scores { accuracy, macro_f1 } = Outcome::pooled(folds).scores();
        [accuracy, macro_f1]
    });
    Ok(CrossValidation { num_folds, pooled, accuracy, macro_f1 })
}

/// Adapts `params` to `support` of a domain with these labels, to be written out: a model whose head has their rows.
///
/// # Errors
/// Any error of libtorch.
pub fn adapt(
    evaluator: &Evaluator,
    params: &ParamSet,
    support: &[ExampleId],
    labels: LabelSet,
    domain: &str,
) -> Result<ParamSet> {
    let read = if evaluator.builder.recipe.reads_whole() { support } else { &[] };
    let start = evaluator.start(params, labels, read)?;
    let adapted = evaluator.adapt(&start, support, &format!("adaptation for keeps/{domain}"), 0);
    Ok(adapted.with_context(|| format!("adapting to {domain}"))?.weights)
}
