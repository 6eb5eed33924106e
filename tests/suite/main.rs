//! Everything that crosses modules: numbers against independent programs, and the command line.
//!
//! One binary, since each would link libtorch again.

mod bad_input;
mod bert_parity;
mod command_line;
mod command_line_errors;
mod compact_tables;
mod crash;
mod damaged_checkpoints;
mod data_episodes;
mod dropout_in_bert;
mod faults;
mod fixtures;
mod golden_curves;
mod interop;
mod learning;
mod lock;
mod memory;
mod non_finite;
mod optimizers;
mod program;
mod python;
mod readme;
mod reference_trace;
mod resume;
mod structure;
mod tokenizer_parity;
mod workers;
