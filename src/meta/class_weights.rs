//! How much the texts of each label count in the loss of an adaptation.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::choice::named;

/// How much the texts of each label count in the loss of an adaptation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClassWeights {
    /// Every text as much as any other.
    #[default]
    None,
    /// Every label as much as any other: its texts share one weight, whatever their number.
    Balanced,
}

impl ClassWeights {
    /// The weight of a text of each of `num_labels` labels where the texts adapted to have these `labels`; `None` where all
    /// weigh alike. The mean over those texts is 1.
    pub fn of(self, labels: &[u32], num_labels: usize) -> Option<Vec<f32>> {
        if self == Self::None {
            return None;
        }
        let mut counts = vec![0_usize; num_labels];
        labels.iter().for_each(|&label| counts[label as usize] += 1);
        let used = counts.iter().filter(|&&count| count > 0).count();
        let share = labels.len() as f32 / used.max(1) as f32;
        Some(counts.into_iter().map(|count| share / count.max(1) as f32).collect())
    }
}

impl Display for ClassWeights {
    /// Their name in the configuration.
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        self.serialize(formatter)
    }
}

impl FromStr for ClassWeights {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        named(&[Self::None, Self::Balanced], word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_weigh_alike_and_texts_one_on_average() {
        let labels = [0, 0, 0, 2];
        let weights = ClassWeights::Balanced.of(&labels, 3).unwrap();
        assert_eq!([weights[0], weights[2]], [2.0 / 3.0, 2.0]);
        let sum: f32 = labels.iter().map(|&label| weights[label as usize]).sum();
        assert!((sum - 4.0).abs() < 1e-6, "{weights:?}");
        assert_eq!(ClassWeights::None.of(&labels, 3), None);
    }
}
