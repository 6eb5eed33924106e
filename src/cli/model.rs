//! Arguments of `model`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::flags::DataFileFlags;
use super::shared::SharedArgs;
use crate::hub::HubName;

/// What to do with a model directory.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Print architecture, parameters, labels, and what loading would initialise.
    #[command(after_long_help = "Example:\n  metabert model info data/models/minilm-l6")]
    Info(InfoArgs),
    /// Download a model of the Hugging Face Hub into its cache, where every command finds it by its name.
    ///
    /// HF_HOME or HF_HUB_CACHE say where the cache is, HF_TOKEN or a login opens private and gated models. Files that are there
    /// are not fetched again; an interrupted download resumes. What is downloaded is compared with the digests that the Hub
    /// names.
    #[command(
        after_long_help = "Example:\n  metabert model fetch sentence-transformers/all-MiniLM-L6-v2\n  \
        metabert train --model sentence-transformers/all-MiniLM-L6-v2 --data dataset.json --run-dir runs/first"
    )]
    Fetch(FetchArgs),
    /// Write a model directory with seeded random weights.
    #[command(
        after_long_help = "Example:\n  metabert model init --config bert-base --out models/random"
    )]
    Init(InitArgs),
    /// Teach a mean-pooled model to give the same vectors through its first token, and write it as plain BERT.
    ///
    /// Texts of the data's kind are enough; their labels are not used. A classification head is kept as it is.
    #[command(
        after_long_help = "Example:\n  metabert model align --model models/mean --data dataset.json \
        --out models/cls"
    )]
    Align(AlignArgs),
}

/// Arguments of `model info`.
#[derive(Debug, Args)]
pub struct InfoArgs {
    /// Describe this model directory, the best checkpoint of this run, or this model of the Hugging Face cache.
    #[arg(value_name = "DIR|RUN|NAME")]
    pub model: PathBuf,
    /// Print JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `model fetch`.
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// Download this model, at this branch, tag or commit [default: main].
    #[arg(value_name = "ORG/NAME[@REV]")]
    pub name: HubName,
    /// Print nothing on stderr but errors.
    #[arg(long, short)]
    pub quiet: bool,
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
    /// Give the head these labels, separated by commas.
    #[arg(long, value_name = "A,B", value_delimiter = ',', default_value = "negative,positive")]
    pub labels: Vec<String>,
    /// Draw the weights from this seed.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Replace the output directory.
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `model align`.
#[derive(Debug, Args)]
pub struct AlignArgs {
    /// Align this model directory, the best checkpoint of this run, or this model of the Hugging Face cache.
    #[arg(long, value_name = "DIR|RUN|NAME")]
    pub model: PathBuf,
    /// Write the aligned model into this directory.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Replace the output directory.
    #[arg(long)]
    pub force: bool,
    /// Take this many steps.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub steps: u64,
    /// Begin with this learning rate, which falls to zero in a straight line.
    #[arg(long, value_name = "X", default_value_t = 1e-4)]
    pub lr: f64,
    /// Learn from this many texts in a step.
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub batch: usize,
    /// The labelled texts.
    #[command(flatten)]
    pub file: DataFileFlags,
    /// Shared settings.
    #[command(flatten)]
    pub shared: SharedArgs,
}
