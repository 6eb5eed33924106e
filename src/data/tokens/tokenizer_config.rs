//! `tokenizer_config.json`, which `transformers` reads beside the tokenizer.

use std::io;
use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::Tokenizer;

use super::error::{TokenizerError, read};

pub(super) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// Where the tokenizer came from, on the machine of whoever saved it.
const ORIGINS: [&str; 3] = ["name_or_path", "special_tokens_map_file", "tokenizer_file"];

/// Settings of BERT's normaliser, by their names here and in `tokenizer.json`.
const NORMALISER: [(&str, &str); 3] = [
    ("do_lower_case", "lowercase"),
    ("strip_accents", "strip_accents"),
    ("tokenize_chinese_chars", "handle_chinese_chars"),
];

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

    /// The same with the normaliser of `tokenizer`: where this file says otherwise, or nothing, `transformers` changes that of
    /// `tokenizer.json`.
    pub(super) fn in_agreement_with(mut self, tokenizer: &Tokenizer) -> Self {
        let normaliser = serde_json::to_value(tokenizer.get_normalizer()).unwrap_or_default();
        if normaliser["type"] == "BertNormalizer" {
            for (name, theirs) in NORMALISER {
                self.0.insert(name.into(), normaliser[theirs].clone());
            }
        }
        self
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

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::super::TextTokenizer;
    use super::*;

    // BertTokenizerFast.from_pretrained sets the normaliser to what this file says, and to lower case where it says nothing.
    #[test]
    fn what_is_saved_agrees_with_the_tokenizer_and_says_where_to_cut() {
        let directory = tempfile::tempdir().unwrap();
        let dir = directory.path();
        let file = dir.join(TOKENIZER_CONFIG);
        fs::write(dir.join("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\ngood\n").unwrap();
        fs::write(&file, r#"{"do_lower_case": false}"#).unwrap();
        let save = || TextTokenizer::open(dir).unwrap().save_into(dir, 8).unwrap();
        save();
        // From here on tokenizer.json decides.
        for content in ["{}", r#"{"do_lower_case": true, "tokenizer_file": "/home/someone"}"#] {
            fs::write(&file, content).unwrap();
            save();
            let saved: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
            let expected = json!({
                "do_lower_case": false, "strip_accents": null, "tokenize_chinese_chars": true, "model_max_length": 8
            });
            assert_eq!(saved, expected);
        }
        fs::write(&file, "[]").unwrap();
        let error = TextTokenizer::open(dir).unwrap_err().to_string();
        assert!(error.contains("tokenizer_config.json: expected a JSON object: "), "{error}");
    }
}
