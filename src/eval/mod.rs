//! Scores: of predictions, of adaptations to seeded draws, of folds; and how they are reported.

pub mod cross_validation;
pub mod evaluation;
pub mod evaluator;
pub mod metrics;
pub mod model_card;
pub mod predict;
pub mod report;

pub use evaluation::Evaluation;
pub use evaluator::Evaluator;
