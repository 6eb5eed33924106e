//! Arguments of `tune`.

use std::path::PathBuf;

use clap::Args;

use super::flags::{AdaptationFlags, DatasetFlags, seconds};
use super::shared::SharedArgs;

/// Arguments of `tune`.
#[derive(Debug, Args)]
pub struct TuneArgs {
    /// Start every training from this model directory, or from the best checkpoint of this run.
    #[arg(id = "model.path", long = "model", value_name = "DIR|RUN|NAME")]
    pub model: (),
    /// Write trainings, journal and recipe into this directory; the same command there continues.
    #[arg(long, value_name = "DIR", required_unless_present = "print_config")]
    pub run_dir: Option<PathBuf>,
    /// Train with this many different settings.
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub trials: usize,
    /// Adapt each training in this many different ways.
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub adaptations: usize,
    /// Begin nothing new after this long, such as 30m or 2h; each training takes an even share of half of it.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub time: Option<f64>,
    /// Start from this recipe [default: without --config the best known for the label sets of the data].
    #[arg(id = "preset", long = "preset", value_name = "NAME")]
    pub preset: (),
    /// Score on this many query texts of each draw [default: 20].
    #[arg(id = "episode.query", long = "query", value_name = "N", help_heading = "Adaptation")]
    pub query: (),
    /// How episodes are drawn and adapted to.
    #[command(flatten)]
    pub adaptation: AdaptationFlags,
    /// How the dataset is read and split.
    #[command(flatten)]
    pub dataset: DatasetFlags,
    /// Shared settings.
    #[command(flatten)]
    pub shared: SharedArgs,
}
