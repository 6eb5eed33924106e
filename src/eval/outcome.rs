//! One scoring of some texts: counts, and how good the probabilities of the answers are.

use serde::{Deserialize, Serialize};

use super::metrics::{Confusion, Scores};
use super::predict;

/// The result of scoring texts, over the label set of their domain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Answers against truths.
    pub confusion: Confusion,
    /// Area under the ROC curve for two labels: how likely a text of the second label gets a higher
    /// probability of it than a text of the first. `None` for other numbers of labels, and where
    /// one of the two has no text.
    pub auc: Option<f64>,
    /// Sum of minus the log-probabilities of the truths, in nats.
    log_loss_sum: f64,
    calibration: Calibration,
}

impl Outcome {
    /// Scores one row of logits a text, `[texts, labels]`, against the labels of the texts.
    ///
    /// # Panics
    /// If there is no text.
    pub fn of(truths: &[u32], rows: &[Vec<f32>]) -> Self {
        let answers: Vec<u32> = rows.iter().map(|row| predict::argmax(row)).collect();
        let mut calibration = Calibration::default();
        let mut log_loss_sum = 0.0;
        for ((row, &truth), &answer) in rows.iter().zip(truths).zip(&answers) {
            log_loss_sum -= log_probability(row, truth);
            calibration.add(log_probability(row, answer).exp(), truth == answer);
        }
        Self {
            confusion: Confusion::of(rows[0].len(), truths, &answers),
            auc: area_under_roc(truths, rows),
            log_loss_sum,
            calibration,
        }
    }

    /// The outcome of always answering `label` for the texts of this one, with certainty.
    pub fn of_constant_answer(&self, label: u32) -> Self {
        let num_labels = self.confusion.rows().count();
        let mut row = vec![f32::NEG_INFINITY; num_labels];
        row[label as usize] = 0.0;
        let counts = self.confusion.by_label();
        let truths =
            (0..).zip(&counts).flat_map(|(truth, label)| vec![truth; label.texts as usize]);
        let truths: Vec<u32> = truths.collect();
        Self::of(&truths, &vec![row; truths.len()])
    }

    /// Several scorings over one label set as one: their counts and sums, and the mean of their areas.
    pub fn pooled(outcomes: &[&Self]) -> Self {
        let [first, rest @ ..] = outcomes else { panic!("there is an outcome to pool") };
        let mut pooled = (*first).clone();
        for outcome in rest {
            pooled.confusion.add(&outcome.confusion);
            pooled.log_loss_sum += outcome.log_loss_sum;
            pooled.calibration.merge(&outcome.calibration);
        }
        let areas: Vec<f64> = outcomes.iter().filter_map(|outcome| outcome.auc).collect();
        pooled.auc = (!areas.is_empty()).then(|| super::metrics::mean(&areas));
        pooled
    }

    /// Accuracy and macro F1.
    pub fn scores(&self) -> Scores {
        Scores::of(&self.confusion.by_label())
    }

    /// Mean of minus the log-probability of the truth, in nats.
    pub fn log_loss(&self) -> f64 {
        self.log_loss_sum / self.confusion.num_texts() as f64
    }

    /// Expected calibration error: how far the confidence of the answers is from the share of right
    /// ones, on average over 15 equal intervals of confidence (Guo et al. 2017, eq. 3).
    pub fn calibration_error(&self) -> f64 {
        self.calibration.gap() / self.confusion.num_texts() as f64
    }

    /// The intervals of confidence of [`Self::calibration_error`] that have answers.
    pub fn reliability(&self) -> Vec<Reliability> {
        let used = self.calibration.0.iter().filter(|bin| bin.num_answers > 0);
        let of_bin = |bin: &Bin| Reliability {
            texts: bin.num_answers,
            confidence: bin.confidence_sum / bin.num_answers as f64,
            accuracy: bin.num_right / bin.num_answers as f64,
        };
        used.map(of_bin).collect()
    }
}

/// The answers of one interval of confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// Texts that were answered.
    pub texts: u64,
    /// Mean probability of the answers.
    pub confidence: f64,
    /// Share of right answers.
    pub accuracy: f64,
}

/// Answers by their confidence, in equal intervals that include their upper ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Calibration([Bin; 15]);

/// The answers of one of these intervals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Bin {
    confidence_sum: f64,
    num_right: f64,
    num_answers: u64,
}

impl Calibration {
    fn add(&mut self, confidence: f64, is_right: bool) {
        let last = self.0.len() - 1;
        let place = (confidence * self.0.len() as f64).ceil() as usize;
        let bin = &mut self.0[place.saturating_sub(1).min(last)];
        bin.confidence_sum += confidence;
        bin.num_right += f64::from(is_right);
        bin.num_answers += 1;
    }

    fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            mine.confidence_sum += theirs.confidence_sum;
            mine.num_right += theirs.num_right;
            mine.num_answers += theirs.num_answers;
        }
    }

    /// The sum over the bins of |right answers - summed confidence|.
    fn gap(&self) -> f64 {
        self.0.iter().map(|it| (it.num_right - it.confidence_sum).abs()).sum()
    }
}

/// The natural logarithm of the softmax of `row` at `label`.
pub fn log_probability(row: &[f32], label: u32) -> f64 {
    let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = row.iter().map(|&logit| (f64::from(logit) - largest).exp()).sum();
    f64::from(row[label as usize]) - largest - sum.ln()
}

/// The area by ranks (Mann and Whitney): ties count one half.
fn area_under_roc(truths: &[u32], rows: &[Vec<f32>]) -> Option<f64> {
    let leads = rows.iter().map(|row| <[f32; 2]>::try_from(row.as_slice()).ok());
    let leads: Option<Vec<f64>> = leads
        .map(|pair| pair.map(|[first, second]| f64::from(second) - f64::from(first)))
        .collect();
    let mut ranked: Vec<(f64, bool)> =
        leads?.into_iter().zip(truths.iter().map(|&truth| truth == 1)).collect();
    ranked.sort_by(|left, right| left.0.total_cmp(&right.0));
    let num_second = ranked.iter().filter(|(_, is_second)| *is_second).count() as f64;
    let num_pairs = num_second * (ranked.len() as f64 - num_second);
    // For each text of the second label: the texts of the first with a lower score, and half of those with its own.
    let (mut num_below, mut num_wins) = (0.0, 0.0);
    for tied in ranked.chunk_by(|left, right| left.0 == right.0) {
        let second = tied.iter().filter(|(_, is_second)| *is_second).count() as f64;
        let first = tied.len() as f64 - second;
        num_wins += second * (num_below + first / 2.0);
        num_below += first;
    }
    (num_pairs > 0.0).then(|| num_wins / num_pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUTHS: [u32; 6] = [0, 1, 1, 0, 1, 1];
    const LOGITS: [[f32; 2]; 6] =
        [[2.0, -1.0], [0.5, 0.0], [-1.0, 1.5], [0.25, 0.75], [1.0, 1.0], [-2.0, 3.0]];

    fn outcome(texts: std::ops::Range<usize>) -> Outcome {
        let rows: Vec<Vec<f32>> = LOGITS[texts.clone()].iter().map(|row| row.to_vec()).collect();
        Outcome::of(&TRUTHS[texts], &rows)
    }

    // p = scipy.special.softmax(LOGITS, axis=1)
    // sklearn.metrics.log_loss(TRUTHS, p), sklearn.metrics.roc_auc_score(TRUTHS, p[:, 1])
    // bins = numpy.ceil(p.max(1) * 15); hit = p.argmax(1) == TRUTHS
    // sum(abs(hit[bins == b].sum() - p.max(1)[bins == b].sum()) for b in set(bins)) / 6
    #[test]
    fn log_loss_area_and_calibration_equal_sklearns_and_numpys() {
        let found = outcome(0..6);
        assert!((found.log_loss() - 0.462_582_263_879_261_3).abs() < 1e-9, "{}", found.log_loss());
        assert_eq!(found.auc, Some(0.75));
        let error = found.calibration_error();
        assert!((error - 0.312_482_594_421_134).abs() < 1e-9, "{error}");
    }

    #[test]
    fn the_calibration_error_is_the_weighted_gap_of_the_reliability() {
        let found = outcome(0..6);
        let bins = found.reliability();
        let gap = |bin: &Reliability| bin.texts as f64 * (bin.accuracy - bin.confidence).abs();
        let error = bins.iter().map(gap).sum::<f64>() / 6.0;
        assert!((error - found.calibration_error()).abs() < 1e-12, "{bins:?}");
        assert_eq!(bins.iter().map(|bin| bin.texts).sum::<u64>(), 6, "{bins:?}");
    }

    #[test]
    fn two_parts_pooled_are_the_whole_but_for_the_area() {
        let [first, second] = [outcome(0..2), outcome(2..6)];
        let pooled = Outcome::pooled(&[&first, &second]);
        let whole = outcome(0..6);
        assert_eq!(pooled.confusion, whole.confusion);
        assert!((pooled.log_loss() - whole.log_loss()).abs() < 1e-12);
        assert!((pooled.calibration_error() - whole.calibration_error()).abs() < 1e-12);
        let mean = (first.auc.unwrap() + second.auc.unwrap()) / 2.0;
        assert_eq!(pooled.auc, Some(mean));
    }

    #[test]
    fn there_is_no_area_for_one_label_among_the_truths_or_for_three_labels() {
        assert_eq!(outcome(1..3).auc, None);
        assert_eq!(Outcome::of(&[0, 1], &[vec![1.0, 0.0, 0.0], vec![0.0; 3]]).auc, None);
    }

    #[test]
    fn a_constant_answer_has_no_skill() {
        let constant = outcome(0..6).of_constant_answer(1);
        assert_eq!(constant.scores(), Scores { accuracy: 4.0 / 6.0, macro_f1: 0.4 });
        assert_eq!((constant.auc, constant.log_loss()), (Some(0.5), f64::INFINITY));
    }
}
