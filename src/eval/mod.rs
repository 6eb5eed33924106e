//! Scores: of predictions, of adaptations to seeded draws, of folds.

pub mod cross_validation;
pub mod evaluator;
pub mod metrics;
pub mod model_card;
pub mod predict;
pub mod report;

pub use evaluator::{DomainResult, Evaluation, Evaluator};
