//! The bytes of a labelled file become a [`Dataset`].
//!
//! Knows nothing of splits, tokens and episodes. A dataset that was read is right: nothing after this room checks it
//! again.

mod dataset;
mod encoding;
mod form;
pub(super) mod problem;
mod reader;
mod record;

pub use dataset::{Dataset, Review};
pub use problem::{DataError, Place, Problem};
pub use record::MAX_TEXT_BYTES;

#[cfg(test)]
pub(super) use dataset::tests;
