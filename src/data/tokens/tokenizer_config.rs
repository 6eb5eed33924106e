//! `tokenizer_config.json`, which `transformers` reads beside the tokenizer.

use std::io;
use std::path::Path;

use serde_json::{Map, Value};

use super::error::{TokenizerError, read};

pub(super) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// Where the tokenizer came from, on the machine of whoever saved it.
const ORIGINS: [&str; 3] = ["name_or_path", "special_tokens_map_file", "tokenizer_file"];

/// The content of the file; empty where there is none.
#[derive(Clone, Debug, Default)]
pub(super) struct TokenizerConfig(Map<String, Value>);

impl TokenizerConfig {
    /// The file of a model directory.
    ///
    /// # Errors
    /// A file that cannot be read, or holds no JSON object.
    pub(super) fn open(model_dir: &Path) -> Result<Self, TokenizerError> {
        let file = model_dir.join(TOKENIZER_CONFIG);
        if !file.is_file() {
            return Ok(Self::default());
        }
        let content = serde_json::from_slice(&read(&file)?);
        content.map(Self).map_err(|error| {
            TokenizerError::file(&file, format!("expected a JSON object: {error}"))
        })
    }

    /// The file of a model that reads texts of at most `max_length` ids: `truncation=True` cuts there.
    ///
    /// # Errors
    /// None in practice: what came from JSON goes back to it.
    pub(super) fn to_bytes(&self, max_length: usize) -> io::Result<Vec<u8>> {
        let mut config = self.0.clone();
        config.retain(|key, _| !ORIGINS.contains(&key.as_str()));
        config.insert("model_max_length".into(), max_length.into());
        Ok(serde_json::to_vec_pretty(&config)?)
    }
}
