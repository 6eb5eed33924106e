//! The outer loop.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;

use super::config::{OuterConfig, TrainConfig};
use super::dev_set::DevSet;
use super::non_finite::{NonFinite, NonFiniteGuard};
use super::step_report::StepReport;
use crate::eval::evaluator::{Diverged, Evaluation};
use crate::machine::Workers;
use crate::machine::profile::{Phase, Profile};
use crate::meta::MetaAlgorithm;
use crate::optim::clip_by_global_norm;
use crate::params::ParamSet;
use crate::run::checkpoint::{self, ModelFiles};
use crate::run::console::Console;
use crate::run::directory::{Pointer, Which};
use crate::run::retention::prune;
use crate::run::{Event, Machine, Progress, RunDirectory, RunLog, TrainingState};
use crate::tasks::TextLearner;
use crate::tasks::{TaskBuilder, TaskSource};

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

/// What this process does of a run: others may have begun it, and may go on with it.
#[derive(Clone, Debug)]
pub struct Part {
    /// What computes.
    pub machine: Machine,
    /// The settings that may differ from part to part, by key.
    pub settings: BTreeMap<String, Value>,
}

/// Everything the outer loop works with; what changes is in a [`TrainingState`].
pub struct Trainer<'a> {
    /// The model.
    pub learner: &'a TextLearner<'a>,
    /// The algorithm; absent for `none`, which takes no step.
    pub algorithm: Option<Box<dyn MetaAlgorithm<TextLearner<'a>> + 'a>>,
    /// The tasks.
    pub source: TaskSource,
    /// Cuts tasks into batches.
    pub builder: TaskBuilder<'a>,
    /// Chooses the best checkpoint and stops early; absent without meta-dev domains.
    pub dev: Option<DevSet<'a>>,
    /// Names of all domains of the dataset, by id.
    pub domain_names: &'a [String],
    /// Seed of the run.
    pub run_seed: u64,
    /// Section `[train]`.
    pub train: &'a TrainConfig,
    /// Section `[outer]`.
    pub outer: &'a OuterConfig,
    /// What is recorded of this process.
    pub part: Part,
    /// Where checkpoints go.
    pub run: &'a RunDirectory,
    /// What checkpoints hold beside the state.
    pub files: &'a ModelFiles,
    /// Where events go.
    pub log: RunLog,
    /// Where people look.
    pub console: &'a Console,
    /// The number of a signal that asked for a stop; 0 for none.
    pub stop: &'a AtomicUsize,
    /// How many episodes run at once.
    pub workers: Workers,
    /// What happens to numbers that are not finite.
    pub non_finite: NonFiniteGuard,
    /// Where the time of each part goes.
    pub profile: Option<&'a Profile>,
}

impl<'a> Trainer<'a> {
    /// Takes outer steps until all are done, training stops early, or a signal asks for an end;
    /// evaluates and writes checkpoints on the way and at the end.
    ///
    /// # Errors
    /// [`NonFinite`] numbers and diverged evaluations where the guard does not leave them out, and any error of libtorch or the
    /// file system. What an error in a step or an evaluation has left untouched is saved first.
    pub fn run(&mut self, state: &mut TrainingState) -> Result<Outcome> {
        let steps = if self.algorithm.is_some() { self.train.steps } else { 0 };
        let Part { machine, settings } = self.part.clone();
        let step = state.progress.step;
        self.emit(&Event::Started { step, steps, machine: Some(machine), settings })?;
        let mut outcome = Outcome::Completed;
        loop {
            // First, since a run may have been stopped between a step and its evaluation.
            if self.evaluation_is_due(state) {
                self.evaluate(state)?;
            }
            if is_due(state.progress.step, self.train.checkpoint_every) {
                self.checkpoint(state)?;
            }
            let signal = self.stop.load(Ordering::Relaxed);
            if signal != 0 {
                self.checkpoint(state)?;
                self.finish(state, "interrupted")?;
                return Ok(Outcome::Interrupted(signal));
            }
            if self.has_run_out_of_patience(state) {
                outcome = Outcome::EarlyStopping;
                break;
            }
            if state.progress.step >= steps {
                break;
            }
            self.outer_step(state)?;
        }
        self.checkpoint(state)?;
        let reason = if outcome == Outcome::Completed { "completed" } else { "early_stopping" };
        self.finish(state, reason)?;
        Ok(outcome)
    }

    /// Whether the meta-parameters of this step are to be scored, and have not been: every
    /// `eval_every` steps, and at the end.
    fn evaluation_is_due(&self, state: &TrainingState) -> bool {
        let step = state.progress.step;
        let is_last = self.algorithm.is_none() || step >= self.train.steps;
        let is_scored = state.progress.last_evaluation.is_some_and(|(scored, _)| scored == step);
        self.dev.is_some() && !is_scored && (is_last || is_due(step, self.train.eval_every))
    }

    /// One step of the meta-parameters against the mean meta-gradient of a meta-batch.
    fn outer_step(&mut self, state: &mut TrainingState) -> Result<()> {
        let started = Instant::now();
        let step = state.progress.step;
        let found = self.mean_meta_gradient(state);
        let Some((gradient, gradient_norm, report)) = self.saved_before_leaving(state, found)?
        else {
            state.progress.step = step + 1;
            state.progress.skipped_steps += 1;
            state.progress.elapsed_s += started.elapsed().as_secs_f64();
            return Ok(());
        };
        let lr = self.outer.lr * self.outer.schedule(self.train.steps).factor(step);
        let update_started = Instant::now();
        let stepped = state.optimizer.step(&mut state.meta, &gradient, lr);
        stepped.with_context(|| format!("outer step {}", step + 1))?;

        state.progress.step = step + 1;
        let step_s = started.elapsed().as_secs_f64();
        if let Some(profile) = self.profile {
            profile.add(Phase::Optimizer, update_started.elapsed(), 1);
            profile.add_outer_step(started.elapsed());
        }
        state.progress.elapsed_s += step_s;
        self.emit(&Event::OuterStep {
            step: step + 1,
            support_loss_first: report.support_loss_first(),
            support_loss_last: report.support_loss_last(),
            query_loss: report.query_loss(),
            query_accuracy: report.query_accuracy(),
            gradient_norm,
            lr,
            elapsed_s: state.progress.elapsed_s,
            episodes_per_min: report.episodes.len() as f64 / step_s * 60.0,
            domains: report.domains,
            episodes: report.episodes,
        })
    }

    /// The mean meta-gradient of the next meta-batch, clipped, with the norm that it had before; `None` where
    /// nothing of it was finite, and the guard leaves that out.
    fn mean_meta_gradient(
        &mut self,
        state: &TrainingState,
    ) -> Result<Option<(ParamSet, f64, StepReport)>> {
        let step = state.progress.step;
        let meta_batch = self.train.meta_batch;
        let episodes: Vec<u64> = (step * meta_batch..(step + 1) * meta_batch).collect();
        let mut gradient = state.meta.zeros_like()?;
        let mut report = StepReport::default();
        let mut skipped: Vec<NonFinite> = Vec::new();
        self.console.begin_episode(episodes.len() * self.source.num_support_steps(&self.builder));
        let algorithm = self.algorithm.as_deref().expect("`none` takes no step");
        let (source, builder, run_seed) = (&self.source, &self.builder, self.run_seed);
        let at_once = self.workers.at_once(episodes.len());
        self.workers.run(
            episodes.len(),
            || Ok((self.learner.for_worker(at_once), state.meta.share()?)),
            |(learner, meta): &(TextLearner<'a>, ParamSet), position| {
                learner.turn_to(Some(Phase::Collate));
                let index = episodes[position];
                source
                    .task(builder, run_seed, index)
                    .and_then(|task| task.contribution(builder, algorithm, learner, meta))
                    .with_context(|| format!("outer step {}, episode {index}", step + 1))
            },
            |position, contribution| {
                let place = (step + 1, episodes[position]);
                match report.add(place, &contribution, builder.corpus, self.domain_names) {
                    Ok(()) => Ok(contribution.add_to(&mut gradient, 1.0 / meta_batch as f64)?),
                    Err(error) => {
                        skipped.push(self.non_finite.skippable(error)?);
                        Ok(())
                    }
                }
            },
        )?;
        if !skipped.is_empty() && !report.episodes.is_empty() {
            // The mean is over those that were not left out.
            gradient.scale(meta_batch as f64 / report.episodes.len() as f64)?;
        }
        let norm = clip_by_global_norm(&mut gradient, self.outer.clip_norm)?;
        if !norm.is_finite() {
            let quantity = "the norm of the mean meta-gradient";
            let (step, episodes) = (step + 1, std::mem::take(&mut report.episodes));
            let overflow = NonFinite { step, episodes, domain: None, quantity, value: norm };
            skipped.push(self.non_finite.skippable(overflow.into())?);
        }
        for skipped in &skipped {
            self.emit(&skipped.skipped())?;
        }
        match (report.episodes.is_empty(), skipped.pop()) {
            (true, Some(last)) => {
                self.non_finite.step_empty(last)?;
                Ok(None)
            }
            _ => {
                self.non_finite.step_taken();
                Ok(Some((gradient, norm, report)))
            }
        }
    }

    /// Saves the state, which what failed has left untouched, before an error ends the run.
    fn saved_before_leaving<T>(&mut self, state: &TrainingState, result: Result<T>) -> Result<T> {
        if result.is_err()
            && let Err(error) = self.checkpoint(state).and_then(|()| self.finish(state, "failed"))
        {
            self.console.line(&format!("warning: the last state cannot be saved: {error:#}"));
        }
        result
    }

    /// Scores the meta-parameters on the meta-dev domains, and remembers and saves the best.
    fn evaluate(&mut self, state: &mut TrainingState) -> Result<()> {
        let Some(dev) = &self.dev else { return Ok(()) };
        let started = Instant::now();
        let found = dev.evaluate(&state.meta, self.console, self.stop);
        let found = match found {
            Err(error) if error.is::<Diverged>() && self.non_finite.skips() => {
                let step = state.progress.step;
                let (episodes, reason) = (Vec::new(), error.to_string());
                return self.emit(&Event::Skipped { step, episodes, domain: None, reason });
            }
            found => self.saved_before_leaving(state, found)?,
        };
        let Some(Evaluation { overall, .. }) = found else { return Ok(()) };
        let (step, macro_f1) = (state.progress.step, overall.macro_f1.mean);
        let is_best = state.progress.evaluated(macro_f1);
        state.progress.elapsed_s += started.elapsed().as_secs_f64();
        if let Some(profile) = self.profile {
            profile.add(Phase::Evaluate, started.elapsed(), 1);
        }
        let half_width = overall.macro_f1.half_width;
        self.emit(&Event::Evaluated {
            step,
            accuracy: overall.accuracy.mean,
            macro_f1,
            macro_f1_half_width: half_width.is_finite().then_some(half_width),
            zero_step_macro_f1: overall.zero_step_macro_f1.mean,
            is_best,
            elapsed_s: state.progress.elapsed_s,
        })?;
        let is_kept = state.progress.best_steps(self.train.keep_best).contains(&step);
        if is_kept { self.checkpoint(state) } else { Ok(()) }
    }

    fn has_run_out_of_patience(&self, state: &TrainingState) -> bool {
        self.train.patience > 0 && state.progress.evaluations_since_best >= self.train.patience
    }

    /// Writes the checkpoint of this step, unless it is there, and lets the pointers follow.
    fn checkpoint(&mut self, state: &TrainingState) -> Result<()> {
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
            let started = Instant::now();
            checkpoint::save(self.run, state, self.files)?;
            if let Some(profile) = self.profile {
                profile.add(Phase::Checkpoint, started.elapsed(), 1);
            }
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

    fn finish(&mut self, state: &TrainingState, reason: &str) -> Result<()> {
        self.emit(&Event::Finished {
            step: state.progress.step,
            reason: reason.to_owned(),
            elapsed_s: state.progress.elapsed_s,
        })
    }

    fn emit(&mut self, event: &Event) -> Result<()> {
        self.console.show(event);
        Ok(self.log.append(event)?)
    }
}

fn is_due(step: u64, every: u64) -> bool {
    every > 0 && step > 0 && step.is_multiple_of(every)
}
