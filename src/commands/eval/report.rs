//! The result of `eval`, for people and as JSON.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use crate::config::RunConfig;
use crate::data::Dataset;
use crate::eval::Evaluation;
use crate::eval::metrics::Estimate;
use crate::meta::{Algorithm, InnerConfig};

/// How a checkpoint was trained and how it adapts.
#[derive(Serialize)]
pub struct Adaptation {
    /// The algorithm that it was trained with.
    pub algo: Algorithm,
    /// The adaptation to a draw.
    pub inner: InnerConfig,
    /// Its gradient steps.
    pub inner_steps: usize,
}

impl Adaptation {
    /// That of a checkpoint with these settings, to `support` texts.
    pub fn of(algo: Algorithm, settings: &RunConfig, support: usize) -> Self {
        let inner = settings.evaluation_inner();
        Self { algo, inner_steps: inner.num_steps(support), inner }
    }
}

impl Display for Adaptation {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Self { algo, inner, inner_steps } = self;
        let optimizer = format!("{:?}", inner.optimizer).to_lowercase();
        let (lr, batch) = (inner.lr, inner.batch);
        write!(
            formatter,
            "trained by {algo}; adapts in {inner_steps} steps of {optimizer}, lr {lr:e}, batch {batch}"
        )
    }
}

/// One checkpoint's scores.
#[derive(Serialize)]
pub struct CheckpointResult {
    checkpoint: String,
    #[serde(flatten)]
    adaptation: Adaptation,
    #[serde(flatten)]
    evaluation: Evaluation,
    /// Macro F1 of the first checkpoint minus this one's, paired draw by draw.
    #[serde(skip_serializing_if = "Option::is_none")]
    macro_f1_lead_of_first: Option<Estimate>,
}

impl CheckpointResult {
    /// The scores of the checkpoint of this name.
    pub fn new(checkpoint: String, adaptation: Adaptation, evaluation: Evaluation) -> Self {
        Self { checkpoint, adaptation, evaluation, macro_f1_lead_of_first: None }
    }
}

/// The whole result: a checkpoint and its baselines on the same draws.
#[derive(Serialize)]
pub struct Report {
    dataset: String,
    dataset_sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_data: Option<String>,
    seed: u64,
    episodes: u64,
    support: usize,
    max_length: usize,
    #[serde(flatten)]
    first: CheckpointResult,
    baselines: Vec<CheckpointResult>,
}

impl Report {
    /// Gathers the results of a checkpoint and, after it, of its baselines.
    pub fn new(
        config: &RunConfig,
        dataset: &Dataset,
        test: Option<&Dataset>,
        mut results: Vec<CheckpointResult>,
    ) -> Self {
        let mut baselines = results.split_off(1);
        let first = results.pop().expect("the checkpoint itself was evaluated");
        for baseline in &mut baselines {
            let lead = first.evaluation.paired_macro_f1_difference(&baseline.evaluation);
            baseline.macro_f1_lead_of_first = Some(lead);
        }
        Self {
            dataset: dataset.path.display().to_string(),
            dataset_sha256: dataset.sha256.clone(),
            test_data: test.map(|test| test.path.display().to_string()),
            seed: config.seed,
            episodes: config.evaluate.episodes,
            support: config.episode.support,
            max_length: config.data.max_length,
            first,
            baselines,
        }
    }

    /// A table for each checkpoint, under how it adapts.
    pub fn to_text(&self) -> String {
        let mut out = format!(
            "{} draws of {} support texts a domain, seed {}.\n\
             Mean ± 95 % interval over draws; draws of a domain share texts.\n",
            self.episodes, self.support, self.seed
        );
        let first = &self.first.checkpoint;
        for result in std::iter::once(&self.first).chain(&self.baselines) {
            let CheckpointResult { checkpoint, adaptation, evaluation, .. } = result;
            out += &format!("\n{checkpoint}\n  {adaptation}\n{}", table(&rows(evaluation)));
            if let Some(lead) = &result.macro_f1_lead_of_first {
                out += &format!("  macro F1 of {first} minus this, paired by draw: {lead}\n");
            }
        }
        out
    }
}

const COLUMNS: [&str; 6] = ["", "texts", "accuracy", "macro F1", "zero-step acc", "zero-step F1"];

/// The scores of each domain, and over all of them.
fn rows(evaluation: &Evaluation) -> Vec<[String; 6]> {
    let domains = evaluation.domains.iter();
    let domains = domains.map(|it| (it.domain.as_str(), it.num_scored.to_string(), &it.summary));
    let all = [("all domains", String::new(), &evaluation.overall)];
    let cells = domains.chain(all).map(|(name, num_scored, summary)| {
        let [accuracy, macro_f1, zero_step_accuracy, zero_step_macro_f1] = [
            &summary.accuracy,
            &summary.macro_f1,
            &summary.zero_step_accuracy,
            &summary.zero_step_macro_f1,
        ]
        .map(Estimate::to_string);
        [name.to_owned(), num_scored, accuracy, macro_f1, zero_step_accuracy, zero_step_macro_f1]
    });
    cells.collect()
}

/// Aligns the first column left and the others right.
fn table(rows: &[[String; 6]]) -> String {
    let header = COLUMNS.map(str::to_owned);
    let rows: Vec<&[String; 6]> = std::iter::once(&header).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; 6] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let line = |row: &&[String; 6]| {
        let numbers = (1..6).map(|column| format!("  {:>1$}", row[column], widths[column]));
        format!("  {:1$}{2}\n", row[0], widths[0], numbers.collect::<String>())
    };
    rows.iter().map(line).collect()
}
