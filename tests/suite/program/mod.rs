//! The program as a user sees it: subcommands, messages, exit codes, files for other programs.

mod command_line;
pub mod command_line_errors;
mod command_line_eval;
mod config;
mod data_episodes;
mod data_files;
mod data_import;
mod domain_labels;
mod family;
mod hub;
mod interop;
mod interop_sentence;
mod label_names;
mod label_sets;
mod launchers;
mod model_align;
mod model_directory;
mod model_errors;
mod predict;
mod progress;
mod readme;
mod report;
mod safeguards;
mod tables;
mod training_plans;
mod tune;
mod unlabelled;
#[cfg(target_os = "linux")]
#[cfg(target_arch = "x86_64")]
mod wheel;
