//! The meta-learning family: one table of algorithms, of which each is a [`Recipe`] with two verbs.
//!
//! Knows parameter sets and a [`Learner`]; no text, file, clock or log. The mathematics is tested on a quadratic.

pub mod algorithm;
pub mod choice;
pub mod class_weights;
pub mod config;
pub mod head_start;
pub mod inner_loop;
pub mod label_names;
mod meta_gradient;
mod prototypes;
#[cfg(test)]
pub(crate) mod quadratic;
mod query_loss;
pub mod recipe;
mod refusals;
pub mod scope;
pub mod step_rule;
pub mod support;
pub mod table;

pub use algorithm::Algorithm;
pub use choice::{Choice, Rate};
pub use class_weights::ClassWeights;
pub use config::{InnerConfig, MetaConfig};
pub use head_start::HeadStart;
pub use recipe::{Adapted, Recipe};
pub use scope::Scope;
pub use step_rule::StepSizes;
pub use support::{Embedded, Steps, Support, Whole};
pub use table::{Estimate, Tasks};

use tch::{TchError, Tensor};

use crate::model::Pass;
use crate::model::classifier::Head;
use crate::params::{ParamSet, TaskView};

/// A classifier that is a function of its parameters: an encoder, and a head that reads one vector for each example.
pub trait Learner: Sync {
    /// What one loss is computed on.
    type Batch;

    /// The vectors that the head reads, `[batch, hidden]`.
    ///
    /// # Errors
    /// Any error of libtorch.
    fn embed(&self, params: &ParamSet, batch: &Self::Batch, pass: Pass)
    -> Result<Tensor, TchError>;

    /// The loss and the logits of examples with these vectors (`[batch, hidden]`) and labels (`[batch]`, int64).
    ///
    /// # Errors
    /// Any error of libtorch.
    fn classify(
        &self,
        params: &ParamSet,
        features: &Tensor,
        labels: &Tensor,
        pass: Pass,
    ) -> Result<Forward, TchError>;

    /// The labels of a batch, `[batch]`, int64.
    fn labels(&self, batch: &Self::Batch) -> Tensor;

    /// The slots of the head.
    fn head(&self) -> Head;

    /// The loss and the logits of a batch.
    ///
    /// # Errors
    /// Any error of libtorch.
    fn forward(
        &self,
        params: &ParamSet,
        batch: &Self::Batch,
        pass: Pass,
    ) -> Result<Forward, TchError> {
        let features = self.embed(params, batch, pass)?;
        self.classify(params, &features, &self.labels(batch), pass)
    }
}

/// The result of one forward pass.
#[derive(Debug)]
pub struct Forward {
    /// Mean loss over the batch, 0-dimensional.
    pub loss: Tensor,
    /// Unnormalised log-probabilities, `[batch, labels]`.
    pub logits: Tensor,
}

impl Forward {
    /// How many rows of the logits have their largest value at the label (`[batch]`, int64): 0-dimensional, int64.
    fn num_right(&self, labels: &Tensor) -> Result<Tensor, TchError> {
        self.logits.f_argmax(-1, false)?.f_eq_tensor(labels)?.f_sum(None)
    }
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
    /// What the weights adapt to.
    pub support: Support<B>,
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
