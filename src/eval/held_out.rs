//! Folds of a support set, each scored by the adaptation that did not see it.

use anyhow::{Context, Result};
use tch::TchError;

use super::domain::{DomainStart, Scored};
use super::evaluator::Evaluator;
use super::metrics::Scores;
use super::outcome::Outcome;
use super::safeguard::HeldOut;
use crate::data::{DomainPool, ExampleId};
use crate::machine::device::wait_for;
use crate::params::{ParamSet, Region};
use crate::ranks::Kept;

/// The random numbers of folds: which texts they hold, and how they are adapted to.
pub struct FoldStreams {
    /// The seed of the deal of texts to folds.
    pub deal: u64,
    /// The stream of the adaptations, of which each fold is one.
    pub adaptations: String,
}

/// What folds of a support set leave.
#[derive(Default)]
pub struct Folds {
    /// Their answers.
    pub answers: Vec<HeldOut>,
    /// How far their adaptations moved, added up, and their number; `None` where nobody asks.
    moved: Option<(ParamSet, usize)>,
}

impl Folds {
    /// The mean of `weights`, which `theta` was adapted to, and of the weights of the folds.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub(super) fn mean_with(
        &self,
        weights: ParamSet,
        theta: &ParamSet,
    ) -> Result<ParamSet, TchError> {
        let Some((sum, count)) = &self.moved else { return Ok(weights) };
        // Of ways, not of weights: what no adaptation moved stays as it is to the bit.
        let theta = without_step_sizes(theta);
        let mut mean = weights.difference(&theta)?;
        mean.add_scaled(sum, 1.0)?;
        mean.scale(1.0 / (count + 1) as f64)?;
        mean.add_scaled(&theta, 1.0)?;
        Ok(mean)
    }

    fn add(&mut self, weights: &ParamSet, theta: &ParamSet) -> Result<(), TchError> {
        let moved = weights.difference(theta)?;
        // Before the weights go: their memory returns to the stream of the worker that has adapted them.
        wait_for(moved.device())?;
        match &mut self.moved {
            None => self.moved = Some((moved, 1)),
            Some((sum, count)) => {
                sum.add_scaled(&moved, 1.0)?;
                *count += 1;
            }
        }
        Ok(())
    }
}

fn without_step_sizes(theta: &ParamSet) -> ParamSet {
    theta.select(|slot| slot.region != Region::StepSizes)
}

impl Evaluator<'_> {
    /// Adapts `start` to all but one fold and answers the one left out, for each of `num_folds` stratified folds of `pool`.
    /// `on_fold` is called after each with the scores of its adapted answers.
    ///
    /// # Errors
    /// [`Diverged`](super::evaluator::Diverged), and any error of libtorch.
    pub(super) fn hold_out(
        &self,
        start: &DomainStart,
        pool: &DomainPool,
        num_folds: usize,
        streams: &FoldStreams,
        mut on_fold: impl FnMut(Scores),
    ) -> Result<Folds> {
        let folds = crate::data::folds(pool, num_folds, streams.deal);
        let work = |evaluator: &Evaluator, start: &DomainStart, fold: usize| {
            let (train, test) = &folds[fold];
            let what = format!("domain {}, fold {fold}", pool.name);
            evaluator.answer_fold(start, train, test, &streams.adaptations, (fold as u64, &what))
        };
        let mut found = Folds::default();
        let theta = without_step_sizes(&start.theta);
        self.in_parallel(
            folds.len(),
            || Ok(start.share()?),
            work,
            |fold: HeldOut, weights: Kept<Option<Option<ParamSet>>>| {
                if !fold.truths.is_empty() {
                    on_fold(Outcome::of(&fold.truths, &fold.adapted).scores());
                    found.answers.push(fold);
                    if self.safeguard.average_folds {
                        found.add(&self.everywhere(weights, &theta)?, &theta)?;
                    }
                }
                Ok(())
            },
        )?;
        Ok(found)
    }

    /// The weights of a fold, like `theta`, in all processes.
    fn everywhere(
        &self,
        weights: Kept<Option<Option<ParamSet>>>,
        theta: &ParamSet,
    ) -> Result<ParamSet> {
        let (weights, owner) = match weights {
            Kept::Here(weights) => (weights.flatten(), None),
            Kept::At(rank) => (None, Some(rank)),
        };
        let weights = weights.map_or_else(|| theta.deep_copy(), Ok)?;
        if let Some(group) = self.executor.group() {
            group.take_from(owner.unwrap_or(group.rank()), weights.tensors())?;
        }
        Ok(weights)
    }

    /// What the adaptation to `train` answers to `test`, and its weights where they are asked for.
    fn answer_fold(
        &self,
        start: &DomainStart,
        train: &[ExampleId],
        test: &[ExampleId],
        stream: &str,
        (fold, what): (u64, &str),
    ) -> Result<(HeldOut, Option<ParamSet>)> {
        let adapted = self.adapt(start, train, stream, fold);
        let adapted = adapted.with_context(|| what.to_owned())?;
        let (corpus, vectors) = (self.builder.corpus, &start.vectors);
        let scored = Scored { corpus, examples: test, vectors };
        let is_moved = self.builder.recipe.moves_encoder();
        let zero_step = match self.safeguard.fall_back {
            true => self.logits(&adapted.start, false, &scored, what)?,
            false => Vec::new(),
        };
        let answers = HeldOut {
            truths: scored.truths(&start.labels),
            zero_step,
            adapted: self.logits(&adapted.weights, is_moved, &scored, what)?,
        };
        Ok((answers, self.safeguard.average_folds.then_some(adapted.weights)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::quadratic::{from_values, values};

    #[test]
    fn a_mean_is_over_all_adaptations_and_leaves_the_rest_alone() {
        // Not a number of a few bits: a mean of thirds and sevenths would be off.
        let unmoved = 0.1 + 0.2;
        let theta = from_values(&[unmoved, -2.0]);
        let mut folds = Folds::default();
        for head in [4.0, 1.0] {
            folds.add(&from_values(&[unmoved, head]), &theta).unwrap();
        }
        let mean = folds.mean_with(from_values(&[unmoved, -0.5]), &theta).unwrap();
        let found = values(&mean);
        assert_eq!(found[0].to_bits(), unmoved.to_bits());
        assert!((found[1] - 1.5).abs() < 1e-12, "{found:?}");
        let alone = Folds::default().mean_with(from_values(&[7.0, 8.0]), &theta).unwrap();
        assert_eq!(values(&alone), [7.0, 8.0]);
    }
}
