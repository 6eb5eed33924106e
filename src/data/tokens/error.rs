//! Why a tokenizer does not open or does not encode.

use std::path::{Path, PathBuf};

use crate::files::limited;

/// Shortest allowed input: `[CLS]`, one wordpiece, `[SEP]`.
pub const MIN_LENGTH: usize = 3;

/// Why a tokenizer does not open or does not encode.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The directory holds neither file.
    #[error("{}: expected tokenizer.json or vocab.txt, found neither; name a directory in Hugging Face form", .0.display())]
    Missing(PathBuf),
    /// A file does not read or does not hold what it should.
    #[error("{}: {reason}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What was expected and found.
        reason: String,
    },
    /// A length that leaves no room for a wordpiece.
    #[error("max_length: expected at least {MIN_LENGTH} ([CLS], a wordpiece, [SEP]), found {0}")]
    MaxLength(usize),
    /// The tokenizer refused a text.
    #[error("{}: the tokenizer refused the text {text}: {reason}", file.display())]
    Encode {
        /// The file that the tokenizer was read from.
        file: PathBuf,
        /// The beginning of the text, quoted.
        text: String,
        /// What the tokenizer said.
        reason: String,
    },
}

impl TokenizerError {
    pub(super) fn file(file: &Path, reason: impl ToString) -> Self {
        Self::File { file: file.to_owned(), reason: reason.to_string() }
    }
}

/// The content of a file of a tokenizer.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, TokenizerError> {
    // The largest in use, of a quarter of a million wordpieces, have some thirty.
    limited::read(file, 128).map_err(|error| TokenizerError::file(file, error))
}
