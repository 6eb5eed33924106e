//! Several processes as one run: who they are, and what travels between them.
//!
//! Knows launchers' variables, bytes and jobs; nothing of training.

mod error;
mod executor;
mod gpus;
mod group;
mod heartbeat;
mod launch;
mod roll;
#[cfg(test)]
pub(crate) mod threads;

pub use error::GroupError;
pub use executor::{Executor, Kept, StopRequested};
pub use gpus::Transport;
pub use group::Group;
pub use launch::Launch;
