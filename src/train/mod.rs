//! The outer loop of a run, with its evaluations, events and checkpoints.
//!
//! Parses no arguments, and knows no text: it is given tasks.

pub mod align;
pub mod config;
pub mod deal;
mod dev_set;
pub mod exchange;
pub mod meta_batch;
pub mod non_finite;
pub mod outer_loop;
pub mod recorder;
pub mod training;

pub use align::Alignment;
pub use config::{EvaluateConfig, OuterConfig, TrainConfig};
pub use dev_set::DevSet;
pub use non_finite::NonFiniteGuard;
pub use outer_loop::OuterLoop;
pub use recorder::Recorder;
pub use training::{Outcome, Training};
