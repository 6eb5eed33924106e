//! Scores: of predictions, of adaptations to seeded draws, of folds; and how they are reported.

pub mod bootstrap;
pub mod calibration;
mod card_metadata;
pub mod cross_validation;
mod domain;
pub mod draws;
pub mod evaluation;
pub mod evaluator;
mod held_out;
pub mod metrics;
pub mod model_card;
pub mod outcome;
pub mod predict;
pub mod report;
pub mod safeguard;

pub use bootstrap::Estimate;
pub use evaluation::Evaluation;
pub use evaluator::Evaluator;
pub use safeguard::SafeguardConfig;
