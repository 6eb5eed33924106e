//! A run's files: configuration, events and checkpoints on disk; and its progress on the console.
//!
//! Knows how parameter sets are saved, and no algorithm.

pub(crate) mod checkpoint;
pub(crate) mod console;
pub(crate) mod directory;
pub(crate) mod environment;
pub(crate) mod events;
pub(crate) mod lock;
pub(crate) mod log;
pub mod manifest;
pub(crate) mod output;
pub(crate) mod recovery;
pub(crate) mod retention;
pub(crate) mod starting_point;
pub(crate) mod tensorboard;

pub(crate) use checkpoint::{Progress, TrainingState};
pub(crate) use directory::RunDirectory;
pub(crate) use environment::{Environment, Machine, Provenance};
pub(crate) use events::Event;
pub(crate) use log::RunLog;
pub(crate) use output::OutputExists;
pub(crate) use starting_point::StartingPoint;
