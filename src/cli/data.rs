//! Arguments of `data`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::flags::{DatasetFlags, SupportFlags};
use super::shared::SharedArgs;

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
    /// Print the episodes that `train`, or the draws that `eval`, takes with the same settings, a JSON object a line.
    ///
    /// Texts are given as positions among the records of the file, or of all files in the order of their names, counted from 0.
    /// Where label sets differ by domain, a line names the labels as well.
    #[command(
        after_long_help = "Example:\n  metabert data episodes --data dataset.json --count 100\n  \
        metabert data episodes --data dataset.json --evaluation --domain automotive"
    )]
    Episodes(EpisodesArgs),
    /// Make a dataset of the files of a published benchmark.
    ///
    /// Bytes that are not UTF-8 are read as Windows-1252. Empty texts, repeated ones and those without labels are left out, and
    /// counted. Files that have another layout are refused: the help of FORMAT says which one is read.
    #[command(
        after_long_help = "Example:\n  metabert data import multi-domain-sentiment sorted_data_acl --out dataset.json\n  \
        metabert data import fdu-mtl mtl-dataset --part test --out test.json"
    )]
    Import(ImportArgs),
}

/// Arguments of `data import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Read this benchmark.
    #[arg(value_name = "FORMAT")]
    pub format: ImportFormat,
    /// Read its files from this directory.
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Write the texts into this file: a JSON array, or JSONL where it is named .jsonl.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Replace the file.
    #[arg(long)]
    pub force: bool,
    /// Read only this part, such as train or test; may be repeated [default: all parts with labels].
    #[arg(long, value_name = "NAME")]
    pub part: Vec<String>,
    /// Write the texts of files without labels into this directory, a file a domain, for `finetune --unlabelled`.
    #[arg(long, value_name = "DIR")]
    pub unlabelled: Option<PathBuf>,
    /// Take the intents of every domain of clinc from this file [default: domains.json beside its texts].
    #[arg(long, value_name = "FILE")]
    pub domains: Option<PathBuf>,
}

/// The benchmarks that `data import` reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImportFormat {
    /// Blitzer et al. 2007: DOMAIN/positive.review and DOMAIN/negative.review, or else DOMAIN/all.review by its ratings; of each
    /// `<review>` the `<review_text>`. Without labels: DOMAIN/unlabeled.review.
    MultiDomainSentiment,
    /// Liu et al. 2017: DOMAIN.task.train and DOMAIN.task.test; 1 or 0, a tab and the text a line. Without labels:
    /// DOMAIN.task.unlabel.
    FduMtl,
    /// Yu et al. 2018: CATEGORY.t2.train, .t4.dev, .t5.test and so on; the text, a tab and 1 or -1 a line. CATEGORY.t2 is a domain.
    Arsc,
    /// Larson et al. 2019: data_full.json, or the file that PATH names, with [text, intent] in train, val and test; domains.json
    /// with the intents of every domain.
    Clinc,
    /// Casanueva et al. 2020: train.csv and test.csv with the columns text and category; one domain.
    Banking,
}

/// Arguments of `data stats`.
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// Measure lengths with this model directory's tokenizer; without it they are left out.
    #[arg(id = "model.path", long = "model", value_name = "DIR|NAME")]
    pub model: (),
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
    /// How the dataset is read and split.
    #[command(flatten)]
    pub dataset: DatasetFlags,
    /// Shared settings.
    #[command(flatten)]
    pub shared: SharedArgs,
}

/// Arguments of `data validate`.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// How many texts to adapt to each domain has to hold.
    #[command(flatten)]
    pub support: SupportFlags,
    /// Require domains to hold this many more to score on [default: as the recipe has it].
    #[arg(id = "episode.query", long = "query", value_name = "N")]
    pub query: (),
    /// How the dataset is read and split.
    #[command(flatten)]
    pub dataset: DatasetFlags,
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
    pub dataset: DatasetFlags,
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
    #[arg(id = "model.path", long = "model", value_name = "DIR|NAME")]
    pub model: (),
    /// Print the draws of evaluations instead, as many for each domain and each size of the support set as --episodes
    /// says. The query set is that of `eval`: --query sets its size, --set evaluate.query=all takes all other texts.
    #[arg(long, conflicts_with_all = ["count", "start", "episode.ways"])]
    pub evaluation: bool,
    /// Print the draws of this domain; may be repeated [default: every low-resource domain].
    #[arg(long, value_name = "NAME", requires = "evaluation")]
    pub domain: Vec<String>,
    /// Print this many draws for each domain [default: 10].
    #[arg(id = "evaluate.episodes", long = "episodes", value_name = "N", requires = "evaluation")]
    pub episodes: (),
    /// How many texts to adapt to are drawn.
    #[command(flatten)]
    pub support: SupportFlags,
    /// Draw this many of a domain's labels for each episode; 0 for all [default: 0].
    #[arg(id = "episode.ways", long = "ways", value_name = "N")]
    pub ways: (),
    /// Draw this many more to score on [default: 20].
    #[arg(id = "episode.query", long = "query", value_name = "N")]
    pub query: (),
    /// How the dataset is read and split.
    #[command(flatten)]
    pub dataset: DatasetFlags,
    /// Shared settings.
    #[command(flatten)]
    pub shared: SharedArgs,
}
