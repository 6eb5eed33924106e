//! First-order optimization of a parameter set: steps, schedules, clipping.
//!
//! Serves the inner and the outer loop alike. Knows parameter sets; no model, file, clock or log.

pub mod clip;
pub mod optimizer;
pub mod schedule;

pub use clip::clip_by_global_norm;
pub use optimizer::{Optimizer, OptimizerConfig, Rule};
pub use schedule::{Schedule, ScheduleConfig};
