//! One file a subcommand: the only place that wires the parts together.

mod data;
mod data_episodes;
mod eval;
mod eval_report;
mod eval_texts;
mod finetune;
mod flags;
mod loading;
mod locking;
mod message;
mod model;
mod model_card;
mod predict;
pub mod predict_input;
mod resume;
mod run_files;
mod settings;
mod signals;
mod starting_point;
mod texts;
mod train;
mod train_checks;

pub use message::describe;

use std::io::{self, Write};

use anyhow::{Context, Error, Result};
use clap::CommandFactory;
use thiserror::Error;

use crate::cli::{Cli, Command, DataCommand, ModelCommand};
use crate::config::ConfigError;
use crate::data::{DataError, TokenizerError};
use crate::machine::device::DeviceError;
use crate::model::PretrainedError;
use crate::run::OutputExists;

/// Training was stopped by a signal, behind saving.
#[derive(Debug, Error)]
#[error("interrupted; go on with: {resume}")]
pub struct Interrupted {
    /// The signal's number.
    pub signal: usize,
    /// The command that goes on.
    pub resume: String,
}

/// Arguments or input that cannot be worked with, and no other error type describes.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct InputError(pub String);

/// Runs one command.
///
/// # Errors
/// Whatever went wrong; [`exit_code`] tells whose fault it is.
pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Train(args) => train::run(args),
        Command::Finetune(args) => finetune::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Predict(args) => predict::run(args),
        Command::Data(DataCommand::Stats(args)) => data::stats(args),
        Command::Data(DataCommand::Validate(args)) => data::validate(args),
        Command::Data(DataCommand::Split(args)) => data::split(args),
        Command::Data(DataCommand::Episodes(args)) => data_episodes::run(args),
        Command::Model(ModelCommand::Info(args)) => model::info(args),
        Command::Model(ModelCommand::Init(args)) => model::init(args),
        Command::Completions(args) => {
            let mut script = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "metabert", &mut script);
            print_result(&String::from_utf8_lossy(&script))
        }
    }
}

/// Writes a result to stdout.
fn print_result(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    end_of_stdout(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

/// What writing to stdout came to. A reader that has had enough is no error.
fn end_of_stdout(written: io::Result<()>) -> Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("stdout cannot be written"),
    }
}

/// 2 where usage, configuration or input is wrong, 128 + the signal where one stopped training,
/// 1 where the work failed.
pub fn exit_code(error: &Error) -> u8 {
    if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
        return 128 + interrupted.signal as u8;
    }
    let is_input = error.chain().any(|cause| {
        cause.is::<InputError>()
            || cause.is::<ConfigError>()
            || cause.is::<DataError>()
            || cause.is::<TokenizerError>()
            || cause.is::<PretrainedError>()
            || cause.is::<DeviceError>()
            || cause.is::<OutputExists>()
    });
    if is_input { 2 } else { 1 }
}
