//! Which domains are learned from, which choose the checkpoint, which are only tested on; and no text on two sides.
//!
//! Knows no token and no episode. [`settle()`] does all of it to a dataset as it was read.

mod duplicates;
mod leaks;
mod rare_labels;
mod settle;
mod side_files;
mod sides;
mod similar_labels;
mod single_label;

pub use leaks::keep_sides_apart;
pub use settle::{Settled, settle, settle_domains, without_gaps};
pub use side_files::write_sides;
pub use sides::{Side, Split};
