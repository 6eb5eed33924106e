//! The outer loop, and the evaluation of what it learns.
//!
//! Wires episodes, algorithm, optimizer and run directory together; parses no arguments.

pub mod config;
pub mod evaluate;
pub mod finetune;
pub mod learner;
pub mod metrics;
pub mod predict;
pub mod profile;
pub mod tasks;
pub mod trainer;
pub mod workers;

pub use config::{EvaluateConfig, OuterConfig, TrainConfig};
pub use evaluate::{DomainResult, Evaluation, Evaluator};
pub use learner::TextLearner;
pub use profile::Profile;
pub use tasks::{TaskBuilder, TaskSource};
pub use trainer::{Outcome, TrainError, Trainer};
pub use workers::Workers;
