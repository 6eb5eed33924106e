//! Reads the JSON files of a model directory.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::files::limited;
use crate::params::file::ModelFileError;

/// The largest file; a `config.json` that names 100,000 labels takes 5 MiB.
pub(crate) const MAX_CONFIG_MIB: u64 = 16;

/// The content of a file that should hold `expected`, such as "a JSON object".
pub(super) fn read<T: DeserializeOwned>(path: &Path, expected: &str) -> Result<T, ModelFileError> {
    let text =
        limited::read(path, MAX_CONFIG_MIB).map_err(|reason| ModelFileError::new(path, reason))?;
    serde_json::from_slice(&text)
        .map_err(|error| ModelFileError::new(path, format!("expected {expected}: {error}")))
}
