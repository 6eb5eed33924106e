//! Scores of predictions, and means with intervals.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Accuracy and macro F1 of one set of predictions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Share of right predictions.
    pub accuracy: f64,
    /// Mean F1 over the labels that occur among the truths or the predictions.
    pub macro_f1: f64,
}

impl Scores {
    /// Scores `predicted` against `truth`, label by label; both 0 for no predictions.
    pub fn of(truth: &[u32], predicted: &[u32]) -> Self {
        assert_eq!(truth.len(), predicted.len(), "one prediction for each truth");
        let num_labels = truth.iter().chain(predicted).max().map_or(0, |&label| label as usize + 1);
        let mut hits = vec![0_u32; num_labels];
        let mut of_truth = vec![0_u32; num_labels];
        let mut of_predicted = vec![0_u32; num_labels];
        for (&truth, &predicted) in truth.iter().zip(predicted) {
            of_truth[truth as usize] += 1;
            of_predicted[predicted as usize] += 1;
            hits[truth as usize] += u32::from(truth == predicted);
        }
        let f1: Vec<f64> = (0..num_labels)
            .filter(|&label| of_truth[label] + of_predicted[label] > 0)
            .map(|label| {
                2.0 * f64::from(hits[label]) / f64::from(of_truth[label] + of_predicted[label])
            })
            .collect();
        let share = |sum: f64, count: usize| if count == 0 { 0.0 } else { sum / count as f64 };
        Self {
            accuracy: share(f64::from(hits.iter().sum::<u32>()), truth.len()),
            macro_f1: share(f1.iter().sum(), f1.len()),
        }
    }
}

/// A mean over draws with the half-width of its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Mean.
    pub mean: f64,
    /// Half-width of the 95 % interval by Student's t; NaN (JSON null) for a single draw.
    pub half_width: f64,
}

impl Estimate {
    /// The mean of `values` and its interval.
    pub fn of(values: &[f64]) -> Self {
        Self::of_groups(&[values.to_vec()])
    }

    /// The unweighted mean of the groups' means. Its variance is that of a stratified sample:
    /// every group brings the variance of its own mean, so that differences between groups, which
    /// are all there is and not a sample, do not widen the interval.
    pub fn of_groups(groups: &[Vec<f64>]) -> Self {
        let count = groups.len() as f64;
        let means: Vec<f64> = groups.iter().map(|group| mean(group)).collect();
        let variance: f64 =
            groups.iter().map(|group| sample_variance(group) / group.len() as f64).sum::<f64>()
                / (count * count);
        let degrees: usize = groups.iter().map(|group| group.len().saturating_sub(1)).sum();
        Self { mean: mean(&means), half_width: t_quantile_95(degrees) * variance.sqrt() }
    }
}

impl std::fmt::Display for Estimate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.half_width.is_finite() {
            write!(f, "{:.3} ± {:.3}", self.mean, self.half_width)
        } else {
            write!(f, "{:.3}", self.mean)
        }
    }
}

/// The arithmetic mean; NaN for no values.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn sample_variance(values: &[f64]) -> f64 {
    let center = mean(values);
    values.iter().map(|value| (value - center).powi(2)).sum::<f64>()
        / values.len().saturating_sub(1) as f64
}

/// The two-sided 95 % quantile of Student's t with this many degrees of freedom.
fn t_quantile_95(degrees: usize) -> f64 {
    StudentsT::new(0.0, 1.0, degrees as f64).map_or(f64::NAN, |t| t.inverse_cdf(0.975))
}

#[cfg(test)]
mod tests {
    use super::*;

    // sklearn.metrics.f1_score([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 2, 2], average="macro")
    #[test]
    fn macro_f1_equals_sklearns() {
        let scores = Scores::of(&[0, 0, 0, 1, 1, 2], &[0, 0, 1, 1, 2, 2]);
        assert!((scores.macro_f1 - 0.655_555_555_555_555_5).abs() < 1e-15, "{scores:?}");
        assert!((scores.accuracy - 4.0 / 6.0).abs() < 1e-15, "{scores:?}");
    }

    #[test]
    fn predicting_one_class_only_has_the_accuracy_of_its_share_and_a_low_f1() {
        let scores = Scores::of(&[1, 1, 1, 0], &[1, 1, 1, 1]);
        assert_eq!(scores.accuracy, 0.75);
        assert!((scores.macro_f1 - 3.0 / 7.0).abs() < 1e-15, "{scores:?}");
    }

    // scipy.stats.t.interval(0.95, 3, loc=2.5, scale=scipy.stats.sem([1, 2, 3, 4]))
    #[test]
    fn the_interval_is_students() {
        let estimate = Estimate::of(&[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(estimate.mean, 2.5);
        assert!((estimate.half_width - 2.054_260_243).abs() < 1e-6, "{estimate:?}");
    }

    #[test]
    fn a_single_draw_has_no_interval() {
        assert!(Estimate::of(&[0.5]).half_width.is_nan());
        assert_eq!(Estimate::of(&[0.5]).to_string(), "0.500");
    }

    #[test]
    fn differences_between_groups_do_not_widen_the_interval() {
        let apart = Estimate::of_groups(&[vec![0.1, 0.2], vec![0.8, 0.9]]);
        let together = Estimate::of_groups(&[vec![0.1, 0.2], vec![0.1, 0.2]]);
        assert!((apart.half_width - together.half_width).abs() < 1e-12);
        assert!((apart.mean - 0.5).abs() < 1e-12);
    }
}
