//! From examples to tasks that a learner computes on.

pub mod builder;
pub mod head_rows;
mod learner;
pub mod source;
pub mod vectors;

pub use builder::TaskBuilder;
pub use head_rows::HeadRows;
pub use source::{Source, TextTasks};
pub use vectors::Vectors;
