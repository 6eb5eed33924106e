//! Which labels the texts of a file may have: those of the file, of a model, or of their domain.
//!
//! Knows where label sets come from; how a file is read, its neighbours know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::dataset::Dataset;
use super::domains::named_domain;
use super::problem::{DataError, Place, Problem, Problems, quote, quote_list};
use super::record::subject;
use super::source::Source;
use crate::data::config::LabelSets;
use crate::data::fields::{FieldNames, RecordRules};
use crate::data::ids::LabelId;

/// What is said about the labels of a file before it is read.
#[derive(Clone, Copy, Debug)]
pub struct LabelRules<'a> {
    /// `data.label_sets`.
    pub label_sets: LabelSets,
    /// `data.labels`: all labels in the order of their ids; empty where they come from the file.
    pub named: &'a [String],
    /// The labels of a model's head, which hold where domains share their labels.
    pub head: Option<&'a [String]>,
    /// Section `[labels]`: label sets of domains, by name. One is enough to make label sets differ by domain.
    pub by_domain: &'a BTreeMap<String, Vec<String>>,
}

impl Dataset {
    /// Reads and checks a file as [`Dataset::read`] does, and settles whether its domains share their labels.
    ///
    /// # Errors
    /// As [`Dataset::read`], and every contradiction between the file and the lists of `rules`.
    pub fn read_by(
        path: impl AsRef<Path>,
        records: RecordRules,
        rules: &LabelRules,
    ) -> Result<Self, DataError> {
        // Once: it may be a pipe.
        let source = Source::read(path.as_ref())?;
        let LabelRules { named, head, by_domain, .. } = *rules;
        let add = "add it to data.labels";
        let own = || {
            let advice = if named.is_empty() { "" } else { add };
            Self::of_source(&source, records, named, advice)
        };
        let shared = || match head {
            Some(head) if named.is_empty() => {
                let advice = "the model has these; where each domain has labels of its own, set data.label_sets = \"domain\"";
                Self::of_source(&source, records, head, advice)
            }
            head => Self::of_source(&source, records, head.unwrap_or(named), add),
        };
        let differing = |own: Self| Self { label_sets_differ: true, ..own };
        match rules.label_sets {
            LabelSets::Shared => shared(),
            LabelSets::Auto if by_domain.is_empty() => match own() {
                Ok(own) if !own.has_domain_of_all_labels() => Ok(differing(own)),
                Ok(own) if head.is_none_or(|head| head == own.labels) => Ok(own),
                _ => shared(),
            },
            LabelSets::Auto | LabelSets::Domain => {
                let dataset = differing(own()?);
                check_lists(&dataset, &records.fields, by_domain)?;
                Ok(dataset)
            }
        }
    }

    /// Whether a domain uses every label that any domain uses.
    fn has_domain_of_all_labels(&self) -> bool {
        let used = self.used_labels();
        let all: BTreeSet<&LabelId> = used.iter().flatten().collect();
        used.iter().any(|labels| labels.len() == all.len())
    }

    /// The labels of the reviews of every domain.
    fn used_labels(&self) -> Vec<BTreeSet<LabelId>> {
        let mut used = vec![BTreeSet::new(); self.domains.len()];
        for review in &self.reviews {
            used[review.domain as usize].insert(review.label);
        }
        used
    }
}

/// Checks that the texts of every listed domain have the listed labels, all of them and no others.
fn check_lists(
    dataset: &Dataset,
    fields: &FieldNames,
    by_domain: &BTreeMap<String, Vec<String>>,
) -> Result<(), DataError> {
    let used = dataset.used_labels();
    let mut problems = Problems::default();
    for (name, listed) in by_domain {
        let setting = format!("setting labels.{name}");
        let domain = match named_domain(dataset, name) {
            Ok(domain) => domain,
            Err(problem) => {
                problems.push(Problem { subject: setting, ..problem });
                continue;
            }
        };
        let has = |label: &String| {
            let mut labels = used[domain as usize].iter();
            labels.any(|&used| dataset.label_name(used) == label)
        };
        for label in listed.iter().filter(|label| !has(label)) {
            let message = format!("no text of the domain has the label {}", quote(label));
            let problem = Problem::new(Place::File, &setting, message);
            problems.push(problem.with_fix("take it out of the list, or label texts with it"));
        }
    }
    for review in &dataset.reviews {
        let [name, label] = [dataset.domain_name(review.domain), dataset.label_name(review.label)];
        let Some(listed) = by_domain.get(name) else { continue };
        if !listed.iter().any(|known| known == label) {
            problems.push_with(|| {
                let known = quote_list(listed.iter().map(String::as_str));
                let expected = format!("one of {known}, the labels of the domain {}", quote(name));
                let problem =
                    Problem::expected(review.place, subject(fields.label), expected, quote(label));
                let problem = problem.with_fix(format!("add it to labels.{name}"));
                problem.in_file(dataset.file_of(review))
            });
        }
    }
    problems.into_result(&dataset.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two labels for each of two domains, one of them in both.
    const APART: [[&str; 2]; 4] = [["a", "x"], ["a", "y"], ["b", "y"], ["b", "z"]];
    /// The domain `a` has all labels.
    const TOGETHER: [[&str; 2]; 4] = [["a", "x"], ["a", "y"], ["b", "y"], ["a", "z"]];

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    /// Reads records given as domain and label.
    fn read(records: &[[&str; 2]], rules: &LabelRules) -> Result<Dataset, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("d.jsonl");
        let line = |(number, [domain, label]): (usize, &[&str; 2])| {
            let text = format!("t{number}");
            serde_json::json!({"text": text, "label": label, "domain": domain}).to_string()
        };
        let lines: Vec<String> = records.iter().enumerate().map(line).collect();
        std::fs::write(&path, lines.join("\n")).unwrap();
        let place = format!("{}/", directory.path().display());
        Dataset::read_by(&path, RecordRules::default(), rules)
            .map_err(|error| error.to_string().replace(&place, ""))
    }

    fn read_with(
        records: &[[&str; 2]],
        label_sets: LabelSets,
        named: &[&str],
        head: Option<&[&str]>,
    ) -> Result<(Vec<String>, bool), String> {
        let (named, head) = (strings(named), head.map(strings));
        let rules = LabelRules {
            label_sets,
            named: &named,
            head: head.as_deref(),
            by_domain: &BTreeMap::new(),
        };
        read(records, &rules).map(|dataset| (dataset.labels, dataset.label_sets_differ))
    }

    #[test]
    fn label_sets_are_shared_where_a_domain_has_all_labels() {
        for (records, differ) in
            [(APART, false), (TOGETHER, false), (APART, true), (TOGETHER, true)]
        {
            let label_sets = if differ { LabelSets::Domain } else { LabelSets::Shared };
            let found = read_with(&records, label_sets, &[], None).unwrap();
            assert_eq!(found, (strings(&["x", "y", "z"]), differ));
        }
        let auto =
            |records, named: &[&str]| read_with(records, LabelSets::Auto, named, None).unwrap();
        assert!(auto(&APART, &[]).1 && !auto(&TOGETHER, &[]).1);
        // A named label that no text has does not make them differ.
        let named = ["z", "w", "y", "x"];
        assert_eq!(auto(&TOGETHER, &named), (strings(&named), false));
        assert_eq!(auto(&APART, &named), (strings(&named), true));
    }

    #[test]
    fn the_labels_of_a_model_hold_where_domains_share_theirs() {
        let head = Some(&["z", "y", "x", "w"][..]);
        for label_sets in [LabelSets::Auto, LabelSets::Shared] {
            let found = read_with(&TOGETHER, label_sets, &[], head).unwrap();
            assert_eq!(found, (strings(&["z", "y", "x", "w"]), false));
            let error = read_with(&TOGETHER, label_sets, &[], Some(&["x", "y"])).unwrap_err();
            assert_eq!(
                error,
                "d.jsonl: line 4, field \"label\": expected one of \"x\", \"y\", found \"z\"; the model has these; where \
                 each domain has labels of its own, set data.label_sets = \"domain\""
            );
        }
        let own = (strings(&["x", "y", "z"]), true);
        assert_eq!(read_with(&TOGETHER, LabelSets::Domain, &[], head).unwrap(), own);
        assert_eq!(read_with(&APART, LabelSets::Auto, &[], Some(&["good", "bad"])).unwrap(), own);
        let shared = read_with(&APART, LabelSets::Shared, &[], head).unwrap();
        assert_eq!(shared, (strings(&["z", "y", "x", "w"]), false));
    }

    #[test]
    fn a_label_outside_those_named_is_refused_however_label_sets_are_read() {
        for label_sets in [LabelSets::Auto, LabelSets::Shared, LabelSets::Domain] {
            let error = read_with(&APART, label_sets, &["x", "y"], None).unwrap_err();
            let expected = "found \"z\"; add it to data.labels";
            assert!(error.ends_with(expected), "{label_sets:?}: {error}");
        }
    }

    #[test]
    fn a_file_of_one_label_is_taken_for_a_model_that_has_more() {
        let found = read_with(&TOGETHER[..1], LabelSets::Auto, &[], Some(&["x", "y"])).unwrap();
        assert_eq!(found, (strings(&["x", "y"]), false));
    }

    fn listed(records: &[[&str; 2]], lists: &[(&str, &[&str])]) -> Result<Dataset, String> {
        let lists = lists.iter().map(|(domain, labels)| (domain.to_string(), strings(labels)));
        let (label_sets, by_domain) = (LabelSets::Auto, lists.collect());
        read(records, &LabelRules { label_sets, named: &[], head: None, by_domain: &by_domain })
    }

    #[test]
    fn a_list_makes_label_sets_differ() {
        let dataset = listed(&TOGETHER, &[("a", &["z", "x", "y"])]).unwrap();
        assert!(dataset.label_sets_differ);
        assert_eq!(dataset.labels, ["x", "y", "z"]);
    }

    #[test]
    fn every_contradiction_between_lists_and_texts_is_reported() {
        let lists: [(&str, &[&str]); 3] =
            [("a", &["x", "w"]), ("b", &["y", "z"]), ("books", &["x", "y"])];
        let error = listed(&APART, &lists).unwrap_err();
        assert_eq!(
            error.lines().collect::<Vec<_>>(),
            [
                "d.jsonl: 3 problems",
                "  d.jsonl: setting labels.a: no text of the domain has the label \"w\"; take it out of the list, or \
                 label texts with it",
                "  d.jsonl: setting labels.books: there is no domain \"books\"; did you mean \"b\"? the domains are \
                 \"a\", \"b\"",
                "  d.jsonl: line 2, field \"label\": expected one of \"x\", \"w\", the labels of the domain \"a\", \
                 found \"y\"; add it to labels.a",
            ]
        );
    }
}
