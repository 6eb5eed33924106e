//! Errors of downloads.

use std::fmt::Display;
use std::io;

use thiserror::Error;

use crate::checks::Invalid;

/// Why a model did not arrive.
#[derive(Debug, Error)]
pub enum FetchError {
    /// There is no such model, or it may not be read.
    #[error("{0}")]
    Invalid(Invalid),
    /// The network or the server failed; a repetition resumes.
    #[error("{0}")]
    Network(String),
    /// The file system failed.
    #[error("{0}")]
    File(#[from] io::Error),
}

impl From<Invalid> for FetchError {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl FetchError {
    pub(super) fn network(place: &str, problem: impl Display) -> Self {
        Self::Network(format!("{place}: {problem}"))
    }
}
