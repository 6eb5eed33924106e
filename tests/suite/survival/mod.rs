//! Runs that are stopped, killed, damaged, short of disk or full of numbers that are not finite.

mod crash;
mod crash_of_ranks;
mod damaged_checkpoints;
mod faults;
mod lock;
mod memory;
mod non_finite;
mod ranks;
pub mod resume;
mod resume_state;
