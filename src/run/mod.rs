//! What a run leaves: configuration, events and checkpoints on disk, progress on the console.
//!
//! Knows parameter sets and how they are saved; knows no algorithm.

pub mod checkpoint;
pub mod console;
pub mod directory;
pub mod environment;
pub mod events;
pub mod lock;
pub mod log;
pub mod manifest;
pub mod recovery;
pub mod retention;
pub mod starting_point;
pub mod tensorboard;

pub use checkpoint::{Progress, TrainingState};
pub use directory::{OutputExists, RunDirectory};
pub use environment::{Environment, Machine, Provenance};
pub use events::Event;
pub use log::RunLog;
pub use starting_point::StartingPoint;
