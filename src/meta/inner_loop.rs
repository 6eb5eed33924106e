//! Adaptation: gradient steps on a support set, from given weights.

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, TchError, Tensor};

use super::{Learner, Part, gradient};
use crate::data::num_minibatches;
use crate::model::Mode;
use crate::optim::{Optimizer, OptimizerConfig, Rule};
use crate::params::ParamSet;

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
    /// Number of gradient steps on a support set of `num_examples`.
    pub fn num_steps(&self, num_examples: usize) -> usize {
        if self.steps > 0 {
            self.steps
        } else {
            self.epochs * num_minibatches(num_examples, self.batch)
        }
    }
}

/// The inner loop of every algorithm.
#[derive(Clone, Copy, Debug)]
pub struct InnerLoop {
    optimizer: OptimizerConfig,
    lr: f64,
}

/// The outcome of an adaptation.
#[derive(Debug)]
pub struct Adapted {
    /// The weights behind the last step: leaves that record gradients.
    pub fast_weights: ParamSet,
    /// The loss before each step, `[steps]`, on the device of the weights.
    pub losses: Tensor,
}

impl InnerLoop {
    /// The inner loop that a configuration describes.
    pub fn new(config: &InnerConfig) -> Self {
        let optimizer = OptimizerConfig {
            weight_decay: config.weight_decay,
            ..OptimizerConfig::new(config.optimizer)
        };
        Self { optimizer, lr: config.lr }
    }

    /// Adapts a copy of `start` with one gradient step for each batch of `support`; `start` itself
    /// is left alone. Dropout is on; its masks come from `dropout_seed` and the step's number.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn adapt<L: Learner>(
        &self,
        learner: &L,
        start: &ParamSet,
        support: &[L::Batch],
        dropout_seed: u64,
    ) -> Result<Adapted, TchError> {
        let mut fast_weights = start.to_fast_weights()?;
        let mut optimizer = Optimizer::new(self.optimizer, &fast_weights)?;
        let mut losses = Vec::with_capacity(support.len());
        for (step, batch) in support.iter().enumerate() {
            let mode = Mode::train(dropout_seed, step as u64);
            let loss = learner.forward(&fast_weights, batch, mode)?.loss;
            let gradient = gradient(learner, &fast_weights, &loss)?;
            learner.begins(Part::Update);
            optimizer.step(&mut fast_weights, &gradient, self.lr)?;
            losses.push(loss.f_detach()?);
        }
        learner.begins(Part::Rest);
        Ok(Adapted { losses: stack(&losses, start.device())?, fast_weights })
    }
}

fn stack(losses: &[Tensor], device: Device) -> Result<Tensor, TchError> {
    if losses.is_empty() {
        return Tensor::f_zeros([0], (Kind::Float, device));
    }
    Tensor::f_stack(losses, 0)
}
