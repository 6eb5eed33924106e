//! The meta-learning family: one table of algorithms, of which each is a [`Recipe`] with two verbs.
//!
//! Knows parameter sets and a [`Learner`]; no text, file, clock or log. The mathematics is tested on a quadratic.

pub mod inner_loop;
#[cfg(test)]
pub(crate) mod quadratic;
pub mod recipe;

pub use inner_loop::{Adapted, InnerConfig};
pub use recipe::{Algorithm, Estimate, Recipe, Tasks};

use tch::{TchError, Tensor};

use crate::model::Pass;
use crate::params::{ParamSet, TaskView};

/// Something with a loss that is a function of its parameters.
pub trait Learner: Sync {
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
        pass: Pass,
    ) -> Result<Forward, TchError>;

    /// How many rows of `logits` have their largest value at the label in `batch`: 0-dimensional, int64.
    ///
    /// # Errors
    /// Any error of libtorch.
    fn num_right(&self, logits: &Tensor, batch: &Self::Batch) -> Result<Tensor, TchError>;
}

/// The result of one forward pass.
#[derive(Debug)]
pub struct Forward {
    /// Mean loss over the batch, 0-dimensional.
    pub loss: Tensor,
    /// Unnormalised log-probabilities, `[batch, labels]`.
    pub logits: Tensor,
}

/// An episode, or a minibatch of pooled examples, ready to be computed on.
#[derive(Debug)]
pub struct Task<B> {
    /// Its number in the run.
    pub index: u64,
    /// Its domain; `None` for a pooled minibatch.
    pub domain: Option<String>,
    /// The part of the meta-parameters that its batches refer to.
    pub view: TaskView,
    /// One batch for each gradient step of the adaptation, in order.
    pub support: Vec<B>,
    /// The adapted weights are scored on it.
    pub query: B,
    /// Seed of every dropout mask in this task.
    pub dropout_seed: u64,
}

/// The contribution of one task to an outer step. Its numbers are tensors on the device: nothing waited for them.
#[derive(Debug)]
pub struct EpisodeOutcome {
    /// The task's number in the run.
    pub index: u64,
    /// The task's domain; `None` for a pooled minibatch.
    pub domain: Option<String>,
    /// The part of the meta-parameters that `gradient` belongs to.
    pub view: TaskView,
    /// The meta-gradient, in the layout of `view`: the outer optimizer descends along it.
    pub gradient: ParamSet,
    /// Loss before each adaptation step, `[steps]`.
    pub support_losses: Tensor,
    /// Query loss, 0-dimensional.
    pub query_loss: Tensor,
    /// Query examples that were classified right, 0-dimensional, int64.
    pub num_right: Tensor,
    /// Query examples.
    pub num_scored: usize,
}
