//! The adaptation to one domain that is kept, and an estimate of how good it is.

use anyhow::{Context, Result};
use tch::TchError;

use super::bootstrap::Estimate;
use super::evaluator::Evaluator;
use super::held_out::{FoldStreams, Folds};
use super::metrics::Scores;
use super::outcome::Outcome;
use super::predict;
use super::safeguard::{HeldOut, SafeguardConfig, Verdict};
use crate::data::DomainPool;
use crate::params::ParamSet;

/// An adaptation to all texts of a domain, to be written out.
pub struct Kept {
    /// The weights that answer, calibrated: a model whose head has the rows of the domain's labels.
    pub weights: ParamSet,
    /// Whether names of labels were not read, since they do not belong to the texts.
    pub leaves_names_out: bool,
    /// What the folds said.
    pub verdict: Verdict,
    /// How good it is; `None` without folds.
    pub estimate: Option<CrossValidation>,
}

/// k-fold cross-validation of an adaptation: every text is scored once, by the adaptation that did not see it.
#[derive(Clone, Debug)]
pub struct CrossValidation {
    /// Number of folds.
    pub num_folds: usize,
    /// Texts that no fold was scored on, each the only one of its label.
    pub num_left_out: usize,
    /// All folds together.
    pub pooled: Outcome,
    /// Accuracy of the pooled counts; the interval resamples the folds.
    pub accuracy: Estimate,
    /// Macro F1, in the same way.
    pub macro_f1: Estimate,
}

/// Adapts `params` to all texts of `pool`, and to the wordpieces of `unlabelled` ones of its domain. `num_folds` stratified folds,
/// 0 for none, safeguard that. `on_fold` is called after each fold with the scores of its adapted answers, and `before_last`
/// before the adaptation to all texts.
///
/// # Errors
/// [`Diverged`](super::evaluator::Diverged), and any error of libtorch.
pub fn adapt(
    evaluator: &Evaluator,
    params: &ParamSet,
    pool: &DomainPool,
    unlabelled: &[Vec<u32>],
    num_folds: usize,
    on_fold: impl FnMut(Scores),
    before_last: impl FnOnce(),
) -> Result<Kept> {
    let run_seed = evaluator.run_seed;
    let safeguard = evaluator.safeguard_for(&pool.labels);
    let recipe = evaluator.builder.recipe;
    let mut examples = pool.examples_by_label.concat();
    examples.sort_unstable();
    // Vectors are read by the adaptation, or in the place of a second pass over texts of an encoder that has not moved.
    let folds_read = num_folds > 0 && (safeguard.fall_back || !recipe.moves_encoder());
    let read = if recipe.reads_whole() || folds_read { examples.as_slice() } else { &[] };
    let mut start = evaluator.start(params, pool.labels.clone(), read)?;
    if !unlabelled.is_empty() {
        let texts: Vec<&[u32]> = unlabelled.iter().map(Vec::as_slice).collect();
        let (classifier, executor) = (evaluator.builder.classifier, evaluator.executor);
        let features = predict::vectors(classifier, &start.theta, &texts, executor)?;
        start = start.with_unlabelled(features)?;
    }
    let streams = FoldStreams {
        deal: run_seed,
        adaptations: format!("adaptation in cross-validation/{}", pool.name),
    };
    let folds = match num_folds {
        0 => Folds::default(),
        _ => evaluator.hold_out(&start, pool, num_folds, &streams, on_fold)?,
    };
    let counts = pool.label_counts();
    let answers: Vec<&HeldOut> = folds.answers.iter().collect();
    let verdict = safeguard.verdict(&answers, &counts)?;
    let estimate = match num_folds {
        0 => None,
        _ => {
            let num_left_out = pool.len() - pool.num_tested_by_folds();
            let found = CrossValidation::of(&folds.answers, &safeguard, &counts, run_seed)?;
            Some(CrossValidation { num_left_out, ..found })
        }
    };
    before_last();
    let stream = format!("adaptation for keeps/{}", pool.name);
    let adapted = evaluator.adapt(&start, &examples, &stream, 0);
    let adapted = adapted.with_context(|| format!("adapting to {}", pool.name))?;
    let weights = match verdict.falls_back {
        true => adapted.start,
        false => folds.mean_with(adapted.weights, &start.theta)?,
    };
    let (builder, vectors) = (&evaluator.builder, Some(&start.vectors));
    let leaves_names_out = builder.leaves_names_out(&examples, &pool.labels, vectors)?;
    let weights = verdict.calibration.fold_into(&weights, builder.classifier.head())?;
    Ok(Kept { weights, leaves_names_out, verdict, estimate })
}

impl CrossValidation {
    /// The scores of the answers that a safeguard gives for each of `folds` after what the others say.
    fn of(
        folds: &[HeldOut],
        safeguard: &SafeguardConfig,
        counts: &[usize],
        run_seed: u64,
    ) -> Result<Self, TchError> {
        let outcome = |(index, fold): (usize, &HeldOut)| {
            let others = folds.iter().enumerate().filter(|(other, _)| *other != index);
            let others: Vec<&HeldOut> = others.map(|(_, fold)| fold).collect();
            let Verdict { falls_back, calibration, .. } = safeguard.verdict(&others, counts)?;
            let rows = if falls_back { &fold.zero_step } else { &fold.adapted };
            let answers: Vec<Vec<f32>> = rows.iter().map(|row| calibration.apply(row)).collect();
            Ok(Outcome::of(&fold.truths, &answers))
        };
        let outcomes = folds.iter().enumerate().map(outcome);
        let outcomes = outcomes.collect::<Result<Vec<Outcome>, TchError>>()?;
        let pooled = Outcome::pooled(&outcomes.iter().collect::<Vec<_>>());
        let num_folds = outcomes.len();
        let [accuracy, macro_f1] = Estimate::of_clusters(&[outcomes], run_seed, |folds| {
            let Scores { accuracy, macro_f1 } = Outcome::pooled(folds).scores();
            [accuracy, macro_f1]
        });
        Ok(Self { num_folds, num_left_out: 0, pooled, accuracy, macro_f1 })
    }

    /// How it was made, in words.
    pub fn method(&self) -> String {
        let folds = format!("{}-fold cross-validation", self.num_folds);
        match self.num_left_out {
            0 => folds,
            1 => format!("{folds} without the only text of a label"),
            count => format!("{folds} without {count} texts, each the only one of its label"),
        }
    }
}
