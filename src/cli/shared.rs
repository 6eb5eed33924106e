//! Arguments that every subcommand with a model or a dataset has.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::flags::Flags;
use crate::config::{ConfigError, Layer};

/// Settings, and how much is printed about the work.
#[derive(Debug, Args)]
#[command(next_help_heading = "Settings")]
pub struct SharedArgs {
    /// Read settings from a TOML file.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set one configuration key; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Compute on auto, cpu, cuda or cuda:N [default: auto].
    #[arg(id = "device", long = "device", value_name = "DEVICE")]
    pub device: (),
    /// Compute matrix products in this precision [default: auto].
    #[arg(id = "precision", long = "precision", value_name = "PRECISION")]
    pub precision: (),
    /// Derive every random number from this seed [default: 0].
    #[arg(id = "seed", long = "seed", value_name = "N")]
    pub seed: (),
    /// Use this many CPU threads; 0 for one per core [default: 0].
    #[arg(id = "threads", long = "threads", value_name = "N")]
    pub threads: (),
    /// Run this many adaptations at once, each with its share of the threads; 0 for the fastest here
    /// [default: 0]. The result does not depend on it.
    #[arg(id = "workers", long = "workers", value_name = "N")]
    pub workers: (),
    /// Truncate texts to this many wordpieces [default: 256].
    #[arg(id = "data.max_length", long = "max-length", value_name = "N")]
    pub max_length: (),
    /// Print nothing on stderr but errors.
    #[arg(long, short)]
    pub quiet: bool,
    /// Print more on stderr: settings, device, what was loaded.
    #[arg(long, short, action = ArgAction::Count)]
    pub verbose: u8,
    /// Print the resolved configuration as TOML and do nothing else.
    #[arg(long)]
    pub print_config: bool,
    /// The settings of all flags of the subcommand; last, since it looks at those before it.
    #[command(flatten)]
    pub flags: Flags,
}

impl SharedArgs {
    /// The settings given on the command line: `--config`, `--set`, named flags; later ones win.
    ///
    /// # Errors
    /// An unreadable or malformed file, a `--set` without `=`.
    pub fn layers(&self) -> Result<Vec<Layer>, ConfigError> {
        let file = self.config.as_deref().map(Layer::from_file);
        let set = self.set.iter().map(|text| Layer::from_assignment(text));
        file.into_iter().chain(set).chain(self.flags.layers().map(Ok)).collect()
    }
}
