//! The result of `eval`, for people and as JSON.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use crate::config::RunConfig;
use crate::data::Dataset;
use crate::eval::Evaluation;
use crate::eval::evaluator::Summary;
use crate::eval::metrics::Estimate;
use crate::meta::{Algorithm, InnerConfig, Recipe};
use crate::table::{Align, Table};

/// How a checkpoint was trained and how it adapts.
#[derive(Serialize)]
pub struct Adaptation {
    /// The algorithm that it was trained with.
    pub algo: Algorithm,
    /// The adaptation to a draw.
    pub inner: InnerConfig,
    /// Its gradient steps.
    pub inner_steps: usize,
    #[serde(skip)]
    words: String,
}

impl Adaptation {
    /// That of a checkpoint with these settings, to `support` texts.
    pub fn of(algo: Algorithm, settings: &RunConfig, support: usize) -> Self {
        let inner = settings.evaluation_inner();
        let recipe = Recipe::new(algo, &inner);
        let (inner_steps, words) = (recipe.visit.num_steps(support), recipe.describe(support));
        Self { algo, inner_steps, words, inner }
    }
}

impl Display for Adaptation {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "trained by {}; adapts in {}", self.algo, self.words)
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
            out += &format!("\n{checkpoint}\n  {adaptation}\n{}", table(evaluation));
            if let Some(lead) = &result.macro_f1_lead_of_first {
                out += &format!("  macro F1 of {first} minus this, paired by draw: {lead}\n");
            }
        }
        out
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
