//! The command line: types only, no effects.

mod config;
mod data;
mod flags;
mod model;
mod predict;
mod ranks;
mod report;
mod shared;
mod train;
mod tune;

pub use config::{ConfigCommand, DiffArgs, ShowArgs};
pub use data::{
    DataCommand, EpisodesArgs, ImportArgs, ImportFormat, SplitArgs, StatsArgs, ValidateArgs,
};
pub use flags::{AdaptationFlags, DataFileFlags, DatasetFlags, Flags};
pub use model::{AlignArgs, FetchArgs, InfoArgs, InitArgs, ModelCommand};
pub use predict::{InputFormat, OutputFormat, PredictArgs};
pub use ranks::{Exchange, ExchangeArgs, NumGpus, RanksArgs};
pub use report::{ReportArgs, ReportFormat};
pub use shared::SharedArgs;
pub use train::{Resume, TrainArgs};
pub use tune::TuneArgs;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

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
    /// Search for settings on the meta-dev domains, and write them as a recipe.
    #[command(after_long_help = "Example:\n  metabert tune --data dataset.json \
        --model data/models/minilm-l6 --time 2h --run-dir runs/tune")]
    Tune(Box<TuneArgs>),
    /// Label new texts with an adapted model.
    #[command(after_long_help = "Example:\n  printf 'what a lovely kettle\\n' | \
        metabert predict --checkpoint models/automotive")]
    Predict(Box<PredictArgs>),
    /// Show runs and evaluations in one file of charts and tables.
    #[command(
        after_long_help = "Example:\n  metabert eval --checkpoint runs/fomaml --data dataset.json --out eval.json\n  \
        metabert report runs/fomaml eval.json --out report.html"
    )]
    Report(ReportArgs),
    /// Look at, check, split and import a dataset.
    #[command(subcommand)]
    Data(DataCommand),
    /// Look at and make model directories.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Look at recipes and settings.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Show what this machine computes with, and why not with a GPU; several processes also measure how fast they exchange.
    #[command(after_long_help = "Example:\n  metabert doctor\n  \
        torchrun --standalone --nproc-per-node 2 --no-python metabert doctor")]
    Doctor(Box<DoctorArgs>),
    /// Write manual pages, one for each command.
    #[command(
        after_long_help = "Example:\n  metabert man ~/.local/share/man/man1\n  man metabert-train"
    )]
    Man(ManArgs),
    /// Print a shell's completion script.
    #[command(after_long_help = "Example:\n  metabert completions bash > \
        ~/.local/share/bash-completion/completions/metabert")]
    Completions(CompletionsArgs),
}

/// Arguments of `finetune`.
#[derive(Debug, Args)]
pub struct FinetuneArgs {
    /// Adapt this model directory, or the best checkpoint of this run.
    #[arg(long, value_name = "DIR|RUN|NAME")]
    pub checkpoint: PathBuf,
    /// Adapt to this domain, to all of its texts unless --support is given.
    #[arg(long, value_name = "NAME")]
    pub domain: String,
    /// Write the adapted model into this directory.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Replace the output directory.
    #[arg(long)]
    pub force: bool,
    /// Hold out each of this many parts of the texts once: to estimate the accuracy, to calibrate the answers, and to keep the
    /// weights from before adapting where these are better; 0 for none of it [default: 5].
    #[arg(id = "safeguard.folds", long = "folds", value_name = "N")]
    pub folds: (),
    /// Let these texts of the domain, which have no labels, help to make prototypes: a text a line, or JSONL; - for stdin.
    #[arg(long, value_name = "FILE")]
    pub unlabelled: Option<PathBuf>,
    /// How the domain's texts are adapted to.
    #[command(flatten)]
    pub adaptation: AdaptationFlags,
    /// The labelled texts.
    #[command(flatten)]
    pub file: DataFileFlags,
    /// Other processes that share the work.
    #[command(flatten)]
    pub ranks: RanksArgs,
    /// Shared settings.
    #[command(flatten)]
    pub shared: SharedArgs,
}

/// Arguments of `eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// Score this model directory, or the best checkpoint of this run.
    #[arg(long, value_name = "DIR|RUN|NAME")]
    pub checkpoint: PathBuf,
    /// Score on this domain; may be repeated [default: every low-resource domain].
    #[arg(long, value_name = "NAME")]
    pub domain: Vec<String>,
    /// Draw this many support and query sets for each domain [default: 10].
    #[arg(id = "evaluate.episodes", long = "episodes", value_name = "N")]
    pub episodes: (),
    /// Score each draw on this many query texts, or on all that it does not adapt to [default: 20].
    #[arg(id = "evaluate.query", long = "query", value_name = "N|all")]
    pub query: (),
    /// Hold out each of this many parts of a support set once: to calibrate the answers, and to keep the weights from before
    /// adapting where these are better; 0 for none of it [default: 5].
    #[arg(id = "safeguard.folds", long = "folds", value_name = "N")]
    pub folds: (),
    /// Score each draw on these labelled texts instead of a query set: on those of the draw's domain where they have any of
    /// the evaluated domains, else on all. They are given as --data is.
    #[arg(long, value_name = "FILE|DIR|PATTERN")]
    pub test_data: Option<PathBuf>,
    /// Score these model directories or runs, separated by commas, on the same draws. Each adapts with
    /// the settings that it was trained with, unless --config, --set or a flag says otherwise.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub baselines: Vec<PathBuf>,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Also write the JSON to this file, for `metabert report`.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Replace that file.
    #[arg(long)]
    pub force: bool,
    /// How support sets are drawn and adapted to.
    #[command(flatten)]
    pub adaptation: AdaptationFlags,
    /// How the dataset is read and split.
    #[command(flatten)]
    pub dataset: DatasetFlags,
    /// Other processes that share the work.
    #[command(flatten)]
    pub ranks: RanksArgs,
    /// Shared settings.
    #[command(flatten)]
    pub shared: SharedArgs,
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print JSON instead of text.
    #[arg(long)]
    pub json: bool,
    /// Other processes to look at.
    #[command(flatten)]
    pub ranks: RanksArgs,
    /// How they exchange.
    #[command(flatten)]
    pub exchange: ExchangeArgs,
    /// Shared settings.
    #[command(flatten)]
    pub shared: SharedArgs,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write the pages into this directory, in place of older ones.
    #[arg(value_name = "DIR")]
    pub out: PathBuf,
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
    use std::any::TypeId;
    use std::collections::BTreeSet;

    use clap::CommandFactory;
    use toml::Value;

    use super::*;
    use crate::config::{Layer, PrecisionChoice, RunConfig};
    use crate::meta::{Algorithm, Rate};

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

    /// A key that does not exist would make a flag without effect.
    #[test]
    fn every_flag_with_a_key_for_its_id_sets_that_key() {
        fn check(command: &clap::Command, flags: &mut BTreeSet<String>) {
            command.get_subcommands().for_each(|command| check(command, flags));
            for argument in command.get_arguments() {
                let id = argument.get_id().as_str();
                let is_setting = argument.get_value_parser().type_id() == TypeId::of::<Value>();
                assert!(is_setting || !id.contains('.'), "{}: {id} is no key", command.get_name());
                if is_setting {
                    flags.insert(id.to_owned());
                }
            }
        }
        let mut flags = BTreeSet::new();
        check(&Cli::command(), &mut flags);
        let entries = RunConfig::default().entries();
        assert!(flags.iter().all(|flag| entries.contains_key(flag)), "{flags:?}");
        assert_eq!(flags.len(), 34, "{flags:?}");
    }

    /// The configuration that `metabert` with these arguments has on top of `stored` settings.
    fn config(arguments: &str, stored: &str) -> RunConfig {
        let arguments = ["metabert"].into_iter().chain(arguments.split_whitespace());
        let shared = match Cli::try_parse_from(arguments).unwrap().command {
            Command::Train(args) => args.shared,
            Command::Eval(args) => args.shared,
            other => panic!("{other:?}"),
        };
        let stored = Layer { source_name: "stored".into(), table: stored.parse().unwrap() };
        let layers: Vec<Layer> = [stored].into_iter().chain(shared.layers().unwrap()).collect();
        RunConfig::from_layers(&layers).unwrap()
    }

    #[test]
    fn flags_become_values_of_the_kind_that_their_keys_take() {
        let config = config(
            "train --run-dir r --algo reptile --precision bf16 --data 1 --inner-lr 1 --steps 7 \
             --low-resource a,b --low-resource c --set train.steps=8 --set train.patience=3",
            "",
        );
        assert_eq!(config.train.algo, Algorithm::Reptile);
        assert_eq!(config.precision, PrecisionChoice::Bf16);
        assert_eq!((config.data.path.as_str(), config.inner.lr), ("1", Rate(1.0).into()));
        assert_eq!((config.train.steps, config.train.patience), (7, 3), "a flag wins over --set");
        assert_eq!(config.data.low_resource, ["a", "b", "c"]);
        for (word, value) in [("9", "9"), ("all", "\"all\"")] {
            let of_flag = self::config(&format!("eval --checkpoint r --query {word}"), "");
            let stored = format!("[evaluate]\nquery = {value}");
            assert_eq!(of_flag, self::config("eval --checkpoint r", &stored));
        }
    }

    #[test]
    fn sizes_of_the_support_set_are_a_number_or_a_list() {
        let episode = |flags: &str| config(&format!("train --run-dir r {flags}"), "").episode;
        assert_eq!(episode("--support 16").support.one(), Some(16));
        assert_eq!(episode("--support 16,80").support.all(), [16, 80]);
        assert_eq!(episode("--support-per-label 1,2,5").support_per_label.all(), [1, 2, 5]);
        assert_eq!(episode("--ways 5").ways, 5);
        let stored = "[episode]\nsupport_per_label = 5";
        let by_count = config("eval --checkpoint r --support 16", stored).episode;
        assert_eq!((by_count.support.one(), by_count.support_per_label.one()), (Some(16), Some(0)));
        let both = "metabert train --run-dir r --support 16 --support-per-label 1";
        assert!(Cli::try_parse_from(both.split_whitespace()).is_err());
    }

    #[test]
    fn flags_return_what_would_overrule_them_to_its_default() {
        let stored =
            "[inner]\nsteps = 5\n[evaluate]\ninner_epochs = 40\n[data]\nlow_resource = [\"a\"]";
        let epochs = config("eval --checkpoint r --inner-epochs 3", stored);
        assert_eq!((epochs.inner.steps, epochs.evaluation_inner().epochs), (0, 3));
        let steps = config("eval --checkpoint r --inner-steps 8", stored);
        assert_eq!((steps.inner.steps, steps.evaluation_inner().steps), (8, 8));
        let rates = "[inner]\nlr = 1e-4\n[evaluate]\nlr = 1e-5\nhead_lr = 3e-3";
        let recipe = config("eval --checkpoint r --inner-lr 0.5", rates).evaluation_recipe();
        assert_eq!((recipe.steps.lr, recipe.steps.head_lr), (0.5, 0.5));
        let by_size = config("eval --checkpoint r --low-resource-max 9", stored);
        assert!(by_size.data.low_resource.is_empty(), "{:?}", by_size.data.low_resource);
        let both = config("eval --checkpoint r --low-resource-max 9 --low-resource b", stored);
        assert_eq!(both.data.low_resource, ["b"]);
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_refused_by_flag() {
        for (arguments, expected) in [
            ("--steps many", "'--steps <N>': expected a whole number"),
            ("--steps=-1", "'--steps <N>': expected a whole number"),
            ("--inner-lr fast", "'--inner-lr <X>': expected a number"),
            (
                "--algo mamal",
                "'--algo <NAME>'\n  [possible values: fomaml, maml, anil, meta-sgd, maml++, proto-maml, \
                 protonet, reptile, transfer, none]",
            ),
        ] {
            let arguments = format!("metabert train --run-dir r {arguments}");
            let error = Cli::try_parse_from(arguments.split_whitespace()).unwrap_err().to_string();
            assert!(error.contains(expected), "{arguments}: {error}");
        }
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
