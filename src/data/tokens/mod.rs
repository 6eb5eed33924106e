//! Texts become wordpiece ids, once, and ids become packed batches.
//!
//! Knows no split and no episode; only `batch` knows what a tensor is.

pub mod batch;
mod corpus;
mod error;
mod label_words;
mod token_subset;
mod tokenizer;
mod tokenizer_config;
mod vocab;
mod words;

pub use corpus::Corpus;
pub use error::TokenizerError;
pub use token_subset::TokenSubset;
pub use tokenizer::{Encoding, TextTokenizer};
