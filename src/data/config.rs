//! The `[data]` section of a configuration.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::fields::{EmptyTexts, FieldNames, RecordRules};
use crate::checks::{self, Invalid};

/// What to read and how to split it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// The labelled file, or a directory or pattern of several; empty where it is not set.
    pub path: String,
    /// The field, or the column of a table, with the text.
    pub text_field: String,
    /// The field with its label.
    pub label_field: String,
    /// The field with its domain.
    pub domain_field: String,
    /// The label set in the order of the label ids; empty: the labels of the file, sorted.
    pub labels: Vec<String>,
    /// Whether every domain has all labels of the file, or those of its own examples.
    pub label_sets: LabelSets,
    /// Names of the low-resource domains; empty: those with at most `low_resource_max` examples.
    pub low_resource: Vec<String>,
    /// The largest number of examples of a low-resource domain, where none are named.
    pub low_resource_max: usize,
    /// Names of the meta-dev domains; empty: `meta_dev_count` high-resource domains chosen by the run seed.
    pub meta_dev: Vec<String>,
    /// How many meta-dev domains to choose where none are named; 0 for none.
    pub meta_dev_count: usize,
    /// Longest input in wordpieces, `[CLS]` and `[SEP]` included; longer texts are truncated.
    pub max_length: usize,
    /// What to do about a text that is on two sides of the split.
    pub cross_side_duplicates: CrossSideDuplicates,
    /// What to do about a domain whose texts all have one label.
    pub single_label_domains: SingleLabelDomains,
    /// What to do about a record without a text.
    pub empty_texts: EmptyTexts,
    /// In domains with label sets of their own, labels of fewer texts than this are left out; 0 for none.
    pub min_texts_per_label: usize,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            path: String::new(),
            text_field: FieldNames::OWN.text.to_owned(),
            label_field: FieldNames::OWN.label.to_owned(),
            domain_field: FieldNames::OWN.domain.to_owned(),
            labels: Vec::new(),
            label_sets: LabelSets::default(),
            low_resource: Vec::new(),
            low_resource_max: 200,
            meta_dev: Vec::new(),
            meta_dev_count: 2,
            max_length: 256,
            cross_side_duplicates: CrossSideDuplicates::default(),
            single_label_domains: SingleLabelDomains::default(),
            empty_texts: EmptyTexts::default(),
            min_texts_per_label: 0,
        }
    }
}

impl DataConfig {
    /// What the fields of a record are called.
    pub fn fields(&self) -> FieldNames<'_> {
        let Self { text_field: text, label_field: label, domain_field: domain, .. } = self;
        FieldNames { text, label, domain }
    }

    /// How records are read.
    pub fn record_rules(&self) -> RecordRules<'_> {
        RecordRules { fields: self.fields(), empty_texts: self.empty_texts }
    }

    /// Checks the values, each by itself.
    ///
    /// # Errors
    /// The first impossible value, by its key.
    pub fn validate(&self) -> Result<(), Invalid> {
        let names = self.fields().all();
        let keys = ["data.text_field", "data.label_field", "data.domain_field"];
        for (number, (key, name)) in keys.iter().zip(names).enumerate() {
            let is_own = !name.trim().is_empty() && !names[..number].contains(&name);
            checks::require(is_own, key, "a name of its own", format!("{name:?}"))?;
        }
        let fits = self.min_texts_per_label == 0 || self.label_sets != LabelSets::Shared;
        let expected = "0 where data.label_sets is \"shared\"";
        checks::require(fits, "data.min_texts_per_label", expected, self.min_texts_per_label)?;
        // `[CLS]`, a wordpiece and `[SEP]`.
        checks::within("data.max_length", self.max_length as u64, 3..=u64::MAX)
    }
}

/// Which labels a domain has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelSets {
    /// All labels of the file, if a domain uses all of them; else each domain has its own.
    #[default]
    Auto,
    /// All labels of the file.
    Shared,
    /// Those of its own examples.
    Domain,
}

/// Checks section `[labels]`: lists of label names by domain, each a label set of its own.
///
/// # Errors
/// A list that is no label set, by its key; any list where `data.label_sets` has domains share their labels.
pub(crate) fn validate_label_lists(
    lists: &BTreeMap<String, Vec<String>>,
    label_sets: LabelSets,
) -> Result<(), Invalid> {
    let num_lists = lists.len();
    let fits = label_sets != LabelSets::Shared || num_lists == 0;
    let expected = "no lists where data.label_sets is \"shared\"";
    checks::require(fits, "labels", expected, format!("{num_lists}; set it to \"domain\""))?;
    for (domain, labels) in lists {
        let (key, found) = (format!("labels.{domain}"), format!("{labels:?}"));
        checks::require(labels.len() >= 2, &key, "at least two labels", found)?;
        let mut seen = BTreeSet::new();
        if let Some(label) = labels.iter().find(|label| !seen.insert(label.as_str())) {
            return Err(Invalid(format!("{key}: expected each label once, found {label:?} twice")));
        }
    }
    Ok(())
}

/// What to do about a text that is on two sides of the split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CrossSideDuplicates {
    /// Refuse the file. Only to meta-dev domains that the seed chose does meta-train give way all the same.
    #[default]
    Error,
    /// Keep the copies on one side: meta-train gives way to meta-dev, and both to low-resource.
    Drop,
}

/// What to do about a domain whose texts all have one label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SingleLabelDomains {
    /// Use it as the others, with a warning.
    #[default]
    Warn,
    /// Refuse the file.
    Error,
    /// Leave the domain out, with a warning.
    Drop,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_that_are_no_label_sets_are_refused_by_key() {
        let check = |labels: &[&str], label_sets| {
            let labels = labels.iter().map(ToString::to_string).collect();
            validate_label_lists(&BTreeMap::from([("a & b".to_owned(), labels)]), label_sets)
                .map_err(|error| error.to_string())
        };
        assert_eq!(check(&["x", "y"], LabelSets::Auto), Ok(()));
        for (labels, label_sets, expected) in [
            (
                &["x"][..],
                LabelSets::Auto,
                r#"labels.a & b: expected at least two labels, found ["x"]"#,
            ),
            (
                &["x", "y", "x"],
                LabelSets::Domain,
                r#"labels.a & b: expected each label once, found "x" twice"#,
            ),
            (
                &["x", "y"],
                LabelSets::Shared,
                r#"labels: expected no lists where data.label_sets is "shared", found 1; set it to "domain""#,
            ),
        ] {
            assert_eq!(check(labels, label_sets).unwrap_err(), expected);
        }
        assert_eq!(validate_label_lists(&BTreeMap::new(), LabelSets::Shared), Ok(()));
    }
}
