//! A report of runs and evaluations: what they contain becomes sections of charts and tables, and these one file.
//!
//! Knows no file system: the same input gives the same bytes.

mod charts;
mod comparison;
mod contents;
mod document;
mod escape;
mod evaluation;
mod html;
mod markdown;
mod names;
mod run_record;
mod sections;

pub use contents::document;
pub use evaluation::EvaluationRecord;
pub use html::html;
pub use markdown::markdown;
pub use run_record::RunRecord;
