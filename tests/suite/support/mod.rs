//! What the tests share: fixtures, Python, and runs of the program.

pub mod fixtures;
pub mod python;
pub mod run;
