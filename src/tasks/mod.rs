//! From examples to tasks that a learner computes on.

pub mod builder;
mod learner;
pub mod source;

pub use builder::TaskBuilder;
pub use source::{Source, TextTasks};
