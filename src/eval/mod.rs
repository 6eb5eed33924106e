//! Scores: of predictions, of adaptations to seeded draws, of folds.

pub mod cross_validation;
pub mod evaluator;
pub mod metrics;
pub mod predict;

pub use evaluator::{DomainResult, Evaluation, Evaluator};
