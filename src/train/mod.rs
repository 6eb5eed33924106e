//! The outer loop, and the evaluation of what it learns.
//!
//! Wires episodes, algorithm, optimizer and run directory together; parses no arguments.

pub mod config;
pub mod dev_set;
pub mod evaluate;
pub mod finetune;
pub mod learner;
pub mod metrics;
pub mod non_finite;
pub mod predict;
pub mod profile;
pub mod step_report;
pub mod tasks;
pub mod trainer;
pub mod workers;

pub use config::{EvaluateConfig, OuterConfig, TrainConfig};
pub use dev_set::DevSet;
pub use evaluate::{DomainResult, Evaluation, Evaluator};
pub use learner::TextLearner;
pub use non_finite::NonFiniteGuard;
pub use profile::Profile;
pub use tasks::{TaskBuilder, TaskSource};
pub use trainer::{Outcome, Trainer};
pub use workers::Workers;
