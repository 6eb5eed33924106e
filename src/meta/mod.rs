//! The meta-learning family: one inner loop, and a way for each algorithm to form a meta-gradient.
//!
//! Knows parameter sets and a [`Learner`]; no text, file, clock or log. The mathematics is tested
//! on a quadratic.

pub mod algorithm;
pub mod inner_loop;
pub mod maml;
#[cfg(test)]
mod quadratic;
pub mod reptile;
pub mod transfer;

pub use algorithm::{Algorithm, MetaAlgorithm};
pub use inner_loop::{Adapted, InnerConfig, InnerLoop};

use tch::{TchError, Tensor};

use crate::model::Mode;
use crate::params::ParamSet;

/// Something with a loss that is a function of its parameters.
pub trait Learner {
    /// What one loss is computed on.
    type Batch;

    /// The loss and the logits of `batch` under `params`.
    ///
    /// # Errors
    /// Any error of libtorch.
    fn forward(
        &self,
        params: &ParamSet,
        batch: &Self::Batch,
        mode: Mode,
    ) -> Result<Forward, TchError>;

    /// Hears which part of a step comes next; a forward pass announces itself.
    fn begins(&self, _part: Part) {}
}

/// The parts of a gradient step that a learner does not do itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The gradient of a loss.
    Backward,
    /// The optimizer's step.
    Update,
    /// Anything else.
    Rest,
}

/// The gradient of `loss` with respect to `params`.
fn gradient<L: Learner>(
    learner: &L,
    params: &ParamSet,
    loss: &Tensor,
) -> Result<ParamSet, TchError> {
    learner.begins(Part::Backward);
    let gradient = params.gradient_of(loss);
    learner.begins(Part::Rest);
    gradient
}

/// The result of one forward pass.
#[derive(Debug)]
pub struct Forward {
    /// Mean loss over the batch, 0-dimensional.
    pub loss: Tensor,
    /// Unnormalised log-probabilities, `[batch, labels]`.
    pub logits: Tensor,
}

/// An episode made ready for computing.
#[derive(Debug)]
pub struct Task<B> {
    /// One batch for each gradient step of the adaptation, in order.
    pub support: Vec<B>,
    /// What the adapted weights are scored on.
    pub query: B,
    /// Seed of every dropout mask in this task.
    pub dropout_seed: u64,
}

impl<B> Task<B> {
    /// The mode of the pass behind the last adaptation step, with dropout on.
    fn query_training_mode(&self) -> Mode {
        Mode::train(self.dropout_seed, self.support.len() as u64)
    }
}

/// What one episode contributes to an outer step.
#[derive(Debug)]
pub struct EpisodeOutcome {
    /// The episode's meta-gradient: what the outer optimizer descends along.
    pub gradient: ParamSet,
    /// Loss at each adaptation step, `[steps]`; on the device, so that nothing waited for it.
    pub support_losses: Tensor,
    /// Query loss, 0-dimensional.
    pub query_loss: Tensor,
    /// Query logits, `[query, labels]`.
    pub query_logits: Tensor,
}
