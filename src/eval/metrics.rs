//! Predictions counted against the truth, and the scores that follow from the counts.
//!
//! Labels are numbers here: positions in the label set of the domain that is scored.

use serde::{Deserialize, Serialize};

/// Accuracy and macro F1 of some predictions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Scores {
    /// Share of right predictions.
    pub accuracy: f64,
    /// Mean F1 over the labels that occur among the truths or the predictions.
    pub macro_f1: f64,
}

impl Scores {
    /// The scores that follow from the counts of every label; both 0 where nothing was counted.
    pub fn of(labels: &[LabelCounts]) -> Self {
        let sum = |count: fn(&LabelCounts) -> u64| labels.iter().map(count).sum();
        let occurring = labels.iter().filter(|label| label.texts + label.answers > 0);
        let f1: Vec<f64> = occurring.map(LabelCounts::f1).collect();
        Self {
            accuracy: share(sum(|label| label.hits), sum(|label| label.texts)),
            macro_f1: if f1.is_empty() { 0.0 } else { mean(&f1) },
        }
    }
}

/// How often one label was the truth, the answer, and both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LabelCounts {
    /// Texts of this label.
    pub texts: u64,
    /// Texts that were given this label.
    pub answers: u64,
    /// Texts of this label that were given it.
    pub hits: u64,
}

impl LabelCounts {
    /// Adds the counts of other predictions.
    pub fn add(&mut self, other: &Self) {
        self.texts += other.texts;
        self.answers += other.answers;
        self.hits += other.hits;
    }

    /// Texts, answers and hits.
    pub fn as_array(&self) -> [u64; 3] {
        [self.texts, self.answers, self.hits]
    }

    /// Share of the answers that are right; 0 where there is none.
    pub fn precision(&self) -> f64 {
        share(self.hits, self.answers)
    }

    /// Share of the texts that are found; 0 where there is none.
    pub fn recall(&self) -> f64 {
        share(self.hits, self.texts)
    }

    /// Harmonic mean of precision and recall; 0 where the label does not occur.
    pub fn f1(&self) -> f64 {
        share(2 * self.hits, self.texts + self.answers)
    }
}

/// How often each label was given to texts of each label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    num_labels: usize,
    /// `[labels, labels]`: a row for each truth, a column for each answer.
    counts: Vec<u64>,
}

impl Confusion {
    /// Counts `answers` against `truths`, numbers below `num_labels`.
    pub fn of(num_labels: usize, truths: &[u32], answers: &[u32]) -> Self {
        assert_eq!(truths.len(), answers.len(), "one answer for each truth");
        let mut counts = vec![0; num_labels * num_labels];
        for (&truth, &answer) in truths.iter().zip(answers) {
            counts[truth as usize * num_labels + answer as usize] += 1;
        }
        Self { num_labels, counts }
    }

    /// Adds the counts of other predictions over the same labels.
    pub fn add(&mut self, other: &Self) {
        assert_eq!(self.num_labels, other.num_labels, "counts of one label set");
        self.counts.iter_mut().zip(&other.counts).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// The counts of every label.
    pub fn by_label(&self) -> Vec<LabelCounts> {
        let of_label = |label: usize| LabelCounts {
            texts: self.rows().nth(label).into_iter().flatten().sum(),
            answers: self.rows().map(|row| row[label]).sum(),
            hits: self.counts[label * self.num_labels + label],
        };
        (0..self.num_labels).map(of_label).collect()
    }

    /// A row for each truth, with the number of its texts that were given each label.
    pub fn rows(&self) -> impl Iterator<Item = &[u64]> {
        self.counts.chunks(self.num_labels)
    }

    /// The number of predictions.
    pub fn num_texts(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// The arithmetic mean; NaN for no values.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// `part / whole`; 0 where there is nothing.
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(confusion: &Confusion) -> Scores {
        Scores::of(&confusion.by_label())
    }

    // truth, answers = [0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 2, 2]
    // sklearn.metrics.f1_score(truth, answers, average="macro")
    // sklearn.metrics.precision_recall_fscore_support(truth, answers)
    #[test]
    fn scores_equal_sklearns() {
        let confusion = Confusion::of(3, &[0, 0, 0, 1, 1, 2], &[0, 0, 1, 1, 2, 2]);
        let found = scores(&confusion);
        assert!((found.macro_f1 - 0.655_555_555_555_555_6).abs() < 1e-15, "{found:?}");
        assert!((found.accuracy - 4.0 / 6.0).abs() < 1e-15, "{found:?}");
        let of_labels = confusion.by_label();
        let of_labels: Vec<_> =
            of_labels.iter().map(|it| (it.precision(), it.recall(), it.f1(), it.texts)).collect();
        let expected = [(1.0, 2.0 / 3.0, 0.8, 3), (0.5, 0.5, 0.5, 2), (0.5, 1.0, 2.0 / 3.0, 1)];
        assert_eq!(of_labels, expected);
    }

    // t1, p1, t2, p2 = [0, 0, 1, 2], [0, 1, 1, 2], [0, 1, 1, 2], [0, 1, 0, 1]
    // sklearn.metrics.f1_score(t1 + t2, p1 + p2, average="macro"); the mean of the two F1 is 0.583.
    #[test]
    fn pooled_counts_score_as_all_predictions_together() {
        let mut pooled = Confusion::of(3, &[0, 0, 1, 2], &[0, 1, 1, 2]);
        pooled.add(&Confusion::of(3, &[0, 1, 1, 2], &[0, 1, 0, 1]));
        let found = scores(&pooled);
        assert!((found.macro_f1 - 0.634_920_634_920_634_9).abs() < 1e-15, "{found:?}");
        assert_eq!((found.accuracy, pooled.num_texts()), (0.625, 8));
    }

    #[test]
    fn predicting_one_label_only_has_the_accuracy_of_its_share_and_a_low_f1() {
        let found = scores(&Confusion::of(2, &[1, 1, 1, 0], &[1, 1, 1, 1]));
        assert_eq!(found.accuracy, 0.75);
        assert!((found.macro_f1 - 3.0 / 7.0).abs() < 1e-15, "{found:?}");
    }

    #[test]
    fn labels_that_do_not_occur_do_not_count() {
        let [two, four] =
            [2, 4].map(|num_labels| scores(&Confusion::of(num_labels, &[0, 1, 1], &[0, 0, 1])));
        assert_eq!(two, four);
    }
}
