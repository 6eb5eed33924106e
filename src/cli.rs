//! The command line: types only, no effects.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::{PRESETS, PrecisionChoice};
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

/// Settings that every subcommand with a model or a dataset shares.
#[derive(Debug, Default, Args)]
pub struct SharedArgs {
    /// Read settings from a TOML file.
    #[arg(long, value_name = "FILE", help_heading = "Settings")]
    pub config: Option<PathBuf>,
    /// Set one configuration key; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Settings")]
    pub set: Vec<String>,
    /// Compute on auto, cpu, cuda or cuda:N [default: auto].
    #[arg(long, value_name = "DEVICE", help_heading = "Settings")]
    pub device: Option<String>,
    /// Compute matrix products in this precision [default: auto].
    #[arg(long, value_name = "PRECISION", value_enum, help_heading = "Settings")]
    pub precision: Option<PrecisionChoice>,
    /// Derive every random number from this seed, below 2^63 [default: 0].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..1 << 63), help_heading = "Settings")]
    pub seed: Option<u64>,
    /// Use this many CPU threads; 0 for one a core [default: 0].
    #[arg(long, value_name = "N", help_heading = "Settings")]
    pub threads: Option<usize>,
    /// Truncate texts to this many wordpieces [default: 256].
    #[arg(long, value_name = "N", help_heading = "Settings")]
    pub max_length: Option<usize>,
    /// Print nothing on stderr but errors.
    #[arg(long, short, help_heading = "Settings")]
    pub quiet: bool,
    /// Print more on stderr: settings, device, what was loaded.
    #[arg(long, short, action = clap::ArgAction::Count, help_heading = "Settings")]
    pub verbose: u8,
    /// Print the resolved configuration as TOML and do nothing else.
    #[arg(long, help_heading = "Settings")]
    pub print_config: bool,
}

/// How a dataset is read and split.
#[derive(Debug, Default, Args)]
pub struct DatasetArgs {
    /// Read labelled texts from this file.
    #[arg(long, value_name = "FILE", help_heading = "Data")]
    pub data: Option<String>,
    /// Keep these domains, separated by commas, out of meta-training.
    #[arg(long, value_name = "A,B,C", value_delimiter = ',', help_heading = "Data")]
    pub low_resource: Vec<String>,
    /// Keep domains with at most this many examples out of meta-training [default: 200].
    #[arg(long, value_name = "N", help_heading = "Data")]
    pub low_resource_max: Option<usize>,
}

/// How an episode is drawn and adapted to.
#[derive(Debug, Default, Args)]
pub struct EpisodeArgs {
    /// Adapt to this many texts [default: 80].
    #[arg(long, value_name = "N", help_heading = "Adaptation")]
    pub support: Option<usize>,
    /// Adapt for this many epochs over the support set [default: 10].
    #[arg(long, value_name = "N", conflicts_with = "inner_steps", help_heading = "Adaptation")]
    pub inner_epochs: Option<usize>,
    /// Adapt for this many gradient steps.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Adaptation")]
    pub inner_steps: Option<u64>,
    /// Adapt in minibatches of this many texts [default: 12].
    #[arg(long, value_name = "N", help_heading = "Adaptation")]
    pub inner_batch: Option<usize>,
    /// Adapt with this learning rate [default: 5e-5].
    #[arg(long, value_name = "X", help_heading = "Adaptation")]
    pub inner_lr: Option<f64>,
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
    /// Go on from the latest checkpoint of the run directory.
    #[arg(long, conflicts_with = "force")]
    pub resume: bool,
    /// Replace what the run directory holds.
    #[arg(long)]
    pub force: bool,
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

/// What to do with a dataset.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Print examples, labels and lengths of each domain.
    #[command(after_long_help = "Example:\n  metabert data stats --data dataset.json \
        --model data/models/minilm-l6")]
    Stats(StatsArgs),
    /// Check a dataset as training and evaluation would, and sum it up.
    #[command(after_long_help = "Example:\n  metabert data validate --data dataset.json")]
    Validate(ValidateArgs),
    /// Write one file for each side of the split.
    #[command(after_long_help = "Example:\n  metabert data split --data dataset.json --out sides")]
    Split(SplitArgs),
    /// Print the episodes that `train` with the same settings takes, a JSON object a line.
    ///
    /// Texts are given as positions among the records of the file, counted from 0.
    #[command(
        after_long_help = "Example:\n  metabert data episodes --data dataset.json --count 100"
    )]
    Episodes(EpisodesArgs),
}

/// Arguments of `data stats`.
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// Measure lengths with this model directory's tokenizer; without it they are left out.
    #[arg(long, value_name = "DIR")]
    pub model: Option<String>,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
    /// How the dataset is read and split.
    #[command(flatten)]
    pub dataset: DatasetArgs,
    /// Shared settings.
    #[command(flatten)]
    pub shared: SharedArgs,
}

/// Arguments of `data validate`.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Require domains to hold this many texts to adapt to [default: 80].
    #[arg(long, value_name = "N")]
    pub support: Option<usize>,
    /// Require domains to hold this many more to score on [default: 20].
    #[arg(long, value_name = "N")]
    pub query: Option<usize>,
    /// How the dataset is read and split.
    #[command(flatten)]
    pub dataset: DatasetArgs,
    /// Shared settings.
    #[command(flatten)]
    pub shared: SharedArgs,
}

/// Arguments of `data split`.
#[derive(Debug, Args)]
pub struct SplitArgs {
    /// Write meta_train.json, meta_dev.json and low_resource.json into this directory.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Replace files in the output directory.
    #[arg(long)]
    pub force: bool,
    /// How the dataset is read and split.
    #[command(flatten)]
    pub dataset: DatasetArgs,
    /// Shared settings.
    #[command(flatten)]
    pub shared: SharedArgs,
}

/// Arguments of `data episodes`.
#[derive(Debug, Args)]
pub struct EpisodesArgs {
    /// Print this many episodes.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(..1 << 63))]
    pub count: u64,
    /// Begin with the episode of this index.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..1 << 63))]
    pub start: u64,
    /// Order labels as the head of this model directory does [default: as the file does].
    #[arg(long, value_name = "DIR")]
    pub model: Option<String>,
    /// Draw this many texts to adapt to [default: 80].
    #[arg(long, value_name = "N")]
    pub support: Option<usize>,
    /// Draw this many more to score on [default: 20].
    #[arg(long, value_name = "N")]
    pub query: Option<usize>,
    /// How the dataset is read and split.
    #[command(flatten)]
    pub dataset: DatasetArgs,
    /// Shared settings.
    #[command(flatten)]
    pub shared: SharedArgs,
}

/// What to do with a model directory.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Print architecture, parameters, labels, and what loading would initialise.
    #[command(after_long_help = "Example:\n  metabert model info data/models/minilm-l6")]
    Info(InfoArgs),
    /// Write a model directory with seeded random weights.
    #[command(
        after_long_help = "Example:\n  metabert model init --config bert-base --out models/random"
    )]
    Init(InitArgs),
}

/// Arguments of `model info`.
#[derive(Debug, Args)]
pub struct InfoArgs {
    /// Describe this model directory, or the best checkpoint of this run.
    #[arg(value_name = "DIR|RUN")]
    pub model: PathBuf,
    /// Print JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `model init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Use this architecture: bert-base, bert-mini, bert-tiny, or a config.json.
    #[arg(long, value_name = "NAME|FILE")]
    pub config: String,
    /// Write the model into this directory.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Take the tokenizer, and the size of the vocabulary, from this model directory.
    #[arg(long, value_name = "DIR")]
    pub tokenizer: Option<PathBuf>,
    /// Give the head these labels, separated by commas [default: negative,positive].
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub labels: Vec<String>,
    /// Draw the weights from this seed.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Replace the output directory.
    #[arg(long)]
    pub force: bool,
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
