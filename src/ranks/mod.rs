//! Several processes as one run: who they are, and what travels between them.
//!
//! Knows launchers' variables and bytes; nothing of training.

mod group;
mod heartbeat;
mod launch;
#[cfg(test)]
pub(crate) mod threads;

pub use group::{Group, GroupError};
pub use launch::Launch;
