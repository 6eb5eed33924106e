//! What the tests share: fixtures, Python, runs of the program and what they print.

pub mod evaluation;
pub mod fixtures;
pub mod hub;
pub mod parquet_file;
pub mod python;
pub mod ranks;
pub mod run;
pub mod terminal;
