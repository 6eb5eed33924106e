//! The sections of a report, each in a file of its own: a question, its charts and its numbers.

pub mod confusion;
pub mod differences;
pub mod domains;
pub mod inner_loss;
pub mod overview;
pub mod reliability;
pub mod settings;
pub mod support_size;
pub mod time;
pub mod training;
mod words;
