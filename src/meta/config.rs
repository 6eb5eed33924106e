//! Sections `[inner]` and `[meta]` of the configuration: how weights adapt, and how they are trained to.

use serde::{Deserialize, Serialize};

use super::algorithm::{OrderOf, StepWeights};
use super::choice::{Choice, Rate};
use super::class_weights::ClassWeights;
use super::head_start::HeadStart;
use super::scope::Scope;
use super::step_rule::StepSizes;
use crate::checks::{self, Invalid};
use crate::optim::Rule;

/// Section `[inner]`: how weights are adapted to a support set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InnerConfig {
    /// Rule of a gradient step; its state is fresh in every episode.
    pub optimizer: Choice<Rule>,
    /// Learning rate.
    pub lr: Choice<Rate>,
    /// Learning rate of the head.
    pub head_lr: Choice<Rate>,
    /// Factor from the learning rate of each encoder layer to that of the one below it, and at last the embeddings; 1 for the
    /// same rate everywhere.
    pub layer_decay: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Epochs over the support set, names of labels not counted; used where `steps` is 0.
    pub epochs: usize,
    /// Gradient steps; 0 counts by `epochs`.
    pub steps: usize,
    /// Support texts in a minibatch; 0 takes the whole support set.
    pub batch: usize,
    /// How much the texts of each label count in the loss.
    pub class_weights: ClassWeights,
    /// Whether the query loss of a first-order meta-gradient is computed with dropout on.
    pub query_dropout: bool,
}

impl Default for InnerConfig {
    fn default() -> Self {
        Self {
            optimizer: Choice::Auto,
            lr: Choice::Auto,
            head_lr: Choice::Auto,
            layer_decay: 1.0,
            weight_decay: 0.0,
            epochs: 10,
            steps: 0,
            batch: 12,
            class_weights: ClassWeights::None,
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
        for (key, rate) in [("inner.lr", self.lr), ("inner.head_lr", self.head_lr)] {
            checks::positive(key, rate.or(Rate(1.0)).0)?;
        }
        checks::positive("inner.layer_decay", self.layer_decay)?;
        checks::not_negative("inner.weight_decay", self.weight_decay)
    }
}

/// Section `[meta]`: what an algorithm is made of. Every key overrules the algorithm's row of the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetaConfig {
    /// The head that adaptation starts from.
    pub head: Choice<HeadStart>,
    /// How sharply prototypes divide texts: the factor on their logits.
    pub temperature: f64,
    /// How many support texts a label's name counts for in its prototype, where the head starts from `label-names`. In gradient
    /// steps it is one more text.
    pub name_weight: f64,
    /// How much of a support text each text without a label counts for, in the prototype of the label that it is guessed to have.
    pub unlabelled_weight: f64,
    /// The weights that adaptation moves.
    pub scope: Choice<Scope>,
    /// Whether the step sizes of the inner loop are learned.
    pub step_sizes: Choice<StepSizes>,
    /// Whether the meta-gradient reaches through the inner steps.
    pub order: Choice<OrderOf>,
    /// The weights of the query losses after each inner step.
    pub step_weights: Choice<StepWeights>,
    /// Outer steps over which `annealed` settings change.
    pub annealing_steps: u64,
    /// The share of the loss before adapting in the outer loss, 0 to 1.
    pub zero_step_weight: f64,
}

impl Default for MetaConfig {
    fn default() -> Self {
        Self {
            head: Choice::Auto,
            temperature: 10.0,
            name_weight: 1.0,
            unlabelled_weight: 0.5,
            scope: Choice::Auto,
            step_sizes: Choice::Auto,
            order: Choice::Auto,
            step_weights: Choice::Auto,
            annealing_steps: 100,
            zero_step_weight: 0.0,
        }
    }
}

impl MetaConfig {
    /// Checks the values of the section.
    ///
    /// # Errors
    /// The first impossible value, by its key.
    pub fn validate(&self) -> Result<(), Invalid> {
        checks::positive("meta.temperature", self.temperature)?;
        checks::not_negative("meta.name_weight", self.name_weight)?;
        checks::not_negative("meta.unlabelled_weight", self.unlabelled_weight)?;
        let is_share = (0.0..1.0).contains(&self.zero_step_weight);
        let expected = "from 0 to below 1";
        checks::require(is_share, "meta.zero_step_weight", expected, self.zero_step_weight)
    }
}
