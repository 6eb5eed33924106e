//! Adaptation: gradient steps on a support set, from given weights.

use serde::{Deserialize, Serialize};
use tch::{Kind, TchError, Tensor};

use super::Learner;
use crate::checks::{self, Invalid};
use crate::data::num_minibatches;
use crate::model::Pass;
use crate::optim::{Optimizer, OptimizerConfig, Rule};
use crate::params::set::{ParamSet, Region};

/// Section `[inner]` of the configuration: how weights are adapted to a support set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InnerConfig {
    /// Rule of a gradient step; its state is fresh in every episode.
    pub optimizer: Rule,
    /// Learning rate.
    pub lr: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Epochs over the support set; used where `steps` is 0.
    pub epochs: usize,
    /// Gradient steps; 0 counts by `epochs`.
    pub steps: usize,
    /// Support texts in a minibatch.
    pub batch: usize,
    /// Whether the query loss of a first-order meta-gradient is computed with dropout on.
    pub query_dropout: bool,
}

impl Default for InnerConfig {
    fn default() -> Self {
        Self {
            optimizer: Rule::Adam,
            lr: 5e-5,
            weight_decay: 0.0,
            epochs: 10,
            steps: 0,
            batch: 12,
            query_dropout: false,
        }
    }
}

impl InnerConfig {
    /// Checks the values of the section.
    ///
    /// # Errors
    /// The first impossible value, by its key.
    pub fn validate(&self) -> Result<(), Invalid> {
        checks::within("inner.steps", self.steps as u64, 0..=10_000)?;
        checks::within("inner.epochs", self.epochs as u64, 0..=1_000)?;
        let adapts = self.epochs + self.steps > 0;
        checks::require(adapts, "inner.epochs", "at least 1 where inner.steps is 0", 0)?;
        checks::within("inner.batch", self.batch as u64, 1..=u64::MAX)?;
        checks::positive("inner.lr", self.lr)?;
        checks::not_negative("inner.weight_decay", self.weight_decay)
    }
}

/// How one gradient step is taken, and which weights it moves.
#[derive(Clone, Copy, Debug)]
pub struct StepRule {
    /// The rule and its constants; its state is fresh in every adaptation.
    pub optimizer: OptimizerConfig,
    /// Learning rate.
    pub lr: f64,
    /// The regions that move. The optimizer keeps moments for these alone.
    pub moves: fn(Region) -> bool,
}

/// How a support set is visited.
#[derive(Clone, Copy, Debug)]
pub struct Visit {
    /// Epochs over the support set; used where `steps` is 0.
    pub epochs: usize,
    /// Gradient steps; 0 counts by `epochs`.
    pub steps: usize,
    /// Examples in a minibatch.
    pub batch: usize,
}

impl Visit {
    /// Number of gradient steps on a support set of `num_examples`.
    pub fn num_steps(&self, num_examples: usize) -> usize {
        if self.steps > 0 {
            self.steps
        } else {
            self.epochs * num_minibatches(num_examples, self.batch)
        }
    }
}

/// The outcome of an adaptation.
#[derive(Debug)]
pub struct Adapted {
    /// The weights after the last step: leaves that record gradients.
    pub weights: ParamSet,
    /// The loss before each step, `[steps]`, on the device of the weights.
    pub losses: Tensor,
}

impl StepRule {
    /// Adapts a copy of `start` with one gradient step for each batch of `support`; `start` itself is left alone. Dropout is
    /// on; its masks come from `dropout_seed` and the step's number. Without a step the weights share their storage with
    /// `start`.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub(super) fn adapt<L: Learner>(
        &self,
        learner: &L,
        start: &ParamSet,
        support: &[L::Batch],
        dropout_seed: u64,
    ) -> Result<Adapted, TchError> {
        if support.is_empty() {
            let losses = Tensor::f_zeros([0], (Kind::Float, start.device()))?;
            return Ok(Adapted { weights: start.as_leaves()?, losses });
        }
        let mut moving = start.select(self.moves).to_fast_weights()?;
        let mut optimizer = Optimizer::new(self.optimizer, &moving)?;
        let mut losses = Vec::with_capacity(support.len());
        for (step, batch) in support.iter().enumerate() {
            let pass = Pass::train(dropout_seed, step as u64);
            let loss = learner.forward(&start.overlay(&moving), batch, pass)?.loss;
            let gradient = moving.gradient_of(&loss)?;
            optimizer.step(&mut moving, &gradient, self.lr)?;
            losses.push(loss.f_detach()?);
        }
        let losses = Tensor::f_stack(&losses, 0)?;
        Ok(Adapted { weights: start.overlay(&moving).as_leaves()?, losses })
    }
}
