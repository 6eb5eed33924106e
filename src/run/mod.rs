//! Run directories: configuration, events and checkpoints on disk.
//!
//! Knows parameter sets and how they are saved; knows no algorithm.

pub mod checkpoint;
pub mod console;
pub mod directory;
pub mod events;

pub use checkpoint::{Progress, TrainingState};
pub use directory::{OutputExists, RunDirectory};
pub use events::{Event, EventLog};
