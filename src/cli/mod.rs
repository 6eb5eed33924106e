//! The command line: types only, no effects.

mod data;
mod model;
mod shared;

pub use data::{DataCommand, EpisodesArgs, SplitArgs, StatsArgs, ValidateArgs};
pub use model::{InfoArgs, InitArgs, ModelCommand};
pub use shared::{DatasetArgs, EpisodeArgs, SharedArgs};

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::PRESETS;
use crate::meta::Algorithm;

/// Meta-train BERT on many small text-classification domains, and adapt it to a new one.
#[derive(Debug, Parser)]
#[command(name = "metabert", version, arg_required_else_help = true, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Meta-train an initialisation on the high-resource domains.
    #[command(after_long_help = "Example:\n  metabert train --algo fomaml --data dataset.json \
        --model data/models/minilm-l6 --run-dir runs/fomaml")]
    Train(Box<TrainArgs>),
    /// Adapt a checkpoint to one domain and write the result as a model directory.
    #[command(after_long_help = "Example:\n  metabert finetune --checkpoint runs/fomaml \
        --domain automotive --data dataset.json --out models/automotive")]
    Finetune(Box<FinetuneArgs>),
    /// Score a checkpoint on seeded draws of the low-resource domains.
    #[command(after_long_help = "Example:\n  metabert eval --checkpoint runs/fomaml \
        --data dataset.json --baselines data/models/minilm-l6,runs/transfer")]
    Eval(Box<EvalArgs>),
    /// Label new texts with an adapted model.
    #[command(after_long_help = "Example:\n  printf 'what a lovely kettle\\n' | \
        metabert predict --checkpoint models/automotive")]
    Predict(Box<PredictArgs>),
    /// Look at, check and split a dataset.
    #[command(subcommand)]
    Data(DataCommand),
    /// Look at and make model directories.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Print a shell's completion script.
    #[command(after_long_help = "Example:\n  metabert completions bash > \
        ~/.local/share/bash-completion/completions/metabert")]
    Completions(CompletionsArgs),
}

/// Arguments of `train`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Meta-train with this algorithm [default: fomaml].
    #[arg(long, value_name = "NAME", value_enum)]
    pub algo: Option<Algorithm>,
    /// Start from this model directory.
    #[arg(long, value_name = "DIR")]
    pub model: Option<String>,
    /// Write configuration, events and checkpoints into this directory.
    #[arg(long, value_name = "DIR", required_unless_present = "print_config")]
    pub run_dir: Option<PathBuf>,
    /// Start from the settings of a published implementation.
    #[arg(long, value_name = "NAME", value_parser = PRESETS)]
    pub preset: Option<String>,
    /// Go on from the latest checkpoint of the run directory, or the newest intact one before it.
    #[arg(long, conflicts_with = "force")]
    pub resume: bool,
    /// Replace what the run directory holds.
    #[arg(long)]
    pub force: bool,
    /// Print where the time went, the speed reached and the peak memory, on stderr at the end.
    #[arg(long)]
    pub profile: bool,
    /// Take this many outer steps [default: 500].
    #[arg(long, value_name = "N", help_heading = "Outer loop")]
    pub steps: Option<u64>,
    /// Average the meta-gradients of this many episodes in an outer step [default: 2].
    #[arg(long, value_name = "N", help_heading = "Outer loop")]
    pub meta_batch: Option<u64>,
    /// Take outer steps with this learning rate [default: 5e-5].
    #[arg(long, value_name = "X", help_heading = "Outer loop")]
    pub outer_lr: Option<f64>,
    /// Evaluate on the meta-dev domains every N outer steps; 0 for the end only [default: 50].
    #[arg(long, value_name = "N", help_heading = "Outer loop")]
    pub eval_every: Option<u64>,
    /// Write a checkpoint every N outer steps; 0 for only the best ones and the last [default: 50].
    #[arg(long, value_name = "N", help_heading = "Outer loop")]
    pub checkpoint_every: Option<u64>,
    /// Score a meta-gradient on this many query texts [default: 20].
    #[arg(long, value_name = "N", help_heading = "Adaptation")]
    pub query: Option<usize>,
    /// How episodes are drawn and adapted to.
    #[command(flatten)]
    pub episode: EpisodeArgs,
    /// How the dataset is read and split.
    #[command(flatten)]
    pub dataset: DatasetArgs,
    /// Shared settings.
    #[command(flatten)]
    pub shared: SharedArgs,
}

/// Arguments of `finetune`.
#[derive(Debug, Args)]
pub struct FinetuneArgs {
    /// Adapt this model directory, or the best checkpoint of this run.
    #[arg(long, value_name = "DIR|RUN")]
    pub checkpoint: PathBuf,
    /// Adapt to this domain.
    #[arg(long, value_name = "NAME")]
    pub domain: String,
    /// Write the adapted model into this directory.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Replace the output directory.
    #[arg(long)]
    pub force: bool,
    /// Estimate the accuracy by cross-validation with this many folds; 0 for no estimate.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub folds: usize,
    /// How the domain's texts are adapted to; all of them unless --support is given.
    #[command(flatten)]
    pub episode: EpisodeArgs,
    /// Read labelled texts from this file.
    #[arg(long, value_name = "FILE", help_heading = "Data")]
    pub data: Option<String>,
    /// Shared settings.
    #[command(flatten)]
    pub shared: SharedArgs,
}

/// Arguments of `eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// Score this model directory, or the best checkpoint of this run.
    #[arg(long, value_name = "DIR|RUN")]
    pub checkpoint: PathBuf,
    /// Score on this domain; may be repeated [default: every low-resource domain].
    #[arg(long, value_name = "NAME")]
    pub domain: Vec<String>,
    /// Draw this many support and query sets for each domain [default: 10].
    #[arg(long, value_name = "N")]
    pub episodes: Option<u64>,
    /// Score each draw on this many query texts [default: 20].
    #[arg(long, value_name = "N")]
    pub query: Option<usize>,
    /// Score each draw on the labelled texts of this file instead of a query set: on those of the
    /// draw's domain where the file has any of the evaluated domains, else on all.
    #[arg(long, value_name = "FILE")]
    pub test_data: Option<PathBuf>,
    /// Score these model directories or runs, separated by commas, on the same draws.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub baselines: Vec<PathBuf>,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
    /// How support sets are drawn and adapted to.
    #[command(flatten)]
    pub episode: EpisodeArgs,
    /// How the dataset is read and split.
    #[command(flatten)]
    pub dataset: DatasetArgs,
    /// Shared settings.
    #[command(flatten)]
    pub shared: SharedArgs,
}

/// Arguments of `predict`.
#[derive(Debug, Args)]
pub struct PredictArgs {
    /// Label with this model directory, or the best checkpoint of this run.
    #[arg(long, value_name = "DIR|RUN")]
    pub checkpoint: PathBuf,
    /// Read texts from this file, one a line, or JSONL with a `text` field; - for stdin.
    #[arg(long, value_name = "FILE|-", default_value = "-")]
    pub input: PathBuf,
    /// Write JSONL to this file; - for stdout.
    #[arg(long, value_name = "FILE|-", default_value = "-")]
    pub output: PathBuf,
    /// Replace the output file.
    #[arg(long)]
    pub force: bool,
    /// Shared settings.
    #[command(flatten)]
    pub shared: SharedArgs,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Write for this shell.
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: Shell,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_argument_has_help_that_is_a_sentence() {
        fn check(command: &clap::Command) {
            for argument in command.get_arguments().filter(|a| a.get_id() != "help") {
                let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
                let is_sentence = help.starts_with(char::is_uppercase);
                assert!(is_sentence, "{} {}: {help:?}", command.get_name(), argument.get_id());
            }
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty(), "{} says what it does", command.get_name());
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn every_leaf_command_shows_an_example() {
        fn check(command: &clap::Command) {
            if command.has_subcommands() {
                return command.get_subcommands().for_each(check);
            }
            let example = command.get_after_long_help().map(ToString::to_string);
            assert!(
                example.is_some_and(|text| text.contains("Example:")),
                "{}",
                command.get_name()
            );
        }
        check(&Cli::command());
    }
}
