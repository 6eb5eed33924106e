//! Everything that crosses modules: numbers against independent programs, and the command line.
//!
//! One binary, since each would link libtorch again.

mod input;
mod numerics;
mod program;
mod structure;
mod support;
mod survival;
