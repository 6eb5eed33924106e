//! BERT as a function of its weights, and the Hugging Face directories those weights live in.
//!
//! Knows batches of token ids; knows no task, episode or algorithm.

pub mod attention;
pub mod bert;
pub mod classifier;
pub mod config;
pub(crate) mod json;
pub mod pass;
pub mod pooling;
pub mod precision;
pub mod pretrained;
#[cfg(test)]
mod second_order;
mod sentence_transformers;
pub mod weights;

pub use classifier::{Classifier, Head};
pub use config::BertConfig;
pub use pass::{Order, Pass};
pub use pooling::Pooling;
pub use precision::Precision;
pub use pretrained::ModelDirectory;
