//! From examples to tasks that a learner computes on.

pub mod builder;
pub mod learner;

pub use builder::{Contribution, TaskBuilder, TaskSource};
pub use learner::TextLearner;
