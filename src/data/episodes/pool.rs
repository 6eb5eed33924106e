//! The examples of a domain, sorted by label.

use crate::data::ids::{DomainId, ExampleId, LabelId};
use crate::data::intake::Dataset;
use crate::data::labels::LabelSet;

/// The examples of one domain, by label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainPool {
    /// The domain.
    pub domain: DomainId,
    /// Its name, from which its random streams derive.
    pub name: String,
    /// Its labels.
    pub labels: LabelSet,
    /// Whether these are the labels that its examples have: otherwise those of the dataset, used or not.
    pub has_own_labels: bool,
    /// The examples of every label, ascending; a position is a [`LabelId`].
    pub examples_by_label: Vec<Vec<ExampleId>>,
}

impl DomainPool {
    /// Sorts the examples of a domain that shares `num_labels` labels with the others.
    pub fn new(
        domain: DomainId,
        name: &str,
        num_labels: usize,
        examples: impl IntoIterator<Item = (ExampleId, LabelId)>,
    ) -> Self {
        let mut examples_by_label: Vec<Vec<ExampleId>> = Vec::new();
        for (example, label) in examples {
            let label = label as usize;
            if examples_by_label.len() <= label {
                examples_by_label.resize(label + 1, Vec::new());
            }
            examples_by_label[label].push(example);
        }
        examples_by_label.iter_mut().for_each(|examples| examples.sort_unstable());
        let (name, labels) = (name.to_owned(), LabelSet::all(num_labels));
        Self { domain, name, labels, has_own_labels: false, examples_by_label }
    }

    /// The same domain with no other labels than its examples have.
    pub fn with_own_labels(self) -> Self {
        let has_examples = |label: &LabelId| !self.examples_of(*label).is_empty();
        let labels = self.labels.ids().iter().copied().filter(has_examples).collect();
        Self { labels, has_own_labels: true, ..self }
    }

    /// The same domain with no other examples than these; it keeps its labels.
    pub fn only(mut self, examples: &[ExampleId]) -> Self {
        for of_label in &mut self.examples_by_label {
            of_label.retain(|example| examples.contains(example));
        }
        self
    }

    /// The examples of a label, ascending.
    pub fn examples_of(&self, label: LabelId) -> &[ExampleId] {
        self.examples_by_label.get(label as usize).map_or(&[], Vec::as_slice)
    }

    /// How many examples each of its labels has.
    pub fn label_counts(&self) -> Vec<usize> {
        self.labels.ids().iter().map(|&label| self.examples_of(label).len()).collect()
    }

    /// The number of examples.
    pub fn len(&self) -> usize {
        self.examples_by_label.iter().map(Vec::len).sum()
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Dataset {
    /// The examples of each of `domains`, as pools to draw episodes from.
    pub fn pools(&self, domains: &[DomainId]) -> Vec<DomainPool> {
        let examples_by_domain = self.examples_by_domain();
        let pool = |&domain: &DomainId| {
            let examples = examples_by_domain[domain as usize].iter();
            let labelled = examples.map(|&id| (id, self.reviews[id as usize].label));
            let name = self.domain_name(domain);
            let pool = DomainPool::new(domain, name, self.labels.len(), labelled);
            if self.label_sets_differ { pool.with_own_labels() } else { pool }
        };
        domains.iter().map(pool).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::intake::tests::dataset;

    #[test]
    fn pools_hold_the_examples_of_their_domains_by_label() {
        let records = [["dvd", "x"], ["books", "y"], ["dvd", "y"], ["cars", "x"], ["dvd", "y"]];
        let dataset = dataset(&records.map(|[domain, label]| [domain, label, "t"]));
        let pools = dataset.pools(&[2, 0]);
        let found: Vec<_> = pools
            .iter()
            .map(|p| (p.domain, p.name.as_str(), p.examples_by_label.clone()))
            .collect();
        assert_eq!(
            found,
            [(2, "dvd", vec![vec![0], vec![2, 4]]), (0, "books", vec![vec![], vec![1]])]
        );
    }

    #[test]
    fn pools_have_the_labels_of_their_domains() {
        let records = [["a", "x"], ["b", "y"], ["a", "y"], ["b", "z"], ["c", "w"], ["b", "w"]];
        let shared = dataset(&records.map(|[domain, label]| [domain, label, "t"]));
        let own = Dataset { label_sets_differ: true, ..shared.clone() };
        for domain in 0..3 {
            for dataset in [&shared, &own] {
                let pool = dataset.pools(&[domain]).remove(0);
                assert_eq!(pool.labels, dataset.labels_of(domain));
                assert_eq!(pool.has_own_labels, dataset.label_sets_differ);
                let num_examples = dataset.domain_sizes()[domain as usize];
                assert_eq!(pool.len(), num_examples);
                let by_label = pool.labels.ids().iter().map(|&label| pool.examples_of(label).len());
                assert_eq!(by_label.sum::<usize>(), num_examples);
            }
        }
        let pool = own.pools(&[1]).remove(0);
        let part = pool.clone().only(&[3]);
        assert_eq!((part.examples_by_label.concat(), part.labels), (vec![3], pool.labels));
    }
}
