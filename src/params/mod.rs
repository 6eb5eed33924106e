//! Named tensors over one shared layout: the ground on which model, optimizer and meta-learning work.
//!
//! Knows no model, task or directory layout.

pub mod file;
pub mod init;
pub mod set;
pub mod view;

pub use file::ModelFileError;
pub use set::{Init, Layout, ParamSet, Region, Slot, SlotId};
pub use view::{Rows, TaskView};
