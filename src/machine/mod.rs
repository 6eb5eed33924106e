//! The machine: its device, memory and threads, and where its time goes.

pub mod device;
pub mod profile;
pub mod workers;

pub use profile::{Profile, observe};
pub use workers::Workers;
