//! Folds of a support set, each scored by the adaptation that did not see it.

use anyhow::{Context, Result};

use super::domain::{DomainStart, Scored};
use super::evaluator::Evaluator;
use super::metrics::Scores;
use super::outcome::Outcome;
use super::safeguard::HeldOut;
use crate::data::{DomainPool, ExampleId};

/// The random numbers of folds: which texts they hold, and how they are adapted to.
pub struct FoldStreams {
    /// The seed of the deal of texts to folds.
    pub deal: u64,
    /// The stream of the adaptations, of which each fold is one.
    pub adaptations: String,
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
    ) -> Result<Vec<HeldOut>> {
        let folds = crate::data::folds(pool, num_folds, streams.deal);
        let work = |evaluator: &Evaluator, start: &DomainStart, fold: usize| {
            let (train, test) = &folds[fold];
            let what = format!("domain {}, fold {fold}", pool.name);
            evaluator.answer_fold(start, train, test, &streams.adaptations, (fold as u64, &what))
        };
        let mut found = Vec::new();
        self.in_parallel(
            folds.len(),
            || Ok(start.share()?),
            work,
            |_, fold: HeldOut| {
                if !fold.truths.is_empty() {
                    on_fold(Outcome::of(&fold.truths, &fold.adapted).scores());
                    found.push(fold);
                }
                Ok(())
            },
        )?;
        Ok(found)
    }

    fn answer_fold(
        &self,
        start: &DomainStart,
        train: &[ExampleId],
        test: &[ExampleId],
        stream: &str,
        (fold, what): (u64, &str),
    ) -> Result<HeldOut> {
        let adapted = self.adapt(start, train, stream, fold);
        let adapted = adapted.with_context(|| what.to_owned())?;
        let (corpus, vectors) = (self.builder.corpus, &start.vectors);
        let scored = Scored { corpus, examples: test, vectors };
        let is_moved = self.builder.recipe.moves_encoder();
        let zero_step = match self.safeguard.fall_back {
            true => self.logits(&adapted.start, false, &scored, what)?,
            false => Vec::new(),
        };
        Ok(HeldOut {
            truths: scored.truths(&start.labels),
            zero_step,
            adapted: self.logits(&adapted.weights, is_moved, &scored, what)?,
        })
    }
}
