//! Checks records one by one and numbers their labels and domains.
//!
//! Knows no file format; what it lets through is right.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::problem::{DataError, Place, Problem, Problems, quote, quote_list};
use super::record::{Field, RawRecord};
use super::{Dataset, ExampleId, LabelId, MAX_TEXT_BYTES, Review};

/// The longest name of a label or domain; names stand in messages and in tables.
const MAX_NAME_BYTES: usize = 1_000;

/// Checks a label set that the user gave; an empty one stands for none.
pub(super) fn check_label_set(labels: &[String], problems: &mut Problems) {
    let setting = "setting labels";
    if labels.len() == 1 {
        let found = format!("only {}", quote(&labels[0]));
        problems.push(Problem::expected(Place::File, setting, "at least two labels", found));
    }
    for (position, label) in labels.iter().enumerate() {
        if label.trim().is_empty() {
            problems.push(Problem::expected(Place::File, setting, "label names", "an empty name"));
        } else if labels[..position].contains(label) {
            let message = format!("the label {} is named twice", quote(label));
            problems.push(Problem::new(Place::File, setting, message));
        }
    }
}

/// Numbers names in the order of their first appearance.
#[derive(Default)]
struct Names {
    ids: HashMap<String, u32>,
    names: Vec<String>,
}

impl Names {
    fn id(&mut self, name: &str) -> u32 {
        if let Some(&id) = self.ids.get(name) {
            return id;
        }
        let id = self.names.len() as u32;
        self.ids.insert(name.to_owned(), id);
        self.names.push(name.to_owned());
        id
    }

    /// Sorts the names by `order`, and returns them with the new id of every old one.
    fn into_sorted(
        self,
        order: impl Fn(&str, &str) -> std::cmp::Ordering,
    ) -> (Vec<String>, Vec<u32>) {
        let mut old_ids: Vec<usize> = (0..self.names.len()).collect();
        old_ids.sort_by(|&left, &right| order(&self.names[left], &self.names[right]));
        let mut new_ids = vec![0; old_ids.len()];
        for (new, &old) in (0..).zip(&old_ids) {
            new_ids[old] = new;
        }
        (old_ids.iter().map(|&old| self.names[old].clone()).collect(), new_ids)
    }
}

/// Checks records one by one, with label and domain ids in order of appearance.
pub(super) struct Checker<'l> {
    given_labels: &'l [String],
    labels: Names,
    domains: Names,
    reviews: Vec<Review>,
    num_records: usize,
}

impl<'l> Checker<'l> {
    /// A checker for the given label set, or for whatever labels come where it is empty.
    pub(super) fn new(given_labels: &'l [String]) -> Self {
        let mut labels = Names::default();
        for label in given_labels {
            labels.id(label);
        }
        Self {
            given_labels,
            labels,
            domains: Names::default(),
            reviews: Vec::new(),
            num_records: 0,
        }
    }

    /// Checks one record, and keeps it where it is right.
    pub(super) fn take(&mut self, problems: &mut Problems, place: Place, record: RawRecord<'_>) {
        self.num_records += 1;
        let (text, label, domain) = match record {
            RawRecord::NotAnObject(found) => {
                return problems.push(Problem::expected(
                    place,
                    "",
                    "a record {\"text\", \"label\", \"domain\"}",
                    found,
                ));
            }
            RawRecord::Object { text, label, domain, repeated } => {
                if let Some(name) = repeated {
                    let message = "stands more than once in the record";
                    return problems.push(Problem::new(place, subject(name), message));
                }
                (text, label, domain)
            }
        };
        // All three are checked before any of them gives up: a record shows all its problems.
        let text = string_of(problems, place, "text", text)
            .filter(|text| is_short(problems, place, "text", text, MAX_TEXT_BYTES));
        let label = label_of(problems, place, label)
            .filter(|label| is_short(problems, place, "label", label, MAX_NAME_BYTES))
            .and_then(|label| self.known_label(problems, place, label));
        let domain = string_of(problems, place, "domain", domain)
            .filter(|domain| is_short(problems, place, "domain", domain, MAX_NAME_BYTES));
        if let (Some(text), Some(label), Some(domain)) = (text, label, domain) {
            let domain = self.domains.id(&domain);
            let (text, position) = (text.into_owned(), self.num_records - 1);
            self.reviews.push(Review { text, label, domain, place, position });
        }
    }

    fn known_label(
        &mut self,
        problems: &mut Problems,
        place: Place,
        label: Cow<'_, str>,
    ) -> Option<LabelId> {
        if self.given_labels.is_empty() || self.labels.ids.contains_key(label.as_ref()) {
            return Some(self.labels.id(&label));
        }
        let expected =
            format!("one of {}", quote_list(self.given_labels.iter().map(String::as_str)));
        problems.push(Problem::expected(place, subject("label"), expected, quote(&label)));
        None
    }

    /// The dataset, with label and domain ids in their final order, or everything that was wrong.
    pub(super) fn finish(
        self,
        path: &Path,
        bytes: &[u8],
        mut problems: Problems,
    ) -> Result<Dataset, DataError> {
        if self.num_records == 0 && problems.is_empty() {
            problems.push(Problem::expected(
                Place::File,
                "",
                "at least one record",
                "an empty array",
            ));
        }
        if problems.is_empty() && self.labels.names.len() < 2 {
            let found =
                format!("only {}", quote_list(self.labels.names.iter().map(String::as_str)));
            problems.push(Problem::expected(
                Place::File,
                subject("label"),
                "at least two labels in all",
                found,
            ));
        }
        if self.reviews.len() > ExampleId::MAX as usize {
            let expected = format!("at most {} records", ExampleId::MAX);
            problems.push(Problem::expected(Place::File, "", expected, self.reviews.len()));
        }
        problems.into_result(path)?;

        let (domains, new_domain) = self.domains.into_sorted(|left, right| left.cmp(right));
        let (labels, new_label) = if self.given_labels.is_empty() {
            let are_integers = self.labels.names.iter().all(|name| name.parse::<i128>().is_ok());
            self.labels.into_sorted(|left, right| match are_integers {
                true => left.parse::<i128>().ok().cmp(&right.parse().ok()).then(left.cmp(right)),
                false => left.cmp(right),
            })
        } else {
            (self.labels.names, (0..self.given_labels.len() as LabelId).collect())
        };
        let mut reviews = self.reviews;
        for review in &mut reviews {
            review.label = new_label[review.label as usize];
            review.domain = new_domain[review.domain as usize];
        }
        let sha256 = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Dataset { reviews, labels, domains, sha256, path: path.to_owned() })
    }
}

fn subject(field: &str) -> String {
    format!("field \"{field}\"")
}

fn string_of<'a>(
    problems: &mut Problems,
    place: Place,
    name: &str,
    field: Field<'a>,
) -> Option<Cow<'a, str>> {
    let found = match field {
        Field::Text(text) if !text.trim().is_empty() => return Some(text),
        Field::Text(_) => Cow::Borrowed("empty text"),
        Field::Integer(number) => format!("the number {number}").into(),
        Field::Other(found) => found,
        Field::Absent => "no such field".into(),
    };
    problems.push(Problem::expected(place, subject(name), "a string that is not empty", found));
    None
}

/// Whether a field's value has `most` bytes at most; reports it where it has more.
fn is_short(problems: &mut Problems, place: Place, name: &str, value: &str, most: usize) -> bool {
    let is_short = value.len() <= most;
    if !is_short {
        let expected = format!("at most {most} bytes");
        let problem = Problem::expected(place, subject(name), expected, value.len());
        problems.push(problem.with_fix("shorten it"));
    }
    is_short
}

fn label_of<'a>(problems: &mut Problems, place: Place, field: Field<'a>) -> Option<Cow<'a, str>> {
    let found = match field {
        Field::Text(label) if !label.trim().is_empty() => return Some(label),
        Field::Integer(number) => return Some(number.into()),
        Field::Text(_) => Cow::Borrowed("empty text"),
        Field::Other(found) => found,
        Field::Absent => "no such field".into(),
    };
    problems.push(Problem::expected(place, subject("label"), "a string or an integer", found));
    None
}
