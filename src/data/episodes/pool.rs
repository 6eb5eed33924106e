//! The examples of a domain, sorted by label.

use crate::data::ids::{DomainId, ExampleId, LabelId};
use crate::data::intake::Dataset;

/// The examples of one domain, by label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainPool {
    /// The domain.
    pub domain: DomainId,
    /// Its name, from which its random streams derive.
    pub name: String,
    /// The examples of every label, ascending; a position is a [`LabelId`].
    pub examples_by_label: Vec<Vec<ExampleId>>,
}

impl DomainPool {
    /// Sorts examples by their labels.
    pub fn new(
        domain: DomainId,
        name: &str,
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
        Self { domain, name: name.to_owned(), examples_by_label }
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
            DomainPool::new(domain, self.domain_name(domain), labelled)
        };
        domains.iter().map(pool).collect()
    }
}

#[cfg(test)]
mod tests {
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
}
