//! The outer loop.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::Result;
use thiserror::Error;

use super::config::{OuterConfig, TrainConfig};
use super::evaluate::{Evaluation, Evaluator};
use super::learner::TextLearner;
use super::metrics::{Scores, mean};
use super::predict;
use super::profile::{Phase, Profile};
use super::tasks::{Contribution, TaskBuilder, TaskSource};
use super::workers::Workers;
use crate::data::episode::EpisodeSampler;
use crate::meta::MetaAlgorithm;
use crate::model::ParamSet;
use crate::optim::clip_by_global_norm;
use crate::run::checkpoint::{self, ModelFiles};
use crate::run::console::Console;
use crate::run::directory::{Pointer, Which, checkpoint_name};
use crate::run::{Event, RunDirectory, RunLog, TrainingState};

/// A number that went wrong: training stops before it reaches the meta-parameters.
#[derive(Debug, Error)]
#[error(
    "outer step {step}: {quantity} is {value}{place}; the checkpoints written so far are intact; \
     lower inner.lr or outer.lr, or set outer.clip_norm"
)]
pub struct TrainError {
    /// The outer step, counted from 1.
    pub step: u64,
    /// What went wrong.
    pub quantity: &'static str,
    /// Its value.
    pub value: f64,
    /// Where: episode and domain, or the tensor.
    pub place: String,
}

/// A signal asked for a stop while the meta-dev domains were being evaluated.
#[derive(Debug, Error)]
#[error("stop requested")]
struct StopRequested;

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

/// The meta-dev domains and how to score on them.
pub struct DevSet<'a> {
    /// Adapts and scores.
    pub evaluator: Evaluator<'a>,
    /// Draws support and query sets of the meta-dev domains.
    pub sampler: EpisodeSampler,
    /// Draws for each domain.
    pub episodes: u64,
    /// Support texts of a draw.
    pub support: usize,
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
    /// Where the time of each part goes.
    pub profile: Option<&'a Profile>,
}

/// Sums over the episodes of one outer step.
#[derive(Default)]
struct StepReport {
    domains: Vec<String>,
    support_first: Vec<f64>,
    support_last: Vec<f64>,
    query_losses: Vec<f64>,
    num_right: usize,
    num_scored: usize,
}

impl<'a> Trainer<'a> {
    /// Takes outer steps until all are done, training stops early, or a signal asks for an end;
    /// evaluates and writes checkpoints on the way and at the end.
    ///
    /// # Errors
    /// A [`TrainError`] for numbers that are not finite, and any error of libtorch or the file
    /// system. The checkpoints written before stay as they are.
    pub fn run(&mut self, state: &mut TrainingState) -> Result<Outcome> {
        let steps = if self.algorithm.is_some() { self.train.steps } else { 0 };
        self.emit(&Event::Started { step: state.progress.step, steps })?;
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
        let meta_batch = self.train.meta_batch;
        let episodes: Vec<u64> = (step * meta_batch..(step + 1) * meta_batch).collect();
        let mut gradient = state.meta.zeros_like()?;
        let mut report = StepReport::default();
        self.console.begin_episode(episodes.len() * self.source.num_support_steps(&self.builder));
        let algorithm = self.algorithm.as_deref().expect("`none` takes no step");
        let (source, builder, run_seed) = (&self.source, &self.builder, self.run_seed);
        let at_once = self.workers.at_once(episodes.len());
        self.workers.run(
            episodes.len(),
            || Ok((self.learner.for_worker(at_once), state.meta.share()?)),
            |(learner, meta): &(TextLearner<'a>, ParamSet), position| {
                learner.turn_to(Some(Phase::Collate));
                let task = source.task(builder, run_seed, episodes[position])?;
                Ok(task.contribution(builder, algorithm, learner, meta)?)
            },
            |position, contribution| {
                self.collect(&mut report, step, episodes[position], &contribution)?;
                Ok(contribution.add_to(&mut gradient, 1.0 / meta_batch as f64)?)
            },
        )?;
        let gradient_norm = clip_by_global_norm(&mut gradient, self.outer.clip_norm)?;
        if !gradient_norm.is_finite() {
            return Err(self.overflow(step, gradient_norm, &episodes).into());
        }
        let lr = self.outer.lr * self.outer.schedule(self.train.steps).factor(step);
        let update_started = Instant::now();
        state.optimizer.step(&mut state.meta, &gradient, lr)?;

        state.progress.step = step + 1;
        let step_s = started.elapsed().as_secs_f64();
        if let Some(profile) = self.profile {
            profile.add(Phase::Optimizer, update_started.elapsed(), 1);
            profile.add_outer_step(started.elapsed());
        }
        state.progress.elapsed_s += step_s;
        let mean_of = |values: &[f64]| (!values.is_empty()).then(|| mean(values));
        self.emit(&Event::OuterStep {
            step: step + 1,
            domains: report.domains,
            support_loss_first: mean_of(&report.support_first),
            support_loss_last: mean_of(&report.support_last),
            query_loss: mean(&report.query_losses),
            query_accuracy: report.num_right as f64 / report.num_scored as f64,
            gradient_norm,
            lr,
            elapsed_s: state.progress.elapsed_s,
            episodes_per_min: episodes.len() as f64 / step_s * 60.0,
            episodes,
        })
    }

    /// Adds an episode's numbers to the report of its step. Here, at an episode's end, is where the
    /// host waits for the device; the inner loop never does.
    fn collect(
        &self,
        report: &mut StepReport,
        step: u64,
        index: u64,
        contribution: &Contribution,
    ) -> Result<()> {
        let outcome = &contribution.outcome;
        let domain = contribution.domain.map(|domain| self.domain_names[domain as usize].as_str());
        let losses = outcome.support_losses.f_to_kind(tch::Kind::Double)?;
        let losses = Vec::<f64>::try_from(losses.f_to_device(tch::Device::Cpu)?)?;
        let query_loss = outcome.query_loss.f_double_value(&[])?;
        let norm = outcome.gradient.global_norm()?.f_double_value(&[])?;
        let watched = losses.iter().map(|&loss| ("the support loss", loss));
        let last = [("the query loss", query_loss), ("the norm of the meta-gradient", norm)];
        for (quantity, value) in watched.chain(last) {
            if !value.is_finite() {
                let place = match domain {
                    Some(domain) => format!(" in episode {index} (domain {domain})"),
                    None => format!(" in minibatch {index}"),
                };
                return Err(TrainError { step: step + 1, quantity, value, place }.into());
            }
        }
        let predicted = predict::labels(&predict::to_rows(&outcome.query_logits)?);
        let truth = contribution.query.iter().map(|&id| self.builder.corpus.label_of(id));
        report.num_right += predicted.iter().zip(truth).filter(|(p, t)| **p == *t).count();
        report.num_scored += predicted.len();
        report.domains.extend(domain.map(str::to_owned));
        report.support_first.extend(losses.first());
        report.support_last.extend(losses.last());
        report.query_losses.push(query_loss);
        Ok(())
    }

    /// The error for a mean of finite meta-gradients that is not finite.
    fn overflow(&self, step: u64, value: f64, episodes: &[u64]) -> TrainError {
        let quantity = "the norm of the mean meta-gradient";
        let place = format!(" over the episodes {episodes:?}");
        TrainError { step: step + 1, quantity, value, place }
    }

    /// Scores the meta-parameters on the meta-dev domains, and remembers and saves the best.
    fn evaluate(&mut self, state: &mut TrainingState) -> Result<()> {
        let Some(dev) = &self.dev else { return Ok(()) };
        let started = Instant::now();
        let pools = dev.sampler.pools();
        self.console.begin_evaluation(pools.len() as u64 * dev.episodes);
        let steps = dev.evaluator.builder.inner.num_steps(dev.support);
        let mut results = Vec::new();
        for pool in pools {
            let named = (pool.domain, pool.name.as_str());
            let on_draw = |scores: Scores| {
                self.console.evaluated_draw(scores.accuracy, scores.macro_f1);
                match self.stop.load(Ordering::Relaxed) {
                    0 => Ok(()),
                    _ => Err(StopRequested.into()),
                }
            };
            let (sampler, episodes) = (&dev.sampler, dev.episodes);
            self.console.begin_episode(steps * episodes as usize);
            let found = dev.evaluator.domain(&state.meta, sampler, named, episodes, None, on_draw);
            match found {
                Ok(result) => results.push(result),
                // Evaluations can be long. This one is made again when the run goes on.
                Err(error) if error.is::<StopRequested>() => {
                    self.console.end_evaluation();
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        self.console.end_evaluation();
        let overall = Evaluation::of(results).overall;
        let (step, macro_f1) = (state.progress.step, overall.macro_f1.mean);
        let is_best = state.progress.best.is_none_or(|(_, best)| macro_f1 > best);
        if is_best {
            state.progress.best = Some((step, macro_f1));
            state.progress.evaluations_since_best = 0;
        } else {
            state.progress.evaluations_since_best += 1;
        }
        state.progress.last_evaluation = Some((step, macro_f1));
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
        if is_best { self.checkpoint(state) } else { Ok(()) }
    }

    fn has_run_out_of_patience(&self, state: &TrainingState) -> bool {
        self.train.patience > 0 && state.progress.evaluations_since_best >= self.train.patience
    }

    /// Writes the checkpoint of this step, unless it is there, and lets the pointers follow.
    fn checkpoint(&mut self, state: &TrainingState) -> Result<()> {
        let step = state.progress.step;
        let name = checkpoint_name(step);
        let score_at = |scored: Option<(u64, f64)>| scored.filter(|(at, _)| *at == step);
        let pointer = Pointer {
            checkpoint: name.clone(),
            step,
            macro_f1: score_at(state.progress.last_evaluation).map(|(_, macro_f1)| macro_f1),
        };
        let is_best = score_at(state.progress.best).is_some();
        let latest = self.run.pointer(Which::Latest)?;
        let has_best = !is_best || self.run.pointer(Which::Best)?.as_ref() == Some(&pointer);
        if latest.as_ref() == Some(&pointer) && has_best {
            return Ok(());
        }
        // A directory that a pointer names is never written again: this step's is complete, and
        // only its score is new.
        if latest.is_none_or(|latest| latest.checkpoint != name) {
            let started = Instant::now();
            checkpoint::save(self.run, state, self.files)?;
            if let Some(profile) = self.profile {
                profile.add(Phase::Checkpoint, started.elapsed(), 1);
            }
        }
        // `latest` is what resuming starts from, and moves last: a run that is killed before has
        // the rest of this step done again.
        if is_best {
            self.run.point(Which::Best, &pointer)?;
        }
        self.run.point(Which::Latest, &pointer)?;
        if let Err(error) = self.run.prune(self.train.keep_last) {
            // Too many checkpoints are no reason to lose a run.
            self.console.line(&format!("warning: old checkpoints cannot be removed: {error}"));
        }
        self.emit(&Event::Checkpointed { step, checkpoint: name })
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
