//! Sections `[train]`, `[outer]` and `[evaluate]` of the configuration.

use serde::{Deserialize, Serialize};

use super::non_finite::NonFinitePolicy;
use crate::checks::{self, Invalid};
use crate::data::QuerySize;
use crate::meta::{Algorithm, Choice, ClassWeights, HeadStart, Rate, Scope};
use crate::optim::{OptimizerConfig, Rule, Schedule, ScheduleConfig};
use crate::params::Region;
use crate::run::Progress;

/// Section `[train]`: what an outer step is made of and when something else happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// The algorithm.
    pub algo: Algorithm,
    /// Outer steps; with a budget of time it counts for nothing.
    pub steps: u64,
    /// Seconds of training in all, evaluations included, after which it ends, and to which schedules stretch; 0 for no budget.
    pub time_s: f64,
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
            time_s: 0.0,
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
    /// Whether a budget of time, and not of steps, ends training.
    pub fn has_time_budget(&self) -> bool {
        self.time_s > 0.0
    }

    /// Outer steps in all, of which `progress` is the part taken; within a budget of time as many as fit at the speed so far.
    pub fn steps_in_all(&self, progress: &Progress) -> u64 {
        let Progress { step, elapsed_s, .. } = *progress;
        if !self.has_time_budget() {
            return self.steps;
        }
        // Before the first step the speed is unknown.
        if step == 0 { u64::MAX } else { (step as f64 * self.time_s / elapsed_s).ceil() as u64 }
    }

    /// Checks the values of the section.
    ///
    /// # Errors
    /// The first impossible value, by its key.
    pub fn validate(&self) -> Result<(), Invalid> {
        checks::within("train.steps", self.steps, 1..=1_000_000_000)?;
        checks::not_negative("train.time_s", self.time_s)?;
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
    /// Learning rate of the head; 0 takes that of the other weights.
    pub head_lr: f64,
    /// Learning rate of learned step sizes; 0 takes that of the weights.
    pub step_size_lr: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Momentum of `sgd`.
    pub momentum: f64,
    /// Shape of the decay.
    pub schedule: ScheduleConfig,
    /// Outer steps over which the learning rate rises from zero; 0 for the share of `warmup_ratio`.
    pub warmup_steps: u64,
    /// The same as a share of all outer steps, from 0 to 1.
    pub warmup_ratio: f64,
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
            head_lr: 0.0,
            step_size_lr: 0.0,
            weight_decay: 0.0,
            momentum: 0.0,
            schedule: ScheduleConfig::Constant,
            warmup_steps: 0,
            warmup_ratio: 0.0,
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
        checks::not_negative("outer.head_lr", self.head_lr)?;
        checks::not_negative("outer.step_size_lr", self.step_size_lr)?;
        for (key, decay) in [("outer.momentum", self.momentum), ("outer.average", self.average)] {
            let is_decay = (0.0..1.0).contains(&decay);
            checks::require(is_decay, key, "from 0 to below 1", decay)?;
        }
        let is_share = (0.0..=1.0).contains(&self.warmup_ratio);
        checks::require(is_share, "outer.warmup_ratio", "from 0 to 1", self.warmup_ratio)
    }

    /// The learning rate of a region, before the schedule.
    pub fn lr_of(&self, region: Region) -> f64 {
        match region {
            Region::Head if self.head_lr > 0.0 => self.head_lr,
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
        let warmup_steps = match self.warmup_steps {
            0 => (self.warmup_ratio * steps as f64).ceil() as u64,
            count => count,
        };
        Schedule { shape: self.schedule, warmup_steps, steps }
    }
}

/// Section `[evaluate]`: how a checkpoint is adapted once it is trained, and scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluateConfig {
    /// Seeded draws of support and query for each low-resource domain in `eval`.
    pub episodes: u64,
    /// The same for each meta-dev domain while training.
    pub dev_episodes: u64,
    /// Query texts of a draw: a number or `"all"`, all texts outside the support set; 0 takes `episode.query`.
    pub query: QuerySize,
    /// Of these, the most that a draw of a meta-dev domain has while training and in `tune`; 0 for no limit.
    pub dev_query: usize,
    /// Other texts of a draw that are read without their labels, by heads that are made of the support set; they are not
    /// scored on.
    pub unlabelled: usize,
    /// Epochs of adaptation; 0 takes those of `inner`.
    pub inner_epochs: usize,
    /// Gradient steps of adaptation; 0 takes those of `inner`.
    pub inner_steps: usize,
    /// Gradient steps of the head alone, on all texts at once, before the others.
    pub head_steps: usize,
    /// The head that adaptation starts from; `auto` takes that of `meta`.
    pub head: Choice<HeadStart>,
    /// The weights that adaptation moves; `auto` takes those of `meta`.
    pub scope: Choice<Scope>,
    /// Learning rate of adaptation; `auto` takes that of `inner`.
    pub lr: Choice<Rate>,
    /// That of the head; `auto` takes that of `inner`.
    pub head_lr: Choice<Rate>,
    /// How much the texts of each label count in the loss; `auto` takes that of `inner`.
    pub class_weights: Choice<ClassWeights>,
}

impl Default for EvaluateConfig {
    fn default() -> Self {
        Self {
            episodes: 10,
            dev_episodes: 5,
            query: QuerySize::Count(0),
            dev_query: 0,
            unlabelled: 0,
            inner_epochs: 0,
            inner_steps: 0,
            head_steps: 0,
            head: Choice::Auto,
            scope: Choice::Auto,
            lr: Choice::Auto,
            head_lr: Choice::Auto,
            class_weights: Choice::Auto,
        }
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
        checks::within("evaluate.inner_steps", self.inner_steps as u64, 0..=10_000)?;
        checks::within("evaluate.head_steps", self.head_steps as u64, 0..=10_000)?;
        for (key, rate) in [("evaluate.lr", self.lr), ("evaluate.head_lr", self.head_lr)] {
            checks::positive(key, rate.or(Rate(1.0)).0)?;
        }
        checks::within("evaluate.inner_epochs", self.inner_epochs as u64, 0..=1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_of_time_holds_as_many_steps_as_fit_and_ends_with_it() {
        let train = TrainConfig { time_s: 60.0, ..TrainConfig::default() };
        let at = |step, elapsed_s| {
            train.steps_in_all(&Progress { step, elapsed_s, ..Progress::default() })
        };
        assert_eq!([at(0, 0.0), at(10, 6.0), at(3, 20.0)], [u64::MAX, 100, 9]);
        // One more step is taken as long as there is time left.
        assert!(at(100, 59.99) > 100 && at(100, 60.0) <= 100 && at(100, 70.0) <= 100);
        assert_eq!(TrainConfig::default().steps_in_all(&Progress::default()), 500);
    }

    #[test]
    fn a_warm_up_is_a_share_of_all_steps_unless_its_steps_are_given() {
        let outer = OuterConfig { warmup_ratio: 0.06, ..OuterConfig::default() };
        assert_eq!(
            [500, 480, 3, 1].map(|steps| outer.schedule(steps).warmup_steps),
            [30, 29, 1, 1]
        );
        let outer = OuterConfig { warmup_steps: 7, ..outer };
        assert_eq!(outer.schedule(500).warmup_steps, 7);
    }

    #[test]
    fn schedules_stretch_to_a_budget_of_time() {
        let train = TrainConfig { time_s: 60.0, ..TrainConfig::default() };
        let outer = OuterConfig { schedule: ScheduleConfig::Linear, ..OuterConfig::default() };
        for (step, elapsed_s, expected) in [(0, 0.0, 1.0), (50, 30.0, 0.5), (2, 45.0, 0.333)] {
            let progress = Progress { step, elapsed_s, ..Progress::default() };
            let found = outer.schedule(train.steps_in_all(&progress)).factor(step);
            assert!((found - expected).abs() < 1e-3, "{step}: {found}, expected {expected}");
        }
    }
}
