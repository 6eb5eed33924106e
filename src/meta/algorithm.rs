//! The algorithms by name, and the terms in which the table describes them.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::choice::named;
use crate::model::Order;

/// The algorithms by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// First-order MAML (Finn et al. 2017).
    #[default]
    Fomaml,
    /// MAML: the meta-gradient reaches through the inner steps (Finn et al. 2017).
    Maml,
    /// Almost no inner loop: the head alone adapts (Raghu et al. 2020).
    Anil,
    /// Learned step sizes, one for each weight (Li et al. 2017).
    MetaSgd,
    /// Learned step sizes for each tensor and step, losses after every step, first order before second (Antoniou et al. 2019).
    #[serde(rename = "maml++")]
    MamlPlusPlus,
    /// MAML from a head of prototypes (Triantafillou et al. 2020).
    ProtoMaml,
    /// Prototypes, and no inner steps (Snell et al. 2017).
    Protonet,
    /// Reptile (Nichol et al. 2018).
    Reptile,
    /// Plain training on the pooled high-resource domains.
    Transfer,
    /// No meta-training: the pretrained encoder with a fresh head.
    None,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 10] = [
        Self::Fomaml,
        Self::Maml,
        Self::Anil,
        Self::MetaSgd,
        Self::MamlPlusPlus,
        Self::ProtoMaml,
        Self::Protonet,
        Self::Reptile,
        Self::Transfer,
        Self::None,
    ];
}

impl Display for Algorithm {
    /// Its name in the configuration.
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        self.serialize(formatter)
    }
}

/// Whether the meta-gradient reaches through the inner steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderOf {
    /// It takes the inner gradients for constants.
    First,
    /// It differentiates them.
    Second,
    /// First order until the annealing ends, then second.
    Annealed,
}

impl OrderOf {
    /// Its order in an outer step, counted from 0.
    pub(super) fn at(self, step: u64, annealing_steps: u64) -> Order {
        match self {
            Self::Second => Order::Second,
            Self::Annealed if step >= annealing_steps => Order::Second,
            Self::First | Self::Annealed => Order::First,
        }
    }
}

impl Display for OrderOf {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        self.serialize(formatter)
    }
}

impl FromStr for OrderOf {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        named(&[Self::First, Self::Second, Self::Annealed], word)
    }
}

/// The weights of the query losses after each inner step; they sum to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepWeights {
    /// The loss after the last step counts alone.
    Last,
    /// All count alike.
    Uniform,
    /// All count alike in the first outer step, and the last one alone when the annealing ends.
    Annealed,
}

impl StepWeights {
    /// The weights after the inner steps 1 to `num_steps` in an outer step, counted from 0; for no inner step, that of the loss
    /// at the start.
    pub(super) fn at(self, num_steps: usize, step: u64, annealing_steps: u64) -> Vec<f64> {
        let count = num_steps.max(1);
        let share_of_last = match self {
            Self::Last => 1.0,
            Self::Uniform => 0.0,
            Self::Annealed if annealing_steps == 0 => 1.0,
            Self::Annealed => (step as f64 / annealing_steps as f64).min(1.0),
        };
        let mut weights = vec![(1.0 - share_of_last) / count as f64; count];
        weights[count - 1] += share_of_last;
        weights
    }
}

impl Display for StepWeights {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        self.serialize(formatter)
    }
}

impl FromStr for StepWeights {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        named(&[Self::Last, Self::Uniform, Self::Annealed], word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annealed_weights_move_to_the_last_step() {
        let at = |step| StepWeights::Annealed.at(4, step, 10);
        assert_eq!(at(0), [0.25; 4]);
        assert_eq!(at(5), [0.125, 0.125, 0.125, 0.625]);
        assert_eq!(at(10), [0.0, 0.0, 0.0, 1.0]);
        assert_eq!(at(99), StepWeights::Last.at(4, 0, 10));
        assert_eq!(StepWeights::Uniform.at(0, 0, 10), [1.0], "the loss at the start");
    }

    #[test]
    fn annealed_order_is_first_and_then_second() {
        let orders = [9, 10].map(|step| OrderOf::Annealed.at(step, 10));
        assert_eq!(orders, [Order::First, Order::Second]);
    }
}
