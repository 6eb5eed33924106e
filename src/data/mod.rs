//! From a labelled file to episodes: read, split by domain, tokenise once, pick by index.
//!
//! Nothing here knows a model, and only `batch` knows what a tensor is.

pub mod batch;
mod check;
pub mod corpus;
mod decode;
pub mod episode;
pub mod folds;
mod foreign;
mod form;
pub mod leaks;
pub mod minibatch;
pub mod problem;
mod record;
pub mod review;
pub mod sides;
mod single_label;
pub mod split;
pub mod stats;
mod stratify;
pub mod token_subset;
pub mod tokenizer;
pub mod unlabelled;
mod vocab;
mod words;

pub use corpus::Corpus;
pub use episode::{
    DomainId, DomainLaw, DomainPool, Episode, EpisodeConfig, EpisodeSampler, ExampleId, ExampleLaw,
    LabelId,
};
pub use folds::folds;
pub use leaks::{check_leaks, drop_leaks};
pub use problem::{DataError, Place, Problem};
pub use review::{Dataset, Review};
pub use sides::write_sides;
pub use single_label::{SingleLabelDomains, settle_single_label_domains};
pub use split::{Side, Split, check_sizes};
pub use stats::{DataStats, DomainStats, LengthStats, render_table, stats};
pub use token_subset::TokenSubset;
pub use tokenizer::{Encoding, TextTokenizer, TokenizerError};

use serde::{Deserialize, Serialize};

use crate::checks::{self, Invalid};

/// The longest text, far beyond what a model reads of it: taking one apart needs sixty times its length of memory.
pub const MAX_TEXT_BYTES: usize = 1 << 20;

/// What to read and how to split it: the `[data]` section of a configuration.
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
    /// What to do about a text that stands on two sides of the split.
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
            cross_side_duplicates: CrossSideDuplicates::Error,
            single_label_domains: SingleLabelDomains::Warn,
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

/// What to do about a text that stands on two sides of the split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CrossSideDuplicates {
    /// Refuse the file: [`check_leaks`].
    #[default]
    Error,
    /// Keep the copy on the side that is tested on: [`drop_leaks`].
    Drop,
}
