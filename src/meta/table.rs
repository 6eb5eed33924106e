//! The table of algorithms: each by what sets it apart from first-order MAML.

use super::algorithm::{Algorithm, OrderOf, StepWeights};
use super::head_start::HeadStart;
use super::scope::Scope;
use super::step_rule::StepSizes;
use crate::optim::Rule;

/// The parts of an outer step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tasks {
    /// Episodes with a support and a query set of one domain.
    Episodes,
    /// Minibatches of all meta-train examples pooled: a query set without support.
    Pooled,
}

/// The way from an adaptation to a meta-gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Estimate {
    /// The gradient of the query loss.
    QueryLoss {
        /// Whether dropout is on in the query loss.
        dropout: bool,
    },
    /// Initial minus adapted weights: outer gradient descent with learning rate eps is then `theta + eps (phi - theta)`
    /// (Nichol et al. 2018, algorithm 2). The query set is scored and otherwise left alone.
    Displacement,
}

/// How an algorithm trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Training {
    /// The parts of an outer step.
    pub tasks: Tasks,
    /// How each becomes a meta-gradient.
    pub estimate: Estimate,
}

/// One line of the table.
pub(super) struct Row {
    pub training: Option<Training>,
    pub head: HeadStart,
    pub scope: Scope,
    pub rule: Rule,
    pub step_sizes: StepSizes,
    pub order: OrderOf,
    pub step_weights: StepWeights,
    /// Whether it takes steps where nobody asks for a number of them.
    pub takes_steps: bool,
}

impl Row {
    /// THE TABLE: each algorithm by what sets it apart from first-order MAML.
    pub fn of(algorithm: Algorithm, query_dropout: bool) -> Self {
        let query_loss = |dropout| Estimate::QueryLoss { dropout };
        let train = |tasks, estimate| Some(Training { tasks, estimate });
        let fomaml = Self {
            training: train(Tasks::Episodes, query_loss(query_dropout)),
            head: HeadStart::Meta,
            scope: Scope::All,
            rule: Rule::Adam,
            step_sizes: StepSizes::Fixed,
            order: OrderOf::First,
            step_weights: StepWeights::Last,
            takes_steps: true,
        };
        let sgd = Self { rule: Rule::Sgd, ..fomaml };
        match algorithm {
            Algorithm::Fomaml => fomaml,
            Algorithm::Maml => Self { order: OrderOf::Second, ..sgd },
            Algorithm::Anil => Self { scope: Scope::Head, order: OrderOf::Second, ..sgd },
            Algorithm::MetaSgd => Self { step_sizes: StepSizes::Element, ..sgd },
            Algorithm::MamlPlusPlus => Self {
                step_sizes: StepSizes::TensorAndStep,
                order: OrderOf::Annealed,
                step_weights: StepWeights::Annealed,
                ..sgd
            },
            Algorithm::ProtoMaml => Self { head: HeadStart::Prototypes, ..sgd },
            Algorithm::Protonet => {
                Self { head: HeadStart::Prototypes, takes_steps: false, ..fomaml }
            }
            Algorithm::Reptile => {
                Self { training: train(Tasks::Episodes, Estimate::Displacement), ..fomaml }
            }
            Algorithm::Transfer => {
                Self { training: train(Tasks::Pooled, query_loss(true)), ..fomaml }
            }
            Algorithm::None => Self { training: None, ..fomaml },
        }
    }
}
