//! What is wrong with a configuration.

use thiserror::Error;

/// What is wrong with a configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A file can't be read.
    #[error("{source_name}: {reason}")]
    Unreadable {
        /// The file.
        source_name: String,
        /// The system's words.
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
        /// The known key with the smallest edit distance.
        nearest: String,
    },
    /// Values that are impossible, alone or together.
    #[error("{0}")]
    Invalid(String),
}
