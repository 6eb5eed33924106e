//! Means with 95 % intervals by resampling.
//!
//! Knows clusters of measurements and a way to score them, not what was measured.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

use super::metrics::mean;
use crate::seed;

/// Resamples from which an interval is read.
const NUM_RESAMPLES: u64 = 2_000;

/// A mean and its 95 % interval, without one where a single measurement was made.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Mean.
    pub mean: f64,
    /// Lower end of the interval.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
}

impl Estimate {
    /// Scores clusters of measurements: N means over the clusters of what `score` says about all measurements of one,
    /// each with an interval.
    ///
    /// The interval is that of a cluster bootstrap (Davison and Hinkley 1997, section 3.8). A resample draws as many
    /// clusters as there are, then as many measurements in each as that has, both with replacement; the interval
    /// reaches from the 2.5th to the 97.5th percentile of the scores of 2,000 resamples. Of a single cluster only the
    /// measurements are drawn.
    ///
    /// Which measurements a resample takes depends on the run seed and the sizes of the clusters alone. For a paired
    /// difference, let a measurement be a pair, and `score` subtract.
    pub fn of_clusters<T, const N: usize>(
        clusters: &[Vec<T>],
        run_seed: u64,
        score: impl Fn(&[&T]) -> [f64; N],
    ) -> [Self; N] {
        let whole: Vec<Vec<&T>> = clusters.iter().map(|cluster| cluster.iter().collect()).collect();
        let means = mean_scores(&whole, &score);
        let is_sample = clusters.len() > 1 || clusters.iter().any(|cluster| cluster.len() > 1);
        if !is_sample {
            return means.map(|mean| Self { mean, low: None, high: None });
        }
        let resampled: Vec<[f64; N]> = (0..NUM_RESAMPLES)
            .map(|index| mean_scores(&resample(clusters, run_seed, index), &score))
            .collect();
        std::array::from_fn(|position| {
            let mut values: Vec<f64> = resampled.iter().map(|scores| scores[position]).collect();
            values.sort_by(f64::total_cmp);
            let [low, high] = [0.025, 0.975].map(|share| Some(quantile(&values, share)));
            Self { mean: means[position], low, high }
        })
    }
}

impl Display for Estimate {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.3}", self.mean)?;
        match (self.low, self.high) {
            (Some(low), Some(high)) => write!(formatter, " [{low:.3}, {high:.3}]"),
            _ => Ok(()),
        }
    }
}

/// The mean over the clusters of each score.
fn mean_scores<T, const N: usize>(
    clusters: &[Vec<&T>],
    score: impl Fn(&[&T]) -> [f64; N],
) -> [f64; N] {
    let scores: Vec<[f64; N]> = clusters.iter().map(|cluster| score(cluster)).collect();
    std::array::from_fn(|position| {
        mean(&scores.iter().map(|scores| scores[position]).collect::<Vec<_>>())
    })
}

/// The clusters of one resample.
fn resample<T>(clusters: &[Vec<T>], run_seed: u64, index: u64) -> Vec<Vec<&T>> {
    let mut rng = seed::rng(run_seed, "bootstrap", index);
    let mut resampled = Vec::with_capacity(clusters.len());
    for _ in clusters {
        let cluster = &clusters[seed::below(&mut rng, clusters.len())];
        let picks = cluster.iter().map(|_| &cluster[seed::below(&mut rng, cluster.len())]);
        resampled.push(picks.collect());
    }
    resampled
}

/// The value below which `share` of the ascending `values` lie, between two of them by linear interpolation.
fn quantile(values: &[f64], share: f64) -> f64 {
    let place = share * (values.len() - 1) as f64;
    let (below, above) = (values[place.floor() as usize], values[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// The estimate of a mean of means.
    fn of_numbers(clusters: &[Vec<f64>], seed: u64) -> Estimate {
        let score = |cluster: &[&f64]| [mean(&cluster.iter().map(|it| **it).collect::<Vec<_>>())];
        let [estimate] = Estimate::of_clusters(clusters, seed, score);
        estimate
    }

    fn interval(estimate: Estimate) -> [f64; 2] {
        [estimate.low, estimate.high].map(|end| end.expect("an interval"))
    }

    // numpy.percentile([3, 1, 4, 1, 5, 9, 2, 6], [2.5, 50, 97.5])
    #[test]
    fn quantiles_equal_numpys() {
        let values = [1.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 9.0];
        for (share, expected) in [(0.025, 1.0), (0.5, 3.5), (0.975, 8.475)] {
            let found = quantile(&values, share);
            assert!((found - expected).abs() < 1e-12, "{share}: {found}, expected {expected}");
        }
    }

    // x = numpy.array(draws); rng = numpy.random.default_rng(0)
    // numpy.percentile(x[rng.integers(0, 8, (1000000, 8))].mean(1), [2.5, 97.5])
    // 2,000 resamples leave an end uncertain by about 0.002.
    #[test]
    fn the_interval_of_one_cluster_is_that_of_a_plain_bootstrap() {
        let draws = vec![0.61, 0.74, 0.70, 0.58, 0.80, 0.66, 0.72, 0.69];
        let found = of_numbers(&[draws], 0);
        assert!((found.mean - 0.6875).abs() < 1e-12, "{found:?}");
        for (found, expected) in interval(found).into_iter().zip([0.641_25, 0.7325]) {
            assert!((found - expected).abs() < 0.006, "found {found}, expected {expected}");
        }
    }

    // g = numpy.array(clusters); rng = numpy.random.default_rng(0); n = 1000000
    // d, w = rng.integers(0, 5, (n, 5)), rng.integers(0, 4, (n, 5, 4))
    // numpy.percentile(g[d[:, :, None], w].mean((1, 2)), [2.5, 97.5])
    // 2,000 resamples leave an end uncertain by about 0.005.
    #[test]
    fn the_interval_of_several_clusters_is_that_of_a_bootstrap_of_two_levels() {
        let clusters = [
            vec![0.60, 0.70, 0.65, 0.75],
            vec![0.80, 0.82, 0.78, 0.84],
            vec![0.55, 0.50, 0.65, 0.60],
            vec![0.90, 0.88, 0.86, 0.92],
            vec![0.70, 0.60, 0.72, 0.66],
        ];
        let found = of_numbers(&clusters, 0);
        assert!((found.mean - 0.724).abs() < 1e-12, "{found:?}");
        for (found, expected) in interval(found).into_iter().zip([0.6275, 0.825]) {
            assert!((found - expected).abs() < 0.015, "found {found}, expected {expected}");
        }
    }

    /// Roughly normal: the sum of twelve uniform numbers.
    fn normal(rng: &mut ChaCha8Rng) -> f64 {
        (0..12).map(|_| seed::unit(rng)).sum::<f64>() - 6.0
    }

    /// Domains differ more than draws of one, as in practice: intervals over draws alone would cover 0.8 rarely.
    #[test]
    fn intervals_hold_the_truth_about_as_often_as_they_say() {
        const NUM_TRIALS: u64 = 200;
        let covers = |trial: u64| {
            let mut rng = seed::rng(trial, "coverage", 0);
            let mut cluster = || {
                let level = 0.8 + 0.05 * normal(&mut rng);
                (0..4).map(|_| level + 0.03 * normal(&mut rng)).collect::<Vec<f64>>()
            };
            let clusters: Vec<Vec<f64>> = (0..12).map(|_| cluster()).collect();
            let [low, high] = interval(of_numbers(&clusters, trial));
            (low..=high).contains(&0.8)
        };
        let num_covered = (0..NUM_TRIALS).filter(|&trial| covers(trial)).count();
        // Of 200 trials at 95 %, four standard deviations are 12; percentile intervals of 12 clusters cover about 93 %.
        assert!((174..=199).contains(&num_covered), "{num_covered} of {NUM_TRIALS}");
    }

    #[test]
    fn a_single_measurement_has_no_interval() {
        let alone = of_numbers(&[vec![0.5]], 0);
        assert_eq!(alone, Estimate { mean: 0.5, low: None, high: None });
        assert_eq!(alone.to_string(), "0.500");
        let repeated = of_numbers(&[vec![0.5, 0.5]], 0);
        assert_eq!(repeated.to_string(), "0.500 [0.500, 0.500]");
    }

    #[test]
    fn paired_differences_are_narrower_than_those_of_independent_draws() {
        let pairs: Vec<(f64, f64)> =
            [0.1, 0.9, 0.4, 0.6].iter().map(|&it| (it + 0.01, it)).collect();
        let score = |cluster: &[&(f64, f64)]| {
            [mean(&cluster.iter().map(|(a, b)| a - b).collect::<Vec<_>>())]
        };
        let [lead] = Estimate::of_clusters(&[pairs], 0, score);
        let [low, high] = interval(lead);
        assert!((low - 0.01).abs() < 1e-12 && (high - 0.01).abs() < 1e-12, "{lead:?}");
    }

    #[test]
    fn intervals_depend_on_the_seed_alone() {
        let clusters = [vec![0.13, 0.52, 0.71, 0.94], vec![0.26, 0.37, 0.85, 0.48]];
        assert_eq!(of_numbers(&clusters, 1), of_numbers(&clusters, 1));
        assert_ne!(of_numbers(&clusters, 1), of_numbers(&clusters, 2));
    }
}
