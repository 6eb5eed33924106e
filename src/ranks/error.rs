//! What goes wrong between processes.

use tch::TchError;
use thiserror::Error;

/// The group is incomplete.
#[derive(Debug, Error)]
pub enum GroupError {
    /// The store cannot be opened or reached.
    #[error("rank {rank}: no store at {place}: {reason}")]
    NoStore {
        /// This process.
        rank: usize,
        /// Host and port.
        place: String,
        /// What went wrong.
        reason: String,
    },
    /// Processes that never came.
    #[error("rank {rank}: {} did not come within {seconds} s", ranks(missing))]
    Missing {
        /// This process.
        rank: usize,
        /// Those that it waited for.
        missing: Vec<usize>,
        /// How long it waited.
        seconds: u64,
    },
    /// Processes that were there and answer no more.
    #[error("rank {rank}: lost {}: {reason}", ranks(lost))]
    Lost {
        /// This process.
        rank: usize,
        /// Those that it lost; empty where all still answer.
        lost: Vec<usize>,
        /// What went wrong.
        reason: String,
    },
}

fn ranks(ranks: &[usize]) -> String {
    match ranks {
        [] => "the connection to other ranks".to_owned(),
        [rank] => format!("rank {rank}"),
        ranks => {
            let names: Vec<String> = ranks.iter().map(usize::to_string).collect();
            format!("ranks {}", names.join(", "))
        }
    }
}

/// What an error of libtorch says, without where in its sources it arose.
pub(super) fn reason(error: &TchError) -> String {
    let text = error.to_string();
    let text = text.lines().next().unwrap_or_default();
    let text = text.strip_prefix("Internal torch error: ").unwrap_or(text);
    let text = match text.split_once("] ") {
        Some((place, text)) if place.starts_with('[') => text,
        _ => text,
    };
    text.trim_end_matches('.').to_owned()
}
