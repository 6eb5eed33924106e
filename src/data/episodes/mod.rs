//! Examples are drawn: episodes, folds, minibatches, each as a pure function of a seed and an index.
//!
//! Knows ids, labels and domain names; no text, no token.

mod check;
mod config;
mod draw;
mod folds;
mod minibatch;
mod pool;
mod sampler;
mod sizes;
mod stratify;

pub use check::check_sizes;
pub use config::{DomainLaw, EpisodeConfig, ExampleLaw};
pub use folds::folds;
pub use minibatch::{Minibatches, num_minibatches};
pub use pool::DomainPool;
pub use sampler::{Episode, EpisodeSampler};
pub use sizes::{QuerySize, Sizes};
