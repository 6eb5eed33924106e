//! The result of an evaluation: every checkpoint and the majority answer, on the same draws, for each support size.
//!
//! For people it is a table, for programs JSON.

mod json;
mod table;

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use super::evaluation::Evaluation;
use super::safeguard::SafeguardConfig;
use crate::data::QuerySize;
use crate::meta::{Algorithm, InnerConfig, MetaConfig, Recipe};

/// Checkpoints on the same draws.
pub struct Report {
    draws: Draws,
    /// The checkpoints, the one that the others are compared with first; last the majority answer.
    candidates: Vec<Candidate>,
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
    /// Its SHA-256.
    pub test_data_sha256: Option<String>,
    /// The SHA-256 of the positions of the texts of all draws.
    pub draws_sha256: String,
    /// The same of the draws of each size of the support set.
    pub draws_sha256_by_support: BTreeMap<String, String>,
    /// The seed of all draws.
    pub seed: u64,
    /// Draws for each domain.
    pub episodes: u64,
    /// Texts that a draw is scored on, where no file has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<QuerySize>,
    /// Other texts of a draw that are read without their labels, by heads that are made of the support set.
    #[serde(skip_serializing_if = "is_none")]
    pub unlabelled: usize,
    /// Whether every label is in every support set, whatever the domain's label shares.
    pub every_label: bool,
    /// Wordpieces to which texts are truncated.
    pub max_length: usize,
    /// Sizes of the support sets.
    #[serde(skip)]
    pub sizes: Vec<SupportSize>,
    /// The labels of each domain, by number.
    #[serde(skip)]
    pub labels: Vec<Vec<String>>,
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

/// How many texts a draw adapts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SupportSize {
    /// In all.
    Total(usize),
    /// Of each label.
    PerLabel(usize),
}

/// Something that answers, and its scores.
pub struct Candidate {
    /// Its name.
    pub name: String,
    /// How it adapts; `None` for the majority answer, which does not.
    pub adaptation: Option<Adaptation>,
    /// Its scores for each support size.
    pub evaluations: Vec<Evaluation>,
}

/// How a checkpoint was trained and how it adapts.
#[derive(Clone, Serialize)]
pub struct Adaptation {
    /// The algorithm that it was trained with.
    pub algo: Algorithm,
    /// The adaptation to a draw.
    pub inner: InnerConfig,
    /// What it starts from and moves.
    pub meta: MetaConfig,
    /// Steps of the head before the others.
    pub head_steps: usize,
    /// What keeps it from doing harm.
    pub safeguard: SafeguardConfig,
}

impl Report {
    /// The report of checkpoints, of which the first is the one that the others are compared with.
    pub fn new(draws: Draws, mut checkpoints: Vec<Candidate>) -> Self {
        let majority = Candidate {
            name: "majority".to_owned(),
            adaptation: None,
            evaluations: checkpoints[0].evaluations.iter().map(Evaluation::of_majority).collect(),
        };
        checkpoints.push(majority);
        Self { draws, candidates: checkpoints }
    }

    /// The one that the others are compared with.
    fn first(&self) -> &Candidate {
        &self.candidates[0]
    }

    /// The others.
    fn others(&self) -> &[Candidate] {
        &self.candidates[1..]
    }
}

impl SupportSize {
    /// The texts in all, where these are what was asked for.
    pub fn total(self) -> Option<usize> {
        match self {
            Self::Total(count) => Some(count),
            Self::PerLabel(_) => None,
        }
    }

    /// The texts of each label, where these are what was asked for.
    pub fn per_label(self) -> Option<usize> {
        match self {
            Self::Total(_) => None,
            Self::PerLabel(count) => Some(count),
        }
    }
}

impl Display for SupportSize {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::Total(count) => count.to_string(),
            Self::PerLabel(count) => format!("{count} a label"),
        };
        formatter.pad(&words)
    }
}

impl Adaptation {
    /// All of it, ready to adapt with.
    pub fn recipe(&self) -> Recipe {
        Recipe::new(self.algo, &self.inner, &self.meta).with_head_steps(self.head_steps)
    }

    /// The gradient steps that an adaptation to `num_support` texts takes.
    pub fn num_steps(&self, num_support: usize) -> usize {
        self.recipe().visit.num_steps(num_support)
    }
}
