//! A labelled file as checked reviews with label and domain ids.
//!
//! Knows no file format and no rule: what makes a dataset has checked it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::problem::Place;
use crate::data::ids::{DomainId, ExampleId, LabelId};

/// One labelled text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// The text as it is in the file.
    pub text: String,
    /// Its label.
    pub label: LabelId,
    /// Its domain.
    pub domain: DomainId,
    /// Its record in its file.
    pub place: Place,
    /// Its file, as a position in [`Dataset::files`].
    pub file: usize,
    /// How many records come before it, in its file and those before, those that were left out included.
    pub position: usize,
}

/// All reviews of one file, or of several as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// The reviews in file order; an [`ExampleId`] is a position here.
    pub reviews: Vec<Review>,
    /// The label names; a [`LabelId`] is a position here.
    pub labels: Vec<String>,
    /// Whether each domain has a label set of its own: otherwise all have all labels.
    pub label_sets_differ: bool,
    /// The domain names in byte order; a [`DomainId`] is a position here.
    pub domains: Vec<String>,
    /// SHA-256 of the file as it is stored, in hexadecimal; of several, that of the list of their hashes and names.
    pub sha256: String,
    /// The file, or the directory or pattern of several.
    pub path: PathBuf,
    /// The files in the order of their names.
    pub files: Vec<PathBuf>,
    /// Records without a text that were left out.
    pub num_empty: usize,
}

impl Dataset {
    /// The dataset without some of its reviews; labels and domains keep their ids, the reviews get new ones.
    pub fn without(mut self, dropped: &BTreeSet<ExampleId>) -> Self {
        let mut ids = 0..;
        self.reviews.retain(|_| ids.next().is_some_and(|id| !dropped.contains(&id)));
        self
    }

    /// The dataset without some of its domains: those left and their reviews get new ids, labels keep theirs.
    pub fn without_domains(mut self, dropped: &BTreeSet<DomainId>) -> Self {
        let mut num_kept = 0;
        let mut new_ids = Vec::with_capacity(self.domains.len());
        self.domains.retain(|_| {
            let is_kept = !dropped.contains(&(new_ids.len() as DomainId));
            new_ids.push(num_kept);
            num_kept += DomainId::from(is_kept);
            is_kept
        });
        self.reviews.retain(|review| !dropped.contains(&review.domain));
        for review in &mut self.reviews {
            review.domain = new_ids[review.domain as usize];
        }
        self
    }

    /// The file of a review, where there are several.
    pub fn file_of(&self, review: &Review) -> Option<&Path> {
        let is_named = self.files.len() > 1 || self.files.iter().any(|file| *file != self.path);
        is_named.then(|| self.files[review.file].as_path())
    }

    /// The place of a review: its record, and its file where there are several.
    pub fn place_of(&self, review: &Review) -> String {
        match self.file_of(review) {
            Some(file) => format!("{} of {}", review.place, file.display()),
            None => review.place.to_string(),
        }
    }

    /// The examples of every domain, ascending.
    pub fn examples_by_domain(&self) -> Vec<Vec<ExampleId>> {
        let mut examples = vec![Vec::new(); self.domains.len()];
        for (id, review) in (0..).zip(&self.reviews) {
            examples[review.domain as usize].push(id);
        }
        examples
    }

    /// The number of reviews of every domain.
    pub fn domain_sizes(&self) -> Vec<usize> {
        self.examples_by_domain().iter().map(Vec::len).collect()
    }

    /// The id of the domain called `name`.
    pub fn domain_id(&self, name: &str) -> Option<DomainId> {
        let position = self.domains.binary_search_by(|domain| domain.as_str().cmp(name)).ok()?;
        Some(position as DomainId)
    }

    /// The name of a domain.
    pub fn domain_name(&self, domain: DomainId) -> &str {
        &self.domains[domain as usize]
    }

    /// The names of some domains.
    pub fn names_of(&self, domains: &[DomainId]) -> Vec<String> {
        domains.iter().map(|&domain| self.domain_name(domain).to_owned()).collect()
    }

    /// The name of a label.
    pub fn label_name(&self, label: LabelId) -> &str {
        &self.labels[label as usize]
    }
}

#[cfg(test)]
pub(in crate::data) mod tests {
    use super::super::problem::DataError;
    use super::*;

    pub(in crate::data) fn parse(content: impl AsRef<[u8]>) -> Result<Dataset, DataError> {
        Dataset::parse(Path::new("d.json"), content.as_ref(), &[])
    }

    /// The only problem with `content`.
    pub(in crate::data) fn problem(content: impl AsRef<[u8]>) -> String {
        let error = parse(content).expect_err("the content is wrong");
        assert_eq!(error.count, 1, "{error}");
        error.to_string()
    }

    /// A dataset of records given as domain, label and text.
    pub(in crate::data) fn dataset(records: &[[&str; 3]]) -> Dataset {
        let line = |[domain, label, text]: &[&str; 3]| {
            serde_json::json!({"text": text, "label": label, "domain": domain}).to_string()
        };
        let lines = records.iter().map(line).collect::<Vec<_>>().join("\n");
        Dataset::parse(Path::new("d.jsonl"), lines.as_bytes(), &[]).unwrap()
    }

    /// A dataset with the given number of examples in each domain, texts all different.
    pub(in crate::data) fn dataset_of_sizes(sizes: &[(&str, usize)]) -> Dataset {
        let numbers = sizes.iter().flat_map(|(domain, size)| (0..*size).map(move |n| (domain, n)));
        let texts: Vec<_> =
            numbers.map(|(domain, n)| (domain, n, format!("{domain} {n}"))).collect();
        let records = texts.iter().map(|(domain, n, text)| [domain, ["no", "yes"][n % 2], text]);
        dataset(&records.collect::<Vec<_>>())
    }

    #[test]
    fn reviews_keep_their_places_when_others_are_left_out() {
        let dataset = dataset_of_sizes(&[("a", 2), ("b", 3), ("c", 1)]);
        let rest = dataset.clone().without(&BTreeSet::from([0, 3]));
        let positions: Vec<usize> = rest.reviews.iter().map(|review| review.position).collect();
        assert_eq!(positions, [1, 2, 4, 5]);
        assert_eq!(rest.reviews[0].place, Place::Line(2));

        let rest = dataset.without_domains(&BTreeSet::from([1]));
        assert_eq!(rest.domains, ["a", "c"]);
        let found: Vec<_> =
            rest.reviews.iter().map(|review| (review.position, review.domain)).collect();
        assert_eq!(found, [(0, 0), (1, 0), (5, 1)]);
    }
}
