//! What `eval` prints: a table, or the same as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use crate::config::RunConfig;
use crate::data::Dataset;
use crate::eval::Evaluation;
use crate::eval::metrics::Estimate;
use crate::meta::InnerConfig;

/// One checkpoint's scores.
#[derive(Serialize)]
pub struct CheckpointResult {
    /// As it was named.
    pub checkpoint: String,
    /// Its scores.
    #[serde(flatten)]
    pub evaluation: Evaluation,
    /// Macro F1 of the first checkpoint minus this one's, paired draw by draw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub macro_f1_lead_of_first: Option<Estimate>,
}

/// Everything `eval` prints.
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
    inner: InnerConfig,
    inner_steps: usize,
    #[serde(flatten)]
    first: CheckpointResult,
    baselines: Vec<CheckpointResult>,
}

impl Report {
    /// Gathers the results of a checkpoint and, behind it, of its baselines.
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
        let (inner, support) = (config.evaluation_inner(), config.episode.support);
        Self {
            dataset: dataset.path.display().to_string(),
            dataset_sha256: dataset.sha256.clone(),
            test_data: test.map(|test| test.path.display().to_string()),
            seed: config.seed,
            episodes: config.evaluate.episodes,
            support,
            max_length: config.data.max_length,
            inner_steps: config.evaluation_recipe().visit.num_steps(support),
            inner,
            first,
            baselines,
        }
    }

    /// The scores as text.
    pub fn table(&self) -> String {
        let mut out = format!(
            "{} draws of {} support texts a domain, adapted to in {} steps, seed {}.\n\
             Mean ± 95 % interval over draws; draws of a domain share texts.\n",
            self.episodes, self.support, self.inner_steps, self.seed
        );
        for result in std::iter::once(&self.first).chain(&self.baselines) {
            push_rows(&mut out, result);
            if let Some(lead) = &result.macro_f1_lead_of_first {
                let first = &self.first.checkpoint;
                let _ = writeln!(out, "  macro F1 of {first} minus this, paired by draw: {lead}");
            }
        }
        out
    }
}

fn push_rows(out: &mut String, result: &CheckpointResult) {
    let evaluation = &result.evaluation;
    let rows = evaluation
        .domains
        .iter()
        .map(|domain| (domain.domain.as_str(), domain.num_scored.to_string(), &domain.summary));
    let rows: Vec<_> = rows.chain([("all domains", String::new(), &evaluation.overall)]).collect();
    let width = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
    let _ = writeln!(out, "\n{}", result.checkpoint);
    let _ = writeln!(
        out,
        "  {:width$}  {:>5}  {:>13}  {:>13}  {:>13}  {:>13}",
        "", "texts", "accuracy", "macro F1", "zero-step acc", "zero-step F1"
    );
    for (name, num_scored, summary) in rows {
        let _ = writeln!(
            out,
            "  {name:width$}  {num_scored:>5}  {:>13}  {:>13}  {:>13}  {:>13}",
            summary.accuracy.to_string(),
            summary.macro_f1.to_string(),
            summary.zero_step_accuracy.to_string(),
            summary.zero_step_macro_f1.to_string(),
        );
    }
}
