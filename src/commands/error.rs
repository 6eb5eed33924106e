//! Errors that commands raise themselves, and the exit code of every error.

use anyhow::Error;
use thiserror::Error;

use crate::checks::Invalid;
use crate::config::ConfigError;
use crate::data::{DataError, TokenizerError};
use crate::hub::FetchError;
use crate::machine::device::DeviceError;
use crate::params::ModelFileError;
use crate::run::OutputExists;
use crate::run::lock::LockError;

/// A signal stopped training, which saved its state first.
#[derive(Debug, Error)]
#[error("interrupted; resume with: {}", resume.as_deref().unwrap_or_default())]
pub struct Interrupted {
    /// The signal's number.
    pub signal: usize,
    /// The command that resumes the run, where it is this process's to say so.
    pub resume: Option<String>,
}

/// A process that this one has started failed, and has said why.
#[derive(Debug, Error)]
#[error("rank {rank} ended with exit code {code}")]
pub struct RankFailed {
    /// Its number.
    pub rank: usize,
    /// Its exit code, or 128 + the signal that ended it.
    pub code: u8,
}

/// Whether another process of the run says what has happened.
pub fn is_reported_elsewhere(error: &Error) -> bool {
    error.downcast_ref::<Interrupted>().is_some_and(|interrupted| interrupted.resume.is_none())
}

/// 2 where usage, configuration or input is wrong, 128 + the signal where one stopped training,
/// 1 where the work failed.
pub fn exit_code(error: &Error) -> u8 {
    if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
        return 128 + interrupted.signal as u8;
    }
    if let Some(failed) = error.downcast_ref::<RankFailed>() {
        return failed.code;
    }
    let is_input = error.chain().any(|cause| {
        cause.is::<Invalid>()
            || cause.is::<ConfigError>()
            || cause.is::<DataError>()
            || cause.is::<TokenizerError>()
            || cause.is::<ModelFileError>()
            || cause.is::<DeviceError>()
            || cause.is::<OutputExists>()
            || matches!(cause.downcast_ref(), Some(LockError::Held { .. }))
            || matches!(cause.downcast_ref(), Some(FetchError::Invalid(_)))
    });
    if is_input { 2 } else { 1 }
}
