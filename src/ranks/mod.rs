//! Several processes as one run: who they are, and what travels between them.
//!
//! Knows launchers' variables, bytes and jobs; nothing of training.

mod executor;
mod group;
mod heartbeat;
mod launch;
#[cfg(test)]
pub(crate) mod threads;

pub use executor::{Executor, Kept, StopRequested};
pub use group::{Group, GroupError};
pub use launch::Launch;
