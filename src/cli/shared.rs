//! Arguments that several subcommands share.

use std::path::PathBuf;

use clap::Args;

use crate::config::PrecisionChoice;

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
    /// Run this many adaptations at once, each with its share of the threads; 0 for the fastest here
    /// [default: 0]. The result does not depend on it.
    #[arg(long, value_name = "N", help_heading = "Settings")]
    pub workers: Option<usize>,
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
