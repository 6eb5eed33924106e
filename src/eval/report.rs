//! The result of an evaluation, for people and as JSON.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use super::evaluation::{Evaluation, Summary};
use super::metrics::Estimate;
use crate::meta::{Algorithm, InnerConfig, Recipe};
use crate::table::{Align, Table};

/// A checkpoint and its baselines on the same draws.
#[derive(Serialize)]
pub struct Report {
    #[serde(flatten)]
    draws: Draws,
    #[serde(flatten)]
    first: CheckpointResult,
    baselines: Vec<CheckpointResult>,
}

/// The texts that every checkpoint is scored on.
#[derive(Serialize)]
pub struct Draws {
    /// The dataset's path.
    pub dataset: String,
    /// Its SHA-256.
    pub dataset_sha256: String,
    /// The file that is scored on instead of query sets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_data: Option<String>,
    /// The seed of all draws.
    pub seed: u64,
    /// Draws for each domain.
    pub episodes: u64,
    /// Support texts of a draw.
    pub support: usize,
    /// Wordpieces to which texts are truncated.
    pub max_length: usize,
}

/// How a checkpoint was trained and how it adapts.
#[derive(Clone, Serialize)]
pub struct Adaptation {
    /// The algorithm that it was trained with.
    pub algo: Algorithm,
    /// The adaptation to a draw.
    pub inner: InnerConfig,
    /// Its gradient steps.
    pub inner_steps: usize,
}

/// One checkpoint's scores.
#[derive(Serialize)]
pub struct CheckpointResult {
    /// Its name.
    pub checkpoint: String,
    /// Its settings.
    #[serde(flatten)]
    pub adaptation: Adaptation,
    /// Its scores.
    #[serde(flatten)]
    pub evaluation: Evaluation,
    /// Macro F1 of the first checkpoint minus this one's, paired draw by draw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub macro_f1_lead_of_first: Option<Estimate>,
}

impl Report {
    /// Gathers the results of a checkpoint and, after it, of its baselines.
    pub fn new(draws: Draws, mut results: Vec<CheckpointResult>) -> Self {
        let first = results.remove(0);
        for baseline in &mut results {
            let lead = first.evaluation.paired_macro_f1_difference(&baseline.evaluation);
            baseline.macro_f1_lead_of_first = Some(lead);
        }
        Self { draws, first, baselines: results }
    }
}

impl Display for Report {
    /// A table for each checkpoint, under its settings.
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Draws { episodes, support, seed, .. } = self.draws;
        writeln!(formatter, "{episodes} draws of {support} support texts a domain, seed {seed}.")?;
        let meaning = "Mean ± 95 % interval over draws; draws of a domain share texts.";
        writeln!(formatter, "{meaning}")?;
        let first = &self.first.checkpoint;
        for result in [&self.first].into_iter().chain(&self.baselines) {
            let CheckpointResult { checkpoint, adaptation, evaluation, .. } = result;
            write!(formatter, "\n{checkpoint}\n  {adaptation}\n{}", table(evaluation))?;
            if let Some(lead) = &result.macro_f1_lead_of_first {
                writeln!(formatter, "  macro F1 of {first} minus this, paired by draw: {lead}")?;
            }
        }
        Ok(())
    }
}

impl Adaptation {
    /// All of it, ready to adapt with.
    pub fn recipe(&self) -> Recipe {
        Recipe::new(self.algo, &self.inner)
    }
}

impl Display for Adaptation {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "trained by {}; adapts in {}",
            self.algo,
            self.recipe().describe(self.inner_steps)
        )
    }
}

/// The scores of each domain, and over all of them.
fn table(evaluation: &Evaluation) -> Table {
    let titles = ["texts", "accuracy", "macro F1", "zero-step acc", "zero-step F1"];
    let titles = titles.map(|title| (Align::Right, title));
    let mut table = Table::new([(Align::Left, "")].into_iter().chain(titles));
    let mut push = |name: &str, num_scored: String, summary: &Summary| {
        let Summary { accuracy, macro_f1, zero_step_accuracy, zero_step_macro_f1 } = summary;
        let scores = [accuracy, macro_f1, zero_step_accuracy, zero_step_macro_f1];
        let scores = scores.map(Estimate::to_string);
        table.push([vec![format!("  {name}"), num_scored], scores.to_vec()].concat());
    };
    for domain in &evaluation.domains {
        push(&domain.domain, domain.num_scored.to_string(), &domain.summary);
    }
    push("all domains", String::new(), &evaluation.overall);
    table
}
