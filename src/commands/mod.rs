//! One file or folder per subcommand: the only place that wires the parts together.

mod adapted_model;
mod alike;
mod best_known;
mod checkpoint;
mod config;
mod data;
mod data_episodes;
mod data_import;
mod doctor;
mod error;
mod eval;
mod exchange;
mod finetune;
mod group;
mod loading;
mod man;
mod message;
mod model;
mod model_align;
mod model_fetch;
mod origin;
mod output;
mod predict;
mod processes;
mod report;
mod session;
mod texts;
mod train;
mod tune;

pub use error::{exit_code, is_reported_elsewhere};
pub use message::describe;

use anyhow::Result;
use clap::CommandFactory;

use crate::checks;
use crate::cli::{Cli, Command, ConfigCommand, DataCommand, ModelCommand};
use crate::ranks::Launch;

/// Runs one command.
///
/// # Errors
/// Any error of the command; [`exit_code`] says whether the input or the work is at fault.
pub fn run(command: &Command) -> Result<()> {
    let computes_alone =
        matches!(command, Command::Tune(_) | Command::Model(ModelCommand::Align(_)));
    if computes_alone {
        let num_processes = Launch::from_environment()?.size;
        let expected = "one process: only train, finetune, eval, predict and doctor run as several";
        checks::require(num_processes == 1, "the launcher", expected, num_processes)?;
    }
    match command {
        Command::Train(args) => train::run(args),
        Command::Finetune(args) => finetune::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Tune(args) => tune::run(args),
        Command::Predict(args) => predict::run(args),
        Command::Report(args) => report::run(args),
        Command::Data(DataCommand::Stats(args)) => data::stats(args),
        Command::Data(DataCommand::Validate(args)) => data::validate(args),
        Command::Data(DataCommand::Split(args)) => data::split(args),
        Command::Data(DataCommand::Episodes(args)) => data_episodes::run(args),
        Command::Data(DataCommand::Import(args)) => data_import::run(args),
        Command::Model(ModelCommand::Info(args)) => model::info(args),
        Command::Model(ModelCommand::Fetch(args)) => model_fetch::run(args),
        Command::Model(ModelCommand::Init(args)) => model::init(args),
        Command::Model(ModelCommand::Align(args)) => model_align::run(args),
        Command::Config(ConfigCommand::List) => config::list(),
        Command::Config(ConfigCommand::Show(args)) => config::show(args),
        Command::Config(ConfigCommand::Diff(args)) => config::diff(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Man(args) => man::run(args),
        Command::Completions(args) => {
            let mut script = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "metabert", &mut script);
            output::print_result(&String::from_utf8_lossy(&script))
        }
    }
}
