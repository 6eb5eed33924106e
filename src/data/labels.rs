//! The labels of one domain or of one task, out of those of the whole dataset.
//!
//! Knows ids and their order; not whether domains share their labels, which the dataset knows.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::ids::{DomainId, LabelId};
use super::intake::Dataset;

/// Distinct labels, ascending. A label's position among them is its number in a head of these labels alone.
///
/// Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSet(Arc<[LabelId]>);

impl LabelSet {
    /// The first `num_labels` labels.
    pub fn all(num_labels: usize) -> Self {
        (0..num_labels as LabelId).collect()
    }

    /// The labels, ascending.
    pub fn ids(&self) -> &[LabelId] {
        &self.0
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The position of `label` among these.
    ///
    /// # Panics
    /// If it is not one of them.
    pub fn number_of(&self, label: LabelId) -> u32 {
        self.0.binary_search(&label).expect("the label is one of the set") as u32
    }

    /// The names of these labels out of those of all labels, by id.
    pub fn names(&self, all: &[String]) -> Vec<String> {
        self.0.iter().map(|&label| all[label as usize].clone()).collect()
    }
}

impl FromIterator<LabelId> for LabelSet {
    /// The labels in whatever order and as often as they come.
    fn from_iter<T: IntoIterator<Item = LabelId>>(labels: T) -> Self {
        Self(labels.into_iter().collect::<BTreeSet<_>>().into_iter().collect())
    }
}

impl Dataset {
    /// The labels of a domain: those of its own reviews where label sets differ by domain, else all.
    ///
    /// A label whose last review was left out is gone: ask after the dataset is settled.
    pub fn labels_of(&self, domain: DomainId) -> LabelSet {
        if !self.label_sets_differ {
            return LabelSet::all(self.labels.len());
        }
        let own = self.reviews.iter().filter(|review| review.domain == domain);
        own.map(|review| review.label).collect()
    }

    /// [`labels_of`](Self::labels_of) every domain, by id, from one pass over the reviews.
    pub fn label_sets(&self) -> Vec<LabelSet> {
        if !self.label_sets_differ {
            return vec![LabelSet::all(self.labels.len()); self.domains.len()];
        }
        let mut sets = vec![BTreeSet::new(); self.domains.len()];
        for review in &self.reviews {
            sets[review.domain as usize].insert(review.label);
        }
        sets.into_iter().map(LabelSet::from_iter).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::intake::tests::dataset;
    use super::*;

    #[test]
    fn labels_are_distinct_and_numbered_in_their_order() {
        let labels: LabelSet = [7, 2, 7, 5].into_iter().collect();
        assert_eq!(labels.ids(), [2, 5, 7]);
        assert_eq!([2, 5, 7].map(|label| labels.number_of(label)), [0, 1, 2]);
        let all: Vec<String> = (0..8).map(|label| format!("l{label}")).collect();
        assert_eq!(labels.names(&all), ["l2", "l5", "l7"]);
        assert_eq!((labels.is_empty(), LabelSet::all(8).len()), (false, 8));
    }

    #[test]
    fn a_domain_has_its_own_labels_or_all() {
        let records = [["a", "x", "1"], ["b", "y", "2"], ["b", "z", "3"], ["a", "y", "4"]];
        let shared = dataset(&records);
        assert_eq!(shared.labels_of(0).ids(), [0, 1, 2]);
        assert_eq!(shared.label_sets(), [0, 1].map(|domain| shared.labels_of(domain)));
        let own = Dataset { label_sets_differ: true, ..shared };
        assert_eq!([own.labels_of(0).ids(), own.labels_of(1).ids()], [[0, 1], [1, 2]]);
        assert_eq!(own.label_sets(), [0, 1].map(|domain| own.labels_of(domain)));
        // "y" of "a" goes with its only review.
        assert_eq!(own.without(&[3].into()).labels_of(0).ids(), [0]);
    }
}
