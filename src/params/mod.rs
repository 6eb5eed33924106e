//! Named tensors over one shared layout: the ground on which model, optimizer and meta-learning work.
//!
//! Knows no model, task or directory layout.

pub mod file;
pub mod init;
pub mod layout;
pub mod set;
pub mod view;

pub use file::ModelFileError;
pub use layout::{Init, Layout, Region, Slot, SlotId};
pub use set::ParamSet;
pub use view::{Rows, TaskView};
