//! Arguments of `predict`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::ranks::RanksArgs;
use super::shared::SharedArgs;

/// Arguments of `predict`.
#[derive(Debug, Args)]
pub struct PredictArgs {
    /// Label with this model directory, or the best checkpoint of this run.
    #[arg(long, value_name = "DIR|RUN|NAME")]
    pub checkpoint: PathBuf,
    /// Read texts from this file: one a line, JSONL, or the rows of a table; - for stdin.
    #[arg(long, value_name = "FILE|-", default_value = "-")]
    pub input: PathBuf,
    /// Read this form [default: a table where the name ends in .csv or .tsv, else lines].
    #[arg(long, value_name = "FORM")]
    pub input_format: Option<InputFormat>,
    /// Take the text from this field or column [default: as in training, or text].
    #[arg(id = "data.text_field", long = "text-field", value_name = "NAME")]
    pub text_field: (),
    /// Write to this file; - for stdout.
    #[arg(long, value_name = "FILE|-", default_value = "-")]
    pub output: PathBuf,
    /// Write this form [default: a table where the name ends in .csv or .tsv, else JSONL]. A table keeps the columns of one that is
    /// read, and gets predicted_label and predicted_score; JSONL keeps fields and columns, and gets label, score and scores.
    #[arg(long, value_name = "FORM")]
    pub output_format: Option<OutputFormat>,
    /// Give the label null to a text whose best score is below this, from 0 to 1.
    #[arg(long, value_name = "SCORE", default_value_t = 0.0)]
    pub min_score: f64,
    /// Replace the output file.
    #[arg(long)]
    pub force: bool,
    /// Other processes that share the work.
    #[command(flatten)]
    pub ranks: RanksArgs,
    /// Shared settings.
    #[command(flatten)]
    pub shared: SharedArgs,
}

/// The form of texts to label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InputFormat {
    /// A text a line, or JSONL.
    Lines,
    /// A table with commas.
    Csv,
    /// A table with tabs.
    Tsv,
}

/// The form of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// A JSON object a line, with the score of every label.
    Jsonl,
    /// A table with commas.
    Csv,
    /// A table with tabs.
    Tsv,
}
