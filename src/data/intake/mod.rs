//! The bytes of labelled files become a [`Dataset`].
//!
//! Knows nothing of splits, tokens and episodes. A dataset that was read is right: nothing after this room checks it
//! again.

mod columns;
mod dataset;
mod domains;
mod encoding;
mod form;
mod label_rules;
mod parquet;
pub(super) mod problem;
mod reader;
mod record;
mod rows;
mod source;
mod table;
mod unknown_labels;

pub use dataset::{Dataset, Review};
pub use domains::named_domain;
pub use label_rules::LabelRules;
pub(super) use parquet::is_parquet;
pub use problem::{DataError, Place, Problem};
pub(super) use problem::{quote, quote_list};
pub(super) use record::Fields;
pub use record::MAX_TEXT_BYTES;
pub(super) use record::reason_of;
pub(super) use rows::{ReadError, Rows};
pub use source::files_of;
pub(super) use table::{delimiter_of, for_each_row};

#[cfg(test)]
pub(super) use dataset::tests;
