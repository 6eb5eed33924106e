//! A training run: outer steps, with evaluations and checkpoints on the way, until an end is reached.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::Result;
use serde_json::Value;
use tch::TchError;

use super::dev_set::DevSet;
use super::exchange::agree;
use super::outer_loop::OuterLoop;
use super::recorder::Recorder;
use crate::eval::evaluator::Diverged;
use crate::meta::{Learner, Task};
use crate::params::ParamSet;
use crate::run::{Machine, TrainingState};

/// Why training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are done.
    Completed,
    /// No better evaluation for `patience` evaluations.
    EarlyStopping,
    /// A signal of this number asked for it.
    Interrupted(usize),
}

/// Everything a run is made of but the state that it changes.
pub struct Training<'a, L: Learner, T> {
    /// Takes the outer steps.
    pub outer_loop: OuterLoop<'a, L, T>,
    /// Adaptation steps in one task, for the progress bar.
    pub num_support_steps: usize,
    /// Chooses the best checkpoint and stops early; absent without meta-dev domains.
    pub dev: Option<DevSet<'a>>,
    /// Events, checkpoints, console.
    pub recorder: Recorder<'a>,
    /// The number of a signal that asked for a stop; 0 for none.
    pub stop: &'a AtomicUsize,
}

impl<L, T> Training<'_, L, T>
where
    L: Learner,
    T: Fn(&ParamSet, u64) -> Result<Task<L::Batch>, TchError> + Sync,
{
    /// Takes outer steps until all are done, training stops early, or a signal asks for an end; evaluates and writes
    /// checkpoints on the way and at the end. `machine` and `settings` are recorded of this process.
    ///
    /// # Errors
    /// [`NonFinite`](super::non_finite::NonFinite) numbers and diverged evaluations where the guard does not leave them out, and
    /// any error of libtorch or the file system. The state that failed work only read is saved first.
    pub fn run(
        &mut self,
        state: &mut TrainingState,
        machine: Machine,
        settings: BTreeMap<String, Value>,
    ) -> Result<Outcome> {
        self.recorder.started(state, self.num_steps(state), machine, settings)?;
        loop {
            // First, since a run may have been stopped between a step and its evaluation.
            let evaluates = self.evaluation_is_due(state);
            if self.recorder.saved_before_leaving(state, evaluates)? {
                self.evaluate(state)?;
            }
            if is_due(state.progress.step, self.outer_loop.train.checkpoint_every) {
                self.recorder.checkpoint(state)?;
            }
            let stop = self.stop.load(Ordering::Relaxed);
            let agreed = agree(self.outer_loop.group, stop, &state.progress);
            let (stop, progress) = self.recorder.saved_before_leaving(state, agreed)?;
            state.progress = progress;
            let (outcome, reason) = match stop {
                0 if self.has_run_out_of_patience(state) => {
                    (Outcome::EarlyStopping, "early_stopping")
                }
                0 if self.is_done(state) => (Outcome::Completed, "completed"),
                0 => {
                    self.step(state)?;
                    continue;
                }
                signal => (Outcome::Interrupted(signal), "interrupted"),
            };
            self.recorder.checkpoint(state)?;
            self.recorder.finished(state, reason)?;
            // Launchers may end all processes with the first: that is not before all is saved.
            self.outer_loop.group.of_lead(())?;
            return Ok(outcome);
        }
    }

    /// Outer steps in all; within a budget of time at the speed so far.
    fn num_steps(&self, state: &TrainingState) -> u64 {
        let OuterLoop { recipe, train, .. } = self.outer_loop;
        recipe.training.map_or(0, |_| train.steps_in_all(&state.progress))
    }

    fn is_done(&self, state: &TrainingState) -> bool {
        state.progress.step >= self.num_steps(state)
    }

    fn step(&mut self, state: &mut TrainingState) -> Result<()> {
        let started = Instant::now();
        let _span = tracing::trace_span!("outer_step").entered();
        let num_tasks = self.outer_loop.train.meta_batch as usize;
        self.recorder.console().begin_episode(num_tasks * self.num_support_steps);
        let found = self.outer_loop.direction(state);
        let direction = self.recorder.saved_before_leaving(state, found)?;
        self.recorder.skipped(&direction.skipped)?;
        let noted = self.outer_loop.non_finite.note(direction.moves(), &direction.skipped);
        self.recorder.saved_before_leaving(state, noted.map_err(Into::into))?;
        // What fails from here on may leave the state half way: it is not saved.
        self.outer_loop.take(state, &direction)?;
        self.recorder.stepped(state, &direction, started.elapsed())?;
        if self.outer_loop.train.has_time_budget() {
            self.recorder.console().expect_steps(self.num_steps(state));
        }
        Ok(())
    }

    /// Whether the meta-parameters of this step are to be scored, and have not been: every
    /// `eval_every` steps, and at the end.
    fn evaluation_is_due(&self, state: &TrainingState) -> Result<bool> {
        let step = state.progress.step;
        let is_scored = state.progress.last_evaluation.is_some_and(|(scored, _)| scored == step);
        let is_last = self.is_done(state);
        let is_due = self.dev.is_some()
            && !is_scored
            && (is_last || is_due(step, self.outer_loop.train.eval_every));
        let OuterLoop { group, train, .. } = self.outer_loop;
        // Clocks differ: where they decide about the end, that of the first process does.
        Ok(if train.has_time_budget() { group.of_lead(is_due)? } else { is_due })
    }

    /// Scores the meta-parameters on the meta-dev domains; a stop signal leaves that for the next process.
    fn evaluate(&mut self, state: &mut TrainingState) -> Result<()> {
        let Some(dev) = &self.dev else { return Ok(()) };
        let started = Instant::now();
        let span = tracing::trace_span!("evaluate").entered();
        let found = dev.evaluate(state.result(), self.recorder.console());
        span.exit();
        match found {
            Err(error) if error.is::<Diverged>() && self.outer_loop.non_finite.skips() => {
                self.recorder.skipped_evaluation(state, error.to_string())
            }
            found => match self.recorder.saved_before_leaving(state, found)? {
                Some(evaluation) => self.recorder.evaluated(state, &evaluation, started.elapsed()),
                None => Ok(()),
            },
        }
    }

    fn has_run_out_of_patience(&self, state: &TrainingState) -> bool {
        let patience = self.outer_loop.train.patience;
        patience > 0 && state.progress.evaluations_since_best >= patience
    }
}

fn is_due(step: u64, every: u64) -> bool {
    every > 0 && step > 0 && step.is_multiple_of(every)
}
