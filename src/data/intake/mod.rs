//! The bytes of a labelled file become a [`Dataset`].
//!
//! Knows nothing of splits, tokens and episodes. A dataset that was read is right: nothing after this room checks it
//! again.

mod dataset;
mod domains;
mod encoding;
mod form;
mod label_rules;
pub(super) mod problem;
mod reader;
mod record;
mod rows;
mod table;

pub use dataset::{Dataset, Review};
pub use domains::named_domain;
pub use label_rules::LabelRules;
pub use problem::{DataError, Place, Problem};
pub(super) use problem::{quote, quote_list};
pub use record::MAX_TEXT_BYTES;
pub(super) use rows::{ReadError, Row, Rows};
pub(super) use table::delimiter_of;

#[cfg(test)]
pub(super) use dataset::tests;
