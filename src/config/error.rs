//! What is wrong with a source of settings.

use thiserror::Error;

/// What is wrong with a source of settings: a file, `--set`, or a flag.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A file that can't be read.
    #[error("{source_name}: {reason}")]
    Unreadable {
        /// The file.
        source_name: String,
        /// The system's reason.
        reason: String,
    },
    /// Not TOML, or a value of the wrong type.
    #[error("{source_name}: {reason}")]
    Malformed {
        /// The file or flag.
        source_name: String,
        /// What was expected and found.
        reason: String,
    },
    /// A key that does not exist.
    #[error("{source_name}: unknown key `{key}`; the nearest known key is `{nearest}`")]
    UnknownKey {
        /// The file or flag.
        source_name: String,
        /// The key.
        key: String,
        /// The known key that was most likely meant.
        nearest: String,
    },
}
