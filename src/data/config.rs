//! The `[data]` section of a configuration.

use serde::{Deserialize, Serialize};

use crate::checks::{self, Invalid};

/// What to read and how to split it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// The labelled file; empty where it is not set.
    pub path: String,
    /// The label set in the order of the label ids; empty: the labels of the file, sorted.
    pub labels: Vec<String>,
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
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            path: String::new(),
            labels: Vec::new(),
            low_resource: Vec::new(),
            low_resource_max: 200,
            meta_dev: Vec::new(),
            meta_dev_count: 2,
            max_length: 256,
            cross_side_duplicates: CrossSideDuplicates::default(),
            single_label_domains: SingleLabelDomains::default(),
        }
    }
}

impl DataConfig {
    /// Checks the values, each by itself.
    ///
    /// # Errors
    /// The first impossible value, by its key.
    pub fn validate(&self) -> Result<(), Invalid> {
        // `[CLS]`, a wordpiece and `[SEP]`.
        checks::within("data.max_length", self.max_length as u64, 3..=u64::MAX)
    }
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
