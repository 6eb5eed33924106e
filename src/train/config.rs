//! Sections `[train]`, `[outer]` and `[evaluate]` of the configuration.

use serde::{Deserialize, Serialize};

use super::non_finite::NonFinitePolicy;
use crate::checks::{self, Invalid};
use crate::data::QuerySize;
use crate::meta::Algorithm;
use crate::optim::{OptimizerConfig, Rule, Schedule, ScheduleConfig};
use crate::params::Region;

/// Section `[train]`: what an outer step is made of and when something else happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// The algorithm.
    pub algo: Algorithm,
    /// Outer steps.
    pub steps: u64,
    /// Episodes in an outer step; for `transfer`, minibatches of `inner.batch` texts.
    pub meta_batch: u64,
    /// Outer steps between two evaluations on the meta-dev domains; 0 for only one at the end.
    pub eval_every: u64,
    /// Outer steps between two checkpoints; 0 for only those that evaluations write.
    pub checkpoint_every: u64,
    /// Evaluations without a better score after which training stops; 0 never stops early.
    pub patience: u64,
    /// Latest checkpoints that are kept beside the best ones.
    pub keep_last: usize,
    /// What to do about episodes with losses or meta-gradients that are not finite.
    pub non_finite: NonFinitePolicy,
    /// Checkpoints that are kept for the best scores on the meta-dev domains.
    pub keep_best: usize,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            algo: Algorithm::Fomaml,
            steps: 500,
            meta_batch: 2,
            eval_every: 50,
            checkpoint_every: 50,
            patience: 0,
            keep_last: 1,
            non_finite: NonFinitePolicy::Stop,
            keep_best: 1,
        }
    }
}

impl TrainConfig {
    /// Checks the values of the section.
    ///
    /// # Errors
    /// The first impossible value, by its key.
    pub fn validate(&self) -> Result<(), Invalid> {
        checks::within("train.steps", self.steps, 1..=1_000_000_000)?;
        checks::within("train.meta_batch", self.meta_batch, 1..=10_000)?;
        checks::within("train.keep_last", self.keep_last as u64, 1..=u64::MAX)?;
        checks::within("train.keep_best", self.keep_best as u64, 1..=u64::MAX)?;
        let is_evaluated = self.algo != Algorithm::None && self.eval_every > 0;
        checks::require(
            self.patience == 0 || is_evaluated,
            "train.patience",
            "evaluations on the way that could stop training",
            "none; set train.eval_every, and an algorithm other than none",
        )
    }
}

/// Section `[outer]`: how a meta-gradient becomes a step of the meta-parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OuterConfig {
    /// Rule of an outer step.
    pub optimizer: Rule,
    /// Learning rate; for Reptile with `sgd` it is Nichol's epsilon.
    pub lr: f64,
    /// Learning rate of learned step sizes; 0 takes that of the weights.
    pub step_size_lr: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Momentum of `sgd`.
    pub momentum: f64,
    /// Shape of the decay.
    pub schedule: ScheduleConfig,
    /// Outer steps over which the learning rate rises from zero.
    pub warmup_steps: u64,
    /// Largest global norm of a meta-gradient; 0 for no clipping.
    pub clip_norm: f64,
    /// Decay of an exponential average of the meta-parameters, which is then what is evaluated and saved; 0 for none.
    pub average: f64,
}

impl Default for OuterConfig {
    fn default() -> Self {
        Self {
            optimizer: Rule::Adam,
            lr: 5e-5,
            step_size_lr: 0.0,
            weight_decay: 0.0,
            momentum: 0.0,
            schedule: ScheduleConfig::Constant,
            warmup_steps: 0,
            clip_norm: 0.0,
            average: 0.0,
        }
    }
}

impl OuterConfig {
    /// Checks the values, each by itself.
    ///
    /// # Errors
    /// The first impossible value, by its key.
    pub fn validate(&self) -> Result<(), Invalid> {
        checks::positive("outer.lr", self.lr)?;
        checks::not_negative("outer.weight_decay", self.weight_decay)?;
        checks::not_negative("outer.clip_norm", self.clip_norm)?;
        checks::not_negative("outer.step_size_lr", self.step_size_lr)?;
        for (key, decay) in [("outer.momentum", self.momentum), ("outer.average", self.average)] {
            let is_decay = (0.0..1.0).contains(&decay);
            checks::require(is_decay, key, "from 0 to below 1", decay)?;
        }
        Ok(())
    }

    /// The learning rate of a region, before the schedule.
    pub fn lr_of(&self, region: Region) -> f64 {
        match region {
            Region::StepSizes if self.step_size_lr > 0.0 => self.step_size_lr,
            _ => self.lr,
        }
    }

    /// The optimizer described here.
    pub fn optimizer(&self) -> OptimizerConfig {
        OptimizerConfig {
            weight_decay: self.weight_decay,
            momentum: self.momentum,
            ..OptimizerConfig::new(self.optimizer)
        }
    }

    /// The schedule described here, over `steps` outer steps.
    pub fn schedule(&self, steps: u64) -> Schedule {
        Schedule { shape: self.schedule, warmup_steps: self.warmup_steps, steps }
    }
}

/// Section `[evaluate]`: how a checkpoint is scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluateConfig {
    /// Seeded draws of support and query for each low-resource domain in `eval`.
    pub episodes: u64,
    /// The same for each meta-dev domain while training.
    pub dev_episodes: u64,
    /// Query texts of a draw: a number or `"all"`, all texts outside the support set; 0 takes `episode.query`.
    pub query: QuerySize,
    /// Epochs of adaptation; 0 takes those of `inner`.
    pub inner_epochs: usize,
}

impl Default for EvaluateConfig {
    fn default() -> Self {
        Self { episodes: 10, dev_episodes: 5, query: QuerySize::Count(0), inner_epochs: 0 }
    }
}

impl EvaluateConfig {
    /// Checks the values, each by itself.
    ///
    /// # Errors
    /// The first impossible value, by its key.
    pub fn validate(&self) -> Result<(), Invalid> {
        checks::within("evaluate.episodes", self.episodes, 1..=1_000_000)?;
        checks::within("evaluate.dev_episodes", self.dev_episodes, 1..=1_000_000)?;
        checks::within("evaluate.inner_epochs", self.inner_epochs as u64, 0..=1_000)
    }
}
