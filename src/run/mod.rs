//! A run's files: configuration, events and checkpoints on disk; and its progress on the console.
//!
//! Knows how parameter sets are saved, and no algorithm.

pub mod checkpoint;
pub mod console;
pub mod directory;
pub mod environment;
pub mod events;
pub mod lock;
pub mod log;
pub mod manifest;
pub mod output;
pub mod recovery;
pub mod retention;
pub mod starting_point;
pub mod tensorboard;

pub use checkpoint::{Progress, TrainingState};
pub use directory::RunDirectory;
pub use environment::{Environment, Machine, Provenance};
pub use events::Event;
pub use log::RunLog;
pub use output::OutputExists;
pub use starting_point::StartingPoint;
