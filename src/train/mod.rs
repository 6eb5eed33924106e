//! The outer loop, and the evaluation of what it learns.
//!
//! Wires episodes, algorithm, optimizer and run directory together; parses no arguments.

pub mod config;
pub mod dev_set;
pub mod non_finite;
pub mod step_report;
pub mod trainer;

pub use config::{EvaluateConfig, OuterConfig, TrainConfig};
pub use dev_set::DevSet;
pub use non_finite::NonFiniteGuard;
pub use trainer::{Outcome, Trainer};
