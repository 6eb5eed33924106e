//! Arguments of `train`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::flags::{AdaptationFlags, DatasetFlags};
use super::ranks::{ExchangeArgs, RanksArgs};
use super::shared::SharedArgs;

/// Arguments of `train`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Train with this algorithm [default: by the preset, or fomaml].
    #[arg(id = "train.algo", long = "algo", value_name = "NAME")]
    pub algo: (),
    /// Start from this model directory, from the best checkpoint of this run, or from this model of the Hugging Face cache.
    #[arg(id = "model.path", long = "model", value_name = "DIR|RUN|NAME")]
    pub model: (),
    /// Write configuration, events and checkpoints into this directory.
    #[arg(long, value_name = "DIR", required_unless_present = "print_config")]
    pub run_dir: Option<PathBuf>,
    /// Start from this recipe [default: without --config and --algo the best known for the label sets of the data].
    #[arg(id = "preset", long = "preset", value_name = "NAME")]
    pub preset: (),
    /// Resume from the latest checkpoint of the run directory, or the newest intact one before it; with `auto` start
    /// where there is no run yet.
    #[arg(long, value_name = "auto", num_args = 0..=1, default_missing_value = "always", conflicts_with = "force")]
    pub resume: Option<Resume>,
    /// Replace the contents of the run directory.
    #[arg(long)]
    pub force: bool,
    /// Print where the time went, the speed reached and the peak memory, on stderr at the end.
    #[arg(long)]
    pub profile: bool,
    /// What an outer step is made of, and what happens between outer steps.
    #[command(flatten)]
    pub outer_loop: OuterLoopFlags,
    /// Score a meta-gradient on this many query texts [default: 20].
    #[arg(id = "episode.query", long = "query", value_name = "N", help_heading = "Adaptation")]
    pub query: (),
    /// Draw this many of a domain's labels for each episode; 0 for all [default: 0].
    #[arg(id = "episode.ways", long = "ways", value_name = "N", help_heading = "Adaptation")]
    pub ways: (),
    /// How episodes are drawn and adapted to.
    #[command(flatten)]
    pub adaptation: AdaptationFlags,
    /// How the dataset is read and split.
    #[command(flatten)]
    pub dataset: DatasetFlags,
    /// Other processes that share the work.
    #[command(flatten)]
    pub ranks: RanksArgs,
    /// How they add up what they have computed.
    #[command(flatten)]
    pub exchange: ExchangeArgs,
    /// Shared settings.
    #[command(flatten)]
    pub shared: SharedArgs,
}

/// When `train` resumes a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Resume {
    /// In any case: without a run it fails.
    #[value(hide = true)]
    Always,
    /// Where there is a run.
    Auto,
}

/// The outer loop of `train`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Outer loop")]
pub struct OuterLoopFlags {
    /// Take this many outer steps [default: 500].
    #[arg(id = "train.steps", long = "steps", value_name = "N")]
    pub steps: (),
    /// Train for this long instead, such as 90s, 30m or 2h; learning rates decay over it [default: no budget].
    #[arg(id = "train.time_s", long = "time", value_name = "TIME", conflicts_with = "train.steps")]
    pub time: (),
    /// Average the meta-gradients of this many episodes in an outer step [default: 2].
    #[arg(id = "train.meta_batch", long = "meta-batch", value_name = "N")]
    pub meta_batch: (),
    /// Take outer steps with this learning rate [default: 5e-5].
    #[arg(id = "outer.lr", long = "outer-lr", value_name = "X")]
    pub outer_lr: (),
    /// Evaluate on the meta-dev domains every N outer steps; 0 for the end only [default: 50].
    #[arg(id = "train.eval_every", long = "eval-every", value_name = "N")]
    pub eval_every: (),
    /// Write a checkpoint every N outer steps; 0 for only the best ones and the last [default: 50].
    #[arg(id = "train.checkpoint_every", long = "checkpoint-every", value_name = "N")]
    pub checkpoint_every: (),
}
