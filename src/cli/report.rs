//! Arguments of `report`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Arguments of `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Read these run directories, and files that `metabert eval --out` or `--json` wrote. Checkpoints are compared with the first
    /// one.
    #[arg(value_name = "RUN|EVAL.json", required = true)]
    pub inputs: Vec<PathBuf>,
    /// Write the report to this file; - for stdout [default: report.html, or report.md].
    #[arg(long, value_name = "FILE|-")]
    pub out: Option<PathBuf>,
    /// Write a page with charts, or Markdown to paste [default: by the name of the output file, or html].
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<ReportFormat>,
    /// Replace the output file.
    #[arg(long)]
    pub force: bool,
}

/// What a report is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// A page with charts.
    Html,
    /// Markdown.
    Md,
}
