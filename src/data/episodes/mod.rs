//! Examples are drawn: episodes, folds, minibatches, each as a pure function of a seed and an index.
//!
//! Knows ids, labels and domain names; no text, no token.

mod config;
mod folds;
mod minibatch;
mod pool;
mod sampler;
mod stratify;

pub use config::{DomainLaw, EpisodeConfig, ExampleLaw};
pub use folds::folds;
pub use minibatch::{Minibatches, num_minibatches};
pub use pool::DomainPool;
pub use sampler::{Episode, EpisodeSampler};
