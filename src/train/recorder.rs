//! The lasting traces of a run: its events, its checkpoints, and the lines and bars that people watch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::config::TrainConfig;
use super::non_finite::NonFinite;
use super::outer_loop::Direction;
use crate::eval::{Estimate, Evaluation};
use crate::machine::Profile;
use crate::run::checkpoint::{self, ModelFiles};
use crate::run::console::Console;
use crate::run::directory::{Pointer, Which};
use crate::run::retention::prune;
use crate::run::{Event, Machine, Progress, RunDirectory, RunLog, TrainingState};

/// Writes down what happens to a run. Of several processes of a run only the first writes and shows anything.
pub struct Recorder<'a> {
    run: &'a RunDirectory,
    files: &'a ModelFiles,
    /// Absent in the processes that do not write.
    log: Option<RunLog>,
    console: &'a Console,
    train: &'a TrainConfig,
    /// Absent where nobody asked where the time goes.
    profile: Option<Arc<Profile>>,
}

impl<'a> Recorder<'a> {
    /// A recorder that continues the log of `run` after outer step `step`.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn open(
        run: &'a RunDirectory,
        step: u64,
        files: &'a ModelFiles,
        train: &'a TrainConfig,
        console: &'a Console,
    ) -> Result<Self> {
        Ok(Self { run, files, log: Some(RunLog::open(run, step)?), console, train, profile: None })
    }

    /// A recorder that writes nothing, beside that of another process.
    pub fn silent(
        run: &'a RunDirectory,
        files: &'a ModelFiles,
        train: &'a TrainConfig,
        console: &'a Console,
    ) -> Self {
        Self { run, files, log: None, console, train, profile: None }
    }

    /// The same, which also writes down what a profile has counted at the end.
    pub fn with_profile(self, profile: Option<Arc<Profile>>) -> Self {
        Self { profile, ..self }
    }

    /// The lines and bars.
    pub fn console(&self) -> &'a Console {
        self.console
    }

    /// Training begins, or continues, up to `steps`, on `machine` and with these of the settings that may differ from one
    /// process of a run to the next.
    pub fn started(
        &mut self,
        state: &TrainingState,
        steps: u64,
        machine: Machine,
        settings: BTreeMap<String, Value>,
    ) -> Result<()> {
        let step = state.progress.step;
        // Before the first step of a budget of time nobody knows how many will fit.
        let steps = (steps < u64::MAX).then_some(steps);
        self.emit(&Event::Started { step, steps, machine: Some(machine), settings })
    }

    /// Contributions to the next outer step are left out.
    pub fn skipped(&mut self, skipped: &[NonFinite]) -> Result<()> {
        skipped.iter().try_for_each(|skipped| self.emit(&skipped.skipped()))
    }

    /// An outer step in this direction, which `state` is now after, took `elapsed`.
    pub fn stepped(
        &mut self,
        state: &mut TrainingState,
        direction: &Direction,
        elapsed: Duration,
    ) -> Result<()> {
        state.progress.elapsed_s += elapsed.as_secs_f64();
        if !direction.moves() {
            return Ok(());
        }
        let Direction { report, gradient_norm, lr, .. } = direction;
        self.emit(&Event::OuterStep {
            step: state.progress.step,
            support_loss_first: report.support_loss_first(),
            support_loss_last: report.support_loss_last(),
            query_loss: report.query_loss(),
            query_accuracy: report.query_accuracy(),
            gradient_norm: *gradient_norm,
            lr: *lr,
            elapsed_s: state.progress.elapsed_s,
            episodes_per_min: report.episodes().len() as f64 / elapsed.as_secs_f64() * 60.0,
            domains: report.domains(),
            episodes: report.episodes(),
        })
    }

    /// An evaluation of `state` on the meta-dev domains took `elapsed`. It is remembered, and saved where it is among the best.
    pub fn evaluated(
        &mut self,
        state: &mut TrainingState,
        evaluation: &Evaluation,
        elapsed: Duration,
    ) -> Result<()> {
        let (step, overall) = (state.progress.step, &evaluation.overall);
        let Estimate { mean: macro_f1, low, high } = overall.adapted.macro_f1;
        let is_best = state.progress.evaluated(macro_f1);
        state.progress.elapsed_s += elapsed.as_secs_f64();
        self.emit(&Event::Evaluated {
            step,
            accuracy: overall.adapted.accuracy.mean,
            macro_f1,
            macro_f1_low: low,
            macro_f1_high: high,
            zero_step_macro_f1: overall.zero_step.macro_f1.mean,
            is_best,
            elapsed_s: state.progress.elapsed_s,
        })?;
        let is_kept = state.progress.best_steps(self.train.keep_best).contains(&step);
        if is_kept { self.checkpoint(state) } else { Ok(()) }
    }

    /// An evaluation of `state` was left out.
    pub fn skipped_evaluation(&mut self, state: &TrainingState, reason: String) -> Result<()> {
        let step = state.progress.step;
        self.emit(&Event::Skipped { step, episodes: Vec::new(), domain: None, reason })
    }

    /// Training ends in this process.
    pub fn finished(&mut self, state: &TrainingState, reason: &str) -> Result<()> {
        let step = state.progress.step;
        if let Some(profile) = &self.profile {
            let phases_s = profile.phases_s();
            self.emit(&Event::Profiled { step, phases_s })?;
        }
        self.emit(&Event::Finished {
            step,
            reason: reason.to_owned(),
            elapsed_s: state.progress.elapsed_s,
        })
    }

    /// Passes `result` on. Where it is an error, the state, which the failed work only read, is saved first.
    pub fn saved_before_leaving<T>(
        &mut self,
        state: &TrainingState,
        result: Result<T>,
    ) -> Result<T> {
        if result.is_err()
            && let Err(error) = self.checkpoint(state).and_then(|()| self.finished(state, "failed"))
        {
            self.console.line(&format!("warning: the last state cannot be saved: {error:#}"));
        }
        result
    }

    /// Writes the checkpoint of this step, unless it exists, and moves the pointers to it.
    pub fn checkpoint(&mut self, state: &TrainingState) -> Result<()> {
        if self.log.is_none() {
            return Ok(());
        }
        let pointer = state.progress.pointer();
        let best = state.progress.best_pointer().filter(|best| best.step == pointer.step);
        let latest = self.run.pointer(Which::Latest)?;
        let has_best = best.is_none() || self.run.pointer(Which::Best)? == best;
        if latest.as_ref() == Some(&pointer) && has_best {
            return Ok(());
        }
        // A directory that a pointer names is never written again: this step's is complete, and
        // only its score is new.
        if latest.is_none_or(|latest| latest.checkpoint != pointer.checkpoint) {
            let _span = tracing::trace_span!("checkpoint").entered();
            checkpoint::save(self.run, state, self.files)?;
        }
        // `latest` is what resuming starts from, and moves last: a run that is killed before has
        // the rest of this step done again.
        if let Some(best) = &best {
            self.run.point(Which::Best, best)?;
        }
        self.run.point(Which::Latest, &pointer)?;
        self.prune(&state.progress);
        let Pointer { step, checkpoint, .. } = pointer;
        self.emit(&Event::Checkpointed { step, checkpoint })
    }

    /// Removes the checkpoints that are not to be kept.
    fn prune(&self, progress: &Progress) {
        let best = progress.best_steps(self.train.keep_best);
        match prune(self.run, self.train.keep_last, &best) {
            Ok(damage) => {
                damage.iter().for_each(|damage| self.console.line(&format!("warning: {damage}")));
            }
            // Too many checkpoints are no reason to lose a run.
            Err(error) => {
                self.console.line(&format!("warning: old checkpoints cannot be removed: {error}"));
            }
        }
    }

    fn emit(&mut self, event: &Event) -> Result<()> {
        let Some(log) = &mut self.log else { return Ok(()) };
        self.console.show(event);
        Ok(log.append(event)?)
    }
}
