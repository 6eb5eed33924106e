//! The scores of an evaluation: draw by draw, domain by domain, and over all of them.
//!
//! Knows numbers only, not how they came about.

use serde::Serialize;

use super::metrics::{Estimate, Scores};

/// The scores of one draw, before and after adapting.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Draw {
    /// Of the weights as they are.
    pub zero_step: Scores,
    /// Of the weights adapted to the support set.
    pub adapted: Scores,
}

/// All draws of one domain.
#[derive(Clone, Debug, Serialize)]
pub struct DomainResult {
    /// Name.
    pub domain: String,
    /// Texts on which each draw is scored.
    pub num_scored: usize,
    /// Summary over the draws.
    #[serde(flatten)]
    pub summary: Summary,
    /// Draw by draw.
    pub draws: Vec<Draw>,
}

/// Means with 95 % intervals.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Summary {
    /// Accuracy without adapting.
    pub zero_step_accuracy: Estimate,
    /// Macro F1 without adapting.
    pub zero_step_macro_f1: Estimate,
    /// Accuracy after adapting.
    pub accuracy: Estimate,
    /// Macro F1 after adapting.
    pub macro_f1: Estimate,
}

/// An evaluation over several domains.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// Domain by domain.
    pub domains: Vec<DomainResult>,
    /// Mean over the domains, each with the same weight.
    pub overall: Summary,
}

impl Summary {
    /// Over the draws of each group, which all weigh alike.
    pub(super) fn of(groups: &[&[Draw]]) -> Self {
        let estimate = |value: fn(&Draw) -> f64| {
            let values: Vec<Vec<f64>> =
                groups.iter().map(|draws| draws.iter().map(value).collect()).collect();
            Estimate::of_groups(&values)
        };
        Self {
            zero_step_accuracy: estimate(|draw| draw.zero_step.accuracy),
            zero_step_macro_f1: estimate(|draw| draw.zero_step.macro_f1),
            accuracy: estimate(|draw| draw.adapted.accuracy),
            macro_f1: estimate(|draw| draw.adapted.macro_f1),
        }
    }
}

impl Evaluation {
    /// Summarises the domains' results.
    pub fn of(domains: Vec<DomainResult>) -> Self {
        let draws: Vec<&[Draw]> = domains.iter().map(|domain| domain.draws.as_slice()).collect();
        Self { overall: Summary::of(&draws), domains }
    }

    /// The mean difference of macro F1 after adapting, `self - other`, paired draw by draw; both
    /// must have been made with the same seed, domains and number of draws.
    pub fn paired_macro_f1_difference(&self, other: &Self) -> Estimate {
        let differences: Vec<Vec<f64>> = self
            .domains
            .iter()
            .zip(&other.domains)
            .map(|(mine, theirs)| {
                let pairs = mine.draws.iter().zip(&theirs.draws);
                pairs.map(|(a, b)| a.adapted.macro_f1 - b.adapted.macro_f1).collect()
            })
            .collect();
        Estimate::of_groups(&differences)
    }
}
