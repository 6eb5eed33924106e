//! The scores of an evaluation: draw by draw, domain by domain, and over all of them.
//!
//! Knows outcomes only, not how they came about.

use serde::{Deserialize, Serialize};

use super::bootstrap::Estimate;
use super::metrics::{LabelCounts, Scores, mean};
use super::outcome::Outcome;

/// The outcomes of one draw, before and after adapting.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Draw {
    /// Of the weights as they are.
    pub zero_step: Outcome,
    /// Of the weights adapted to the support set.
    pub adapted: Outcome,
    /// Folds of the support set that were held out in turn.
    pub num_folds: usize,
    /// Whether the weights as they are were kept.
    pub falls_back: bool,
    /// Whether names of labels were not read, since they do not belong to the texts.
    pub leaves_names_out: bool,
    /// The training loss of each step's minibatch before the step, with dropout and weighted by label as the step takes it.
    pub inner_losses: Vec<f64>,
}

/// All draws of one domain.
#[derive(Clone, Debug)]
pub struct DomainResult {
    /// Name.
    pub domain: String,
    /// Texts that each draw adapts to.
    pub num_support: usize,
    /// Texts on which each draw is scored.
    pub num_scored: usize,
    /// Summary over the draws.
    pub summary: Summary,
    /// Draw by draw.
    pub draws: Vec<Draw>,
}

/// What was measured over some draws: of a domain from their pooled counts, of several domains the mean over them.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    /// After adapting.
    pub adapted: Measures,
    /// Without adapting.
    pub zero_step: Measures,
    /// Adapted minus zero-step, paired draw by draw.
    pub gain: Difference,
}

/// How good predictions are.
#[derive(Clone, Copy, Debug)]
pub struct Measures {
    /// Accuracy.
    pub accuracy: Estimate,
    /// Macro F1.
    pub macro_f1: Estimate,
    /// [`Outcome::log_loss`].
    pub log_loss: f64,
    /// [`Outcome::calibration_error`].
    pub calibration_error: f64,
    /// Mean of [`Outcome::auc`] over the draws, and over the domains that have one.
    pub auc: Option<f64>,
}

/// A difference of scores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Of accuracy.
    pub accuracy: Estimate,
    /// Of macro F1.
    pub macro_f1: Estimate,
}

/// An evaluation over several domains.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Domain by domain.
    pub domains: Vec<DomainResult>,
    /// Mean over the domains, each with the same weight.
    pub overall: Summary,
    run_seed: u64,
}

impl Evaluation {
    /// Summarises the domains' results; resamples derive from the run seed.
    pub fn of(domains: Vec<DomainResult>, run_seed: u64) -> Self {
        let draws: Vec<&[Draw]> = domains.iter().map(|domain| domain.draws.as_slice()).collect();
        Self { overall: Summary::of(&draws, run_seed), domains, run_seed }
    }

    /// The same draws as a constant answer would score: for each domain the label that most of its scored texts have.
    pub fn of_majority(&self) -> Self {
        let constant = |result: &DomainResult| {
            let truths: Vec<&Outcome> = result.draws.iter().map(|draw| &draw.adapted).collect();
            let counts = Outcome::pooled(&truths).confusion.by_label();
            let majority = (0..counts.len()).rev().max_by_key(|&label| counts[label].texts);
            let label = majority.expect("a label set has labels") as u32;
            let draws = truths.iter().map(|outcome| outcome.of_constant_answer(label));
            let draws = draws.map(|outcome| Draw {
                zero_step: outcome.clone(),
                adapted: outcome,
                num_folds: 0,
                falls_back: false,
                leaves_names_out: false,
                inner_losses: Vec::new(),
            });
            let DomainResult { domain, num_support, .. } = result;
            DomainResult::of(domain, *num_support, draws.collect(), self.run_seed)
        };
        Self::of(self.domains.iter().map(constant).collect(), self.run_seed)
    }

    /// Adapted scores of this evaluation minus those of `other`, paired draw by draw: for each domain, and over all. Both
    /// must have been made with the same seed, domains and number of draws.
    pub fn difference(&self, other: &Self) -> (Vec<Difference>, Difference) {
        let pairs: Vec<_> = self.domains.iter().zip(&other.domains).collect();
        let by_domain = pairs.iter().map(|pair| Difference::of_adapted(&[*pair], self.run_seed));
        (by_domain.collect(), Difference::of_adapted(&pairs, self.run_seed))
    }
}

impl DomainResult {
    /// Summarises the draws of a domain, each of which adapted to `num_support` texts; resamples derive from the run seed.
    pub fn of(domain: &str, num_support: usize, draws: Vec<Draw>, run_seed: u64) -> Self {
        let num_scored = draws.first().map_or(0, |draw| draw.adapted.confusion.num_texts());
        Self {
            domain: domain.to_owned(),
            num_support,
            num_scored: num_scored as usize,
            summary: Summary::of(&[&draws], run_seed),
            draws,
        }
    }
}

impl Summary {
    fn of(domains: &[&[Draw]], run_seed: u64) -> Self {
        let counted: Vec<Vec<Counted>> = domains
            .iter()
            .map(|draws| draws.iter().map(|it| Counted::of(&it.adapted, &it.zero_step)).collect())
            .collect();
        let [accuracy, macro_f1, zero_accuracy, zero_macro_f1, gained_accuracy, gained_macro_f1] =
            Estimate::of_clusters(&counted, run_seed, |draws| {
                let [adapted, zero_step] = pooled_scores(draws);
                [
                    adapted.accuracy,
                    adapted.macro_f1,
                    zero_step.accuracy,
                    zero_step.macro_f1,
                    adapted.accuracy - zero_step.accuracy,
                    adapted.macro_f1 - zero_step.macro_f1,
                ]
            });
        Self {
            adapted: Measures::of(accuracy, macro_f1, domains, |draw| &draw.adapted),
            zero_step: Measures::of(zero_accuracy, zero_macro_f1, domains, |draw| &draw.zero_step),
            gain: Difference { accuracy: gained_accuracy, macro_f1: gained_macro_f1 },
        }
    }
}

impl Measures {
    fn of(
        accuracy: Estimate,
        macro_f1: Estimate,
        domains: &[&[Draw]],
        outcome: fn(&Draw) -> &Outcome,
    ) -> Self {
        let pooled: Vec<Outcome> = domains
            .iter()
            .map(|draws| Outcome::pooled(&draws.iter().map(outcome).collect::<Vec<_>>()))
            .collect();
        let over_domains =
            |value: fn(&Outcome) -> f64| mean(&pooled.iter().map(value).collect::<Vec<_>>());
        let areas: Vec<f64> = pooled.iter().filter_map(|outcome| outcome.auc).collect();
        Self {
            accuracy,
            macro_f1,
            log_loss: over_domains(Outcome::log_loss),
            calibration_error: over_domains(Outcome::calibration_error),
            auc: (!areas.is_empty()).then(|| mean(&areas)),
        }
    }
}

impl Difference {
    fn of_adapted(domains: &[(&DomainResult, &DomainResult)], run_seed: u64) -> Self {
        let counted: Vec<Vec<Counted>> = domains
            .iter()
            .map(|(mine, theirs)| {
                let pairs = mine.draws.iter().zip(&theirs.draws);
                pairs.map(|(mine, theirs)| Counted::of(&mine.adapted, &theirs.adapted)).collect()
            })
            .collect();
        let [accuracy, macro_f1] = Estimate::of_clusters(&counted, run_seed, |draws| {
            let [mine, theirs] = pooled_scores(draws);
            [mine.accuracy - theirs.accuracy, mine.macro_f1 - theirs.macro_f1]
        });
        Self { accuracy, macro_f1 }
    }
}

/// The counts of two outcomes of one draw, label by label: all that thousands of resamples add up.
struct Counted([Vec<LabelCounts>; 2]);

impl Counted {
    fn of(first: &Outcome, second: &Outcome) -> Self {
        Self([first, second].map(|outcome| outcome.confusion.by_label()))
    }
}

/// The scores of both outcomes from the counts of all `draws` together.
fn pooled_scores(draws: &[&Counted]) -> [Scores; 2] {
    [0, 1].map(|which| {
        let mut pooled = vec![LabelCounts::default(); draws[0].0[which].len()];
        for draw in draws {
            pooled.iter_mut().zip(&draw.0[which]).for_each(|(sum, counts)| sum.add(counts));
        }
        Scores::of(&pooled)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An outcome of answers over three labels, given with little confidence.
    fn outcome(truths: &[u32], answers: &[u32]) -> Outcome {
        let rows: Vec<Vec<f32>> = answers
            .iter()
            .map(|&answer| (0..3).map(|label| f32::from(u8::from(label == answer))).collect())
            .collect();
        Outcome::of(truths, &rows)
    }

    /// Three draws of a domain; `shift` moves some answers.
    fn domain(name: &str, shift: u32) -> DomainResult {
        let truths = [0, 1, 1, 2, 2, 2];
        let draw = |index: u32| {
            let answers: Vec<u32> = (0..)
                .zip(truths)
                .map(|(at, truth)| if at < index + shift { 1 } else { truth })
                .collect();
            Draw {
                zero_step: outcome(&truths, &[1; 6]),
                adapted: outcome(&truths, &answers),
                num_folds: 0,
                falls_back: false,
                leaves_names_out: false,
                inner_losses: Vec::new(),
            }
        };
        DomainResult::of(name, 8, (0..3).map(draw).collect(), 0)
    }

    // t = [0, 1, 1, 2, 2, 2] * 3; p = [0, 1, 1, 2, 2, 2] + [1, 1, 1, 2, 2, 2] * 2
    // sklearn.metrics.f1_score(t, p, average="macro"), sklearn.metrics.accuracy_score(t, p)
    #[test]
    fn a_domain_is_scored_by_its_pooled_counts() {
        let found = domain("a", 0).summary.adapted;
        assert!((found.macro_f1.mean - 0.785_714_285_714_285_8).abs() < 1e-12, "{found:?}");
        assert!((found.accuracy.mean - 16.0 / 18.0).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn all_domains_weigh_alike_and_one_is_itself() {
        let domains = [domain("a", 0), domain("b", 3)];
        let [a, b] = [0, 1].map(|at| domains[at].summary.adapted.macro_f1.mean);
        let both = Evaluation::of(domains.to_vec(), 0);
        assert!((both.overall.adapted.macro_f1.mean - (a + b) / 2.0).abs() < 1e-12);
        let alone = Evaluation::of(vec![domains[0].clone()], 0);
        let (overall, own) = (alone.overall.adapted, alone.domains[0].summary.adapted);
        assert_eq!((overall.macro_f1, overall.accuracy), (own.macro_f1, own.accuracy));
    }

    #[test]
    fn differences_are_those_of_the_scores_and_none_from_itself() {
        let first = Evaluation::of(vec![domain("a", 0), domain("b", 1)], 0);
        let second = Evaluation::of(vec![domain("a", 2), domain("b", 2)], 0);
        let found = first.difference(&second).1.macro_f1;
        let [mine, theirs] = [&first, &second].map(|it| it.overall.adapted.macro_f1.mean);
        assert!((found.mean - (mine - theirs)).abs() < 1e-12, "{found:?}: {mine} - {theirs}");
        let nothing = Estimate { mean: 0.0, low: Some(0.0), high: Some(0.0) };
        let none = Difference { accuracy: nothing, macro_f1: nothing };
        assert_eq!(first.difference(&first), (vec![none, none], none));
    }

    #[test]
    fn the_gain_is_what_adapting_added() {
        let Summary { adapted, zero_step, gain } = domain("a", 0).summary;
        let expected = adapted.accuracy.mean - zero_step.accuracy.mean;
        assert!((gain.accuracy.mean - expected).abs() < 1e-12, "{gain:?}");
    }

    #[test]
    fn the_majority_answers_the_most_frequent_label() {
        let majority = Evaluation::of(vec![domain("a", 0)], 0).of_majority().overall;
        assert_eq!(
            majority.adapted.accuracy,
            Estimate { mean: 0.5, low: Some(0.5), high: Some(0.5) }
        );
        // One of three labels has an F1, 2 * 3 / (3 + 6).
        assert!((majority.adapted.macro_f1.mean - 2.0 / 9.0).abs() < 1e-12, "{majority:?}");
        assert_eq!(majority.gain.macro_f1.mean, 0.0);
    }
}
