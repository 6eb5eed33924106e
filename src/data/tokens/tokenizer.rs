//! Turns texts into BERT's wordpiece ids, truncated so that `[SEP]` stays.
//!
//! Knows no label and no batch: padding is the business of batches.

use std::path::{Path, PathBuf};
use std::{fs, io};

use rayon::prelude::*;
use tokenizers::Tokenizer;

use super::error::{MIN_LENGTH, TokenizerError, read};
use super::tokenizer_config::{TOKENIZER_CONFIG, TokenizerConfig};
use super::vocab::{VOCAB_TXT, from_vocab, to_json};
use super::words::{WordCache, check_longest_word, is_word_local};
use crate::data::foreign;
use crate::data::intake::problem::quote;

const TOKENIZER_JSON: &str = "tokenizer.json";

/// The wordpiece ids of one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// `[CLS]`, the wordpieces that fit, `[SEP]`.
    pub ids: Vec<u32>,
    /// How many ids there were before truncation, special ones included.
    pub full_length: usize,
}

/// The tokenizer of a model directory.
#[derive(Clone)]
pub struct TextTokenizer {
    tokenizer: Tokenizer,
    /// What it was read from.
    file: PathBuf,
    /// Names and bytes of the tokenizer's files: a checkpoint hours from now must not depend on their being there
    /// still.
    files: Vec<(String, Vec<u8>)>,
    config: TokenizerConfig,
    max_id: u32,
    is_word_local: bool,
    cls_id: u32,
    sep_id: u32,
}

// The vocabulary would fill the screen.
impl std::fmt::Debug for TextTokenizer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.files.iter().map(|(name, _)| name.as_str()).collect();
        formatter.debug_struct("TextTokenizer").field("files", &names).finish_non_exhaustive()
    }
}

impl TextTokenizer {
    /// Opens `tokenizer.json`, or builds the tokenizer from `vocab.txt` (and `tokenizer_config.json`).
    ///
    /// Padding and truncation configured in the file are switched off: both are metabert's own.
    ///
    /// # Errors
    /// Neither file is there, one is malformed, or the tokenizer does not put `[CLS]` before and `[SEP]` after a
    /// text.
    pub fn open(model_dir: impl AsRef<Path>) -> Result<Self, TokenizerError> {
        let model_dir = model_dir.as_ref();
        let [json, vocab] = [TOKENIZER_JSON, VOCAB_TXT].map(|name| model_dir.join(name));
        let (mut tokenizer, file) = if json.is_file() {
            let bytes = read(&json)?;
            let tokenizer = foreign::call("tokenizers", || Tokenizer::from_bytes(bytes));
            (tokenizer.map_err(|reason| TokenizerError::file(&json, reason))?, &json)
        } else if vocab.is_file() {
            (from_vocab(model_dir)?, &vocab)
        } else {
            return Err(TokenizerError::Missing(model_dir.to_owned()));
        };
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| TokenizerError::file(file, error))?;

        check_longest_word(&tokenizer).map_err(|reason| TokenizerError::file(file, reason))?;
        let (cls_id, sep_id) = frame_of(&tokenizer, file)?;
        let config = TokenizerConfig::open(model_dir)?.in_agreement_with(&tokenizer);
        let names = [TOKENIZER_JSON, VOCAB_TXT, "special_tokens_map.json"];
        let mut files = Vec::new();
        for name in names {
            let path = model_dir.join(name);
            if path.is_file() {
                files.push((name.to_owned(), read(&path)?));
            }
        }
        if file == &vocab {
            let json = to_json(&tokenizer).map_err(|error| TokenizerError::file(file, error))?;
            files.push((TOKENIZER_JSON.to_owned(), json.into_bytes()));
        }
        // The file states the ids of [CLS] and [SEP] a second time, apart from the vocabulary.
        let ids = tokenizer.get_vocab(true).into_values().chain([cls_id, sep_id]);
        let max_id = ids.max().expect("there are the two ids of the frame");
        let is_word_local = is_word_local(&tokenizer);
        let file = file.to_owned();
        Ok(Self { is_word_local, tokenizer, file, files, config, max_id, cls_id, sep_id })
    }

    /// Encodes every text with `[CLS]` and `[SEP]`, on all threads, in the order given.
    ///
    /// A text of more than `max_length` ids keeps `[CLS]`, its first `max_length - 2` wordpieces and `[SEP]`.
    ///
    /// # Errors
    /// `max_length` is below [`MIN_LENGTH`], or the tokenizer refuses a text.
    pub fn encode_batch<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        max_length: usize,
    ) -> Result<Vec<Encoding>, TokenizerError> {
        if max_length < MIN_LENGTH {
            return Err(TokenizerError::MaxLength(max_length));
        }
        // Text by text rather than by the crate's own batch call, which keeps every token's string until the last
        // text is done. One piece of the batch a thread: each has to meet the common words once.
        let piece = texts.len().div_ceil(rayon::current_num_threads()).max(1);
        let encoded: Result<Vec<Vec<Encoding>>, TokenizerError> = texts
            .par_chunks(piece)
            .map(|texts| {
                let mut words = WordCache::new(&self.tokenizer);
                texts
                    .iter()
                    .map(|text| self.encode(text.as_ref(), max_length, &mut words))
                    .collect()
            })
            .collect();
        Ok(encoded?.into_iter().flatten().collect())
    }

    /// Writes the tokenizer's files into `directory`, `tokenizer.json` also where only `vocab.txt` was there. With them other
    /// programs can cut texts to `max_length` ids.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn save_into(&self, directory: &Path, max_length: usize) -> io::Result<()> {
        let write = |name: &str, bytes: &[u8]| fs::write(directory.join(name), bytes);
        self.files.iter().try_for_each(|(name, bytes)| write(name, bytes))?;
        write(TOKENIZER_CONFIG, &self.config.to_bytes(max_length)?)
    }

    /// The largest id of any wordpiece.
    pub fn max_id(&self) -> u32 {
        self.max_id
    }

    /// The number of wordpieces, special and added ones included.
    pub fn vocab_size(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    fn encode(
        &self,
        text: &str,
        max_length: usize,
        words: &mut WordCache<'_>,
    ) -> Result<Encoding, TokenizerError> {
        let refused = |reason| {
            let (file, text) = (self.file.clone(), quote(text));
            TokenizerError::Encode { file, text, reason }
        };
        let mut ids = vec![self.cls_id];
        if self.is_word_local {
            words.encode(text, &mut ids).map_err(refused)?;
        } else {
            let encoding = foreign::call("tokenizers", || self.tokenizer.encode_fast(text, false));
            ids.extend_from_slice(encoding.map_err(refused)?.get_ids());
        }
        let full_length = ids.len() + 1;
        ids.truncate(max_length - 1);
        ids.push(self.sep_id);
        ids.shrink_to_fit();
        Ok(Encoding { ids, full_length })
    }
}

/// The ids that the tokenizer puts before and after a text.
fn frame_of(tokenizer: &Tokenizer, file: &Path) -> Result<(u32, u32), TokenizerError> {
    let frame = foreign::call("tokenizers", || tokenizer.encode_fast("", true));
    let frame = frame.map_err(|reason| TokenizerError::file(file, reason))?;
    match frame.get_ids() {
        &[cls_id, sep_id] => Ok((cls_id, sep_id)),
        ids => {
            let reason = format!(
                "expected a BERT tokenizer that adds [CLS] and [SEP] to a text, found {} added tokens",
                ids.len()
            );
            Err(TokenizerError::file(file, reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOCAB: &str = "[PAD] [UNK] [CLS] [SEP] [MASK] the un ##aff ##able caf ##e cafe Caf ##\u{e9} , . ! ' s \
                         \u{4e2d} \u{6587} good ##ness great";

    fn model_dir(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(directory.path().join(name), content).unwrap();
        }
        directory
    }

    fn vocab_dir(config: Option<&str>) -> tempfile::TempDir {
        let vocab = VOCAB.split(' ').collect::<Vec<_>>().join("\n") + "\n";
        let mut files = vec![("vocab.txt", vocab.as_str())];
        files.extend(config.map(|config| ("tokenizer_config.json", config)));
        model_dir(&files)
    }

    fn ids(directory: &Path, texts: &[impl AsRef<str> + Sync], max_length: usize) -> Vec<Vec<u32>> {
        let tokenizer = TextTokenizer::open(directory).unwrap();
        let encodings = tokenizer.encode_batch(texts, max_length).unwrap();
        encodings.into_iter().map(|encoding| encoding.ids).collect()
    }

    // transformers 4.57.6: BertTokenizerFast.from_pretrained(directory)(text)["input_ids"], with VOCAB a piece a line
    // in vocab.txt and the given tokenizer_config.json.
    #[test]
    fn a_vocabulary_gives_the_ids_of_hugging_face() {
        let long_word = format!("xyz {} the", "a".repeat(101));
        let many = "the".repeat(40);
        let texts = [
            "The unaffable caf\u{e9}, GOOD goodness!",
            "Caf\u{e9} caf\u{e9} cafe\u{301}",
            "\u{4e2d}\u{6587}good's\u{0}\u{fffd}\u{a0}the\u{200b} great",
            "[SEP] the [MASK] [mask]",
            "",
            &long_word,
            &many,
        ];
        let common: [&[u32]; 4] =
            [&[2, 3, 5, 4, 1, 1, 1, 3], &[2, 3], &[2, 1, 1, 5, 3], &[2, 1, 3]];
        let cases: [(Option<&str>, [&[u32]; 3]); 3] = [
            (
                None,
                [
                    &[2, 5, 6, 7, 8, 11, 14, 21, 21, 22, 16, 3],
                    &[2, 11, 11, 11, 3],
                    &[2, 19, 20, 21, 17, 18, 5, 23, 3],
                ],
            ),
            (
                Some(r#"{"do_lower_case": false, "unk_token": "[UNK]"}"#),
                [
                    &[2, 1, 6, 7, 8, 9, 13, 14, 1, 21, 22, 16, 3],
                    &[2, 12, 13, 9, 13, 1, 3],
                    &[2, 19, 20, 21, 17, 18, 5, 23, 3],
                ],
            ),
            (
                Some(
                    r#"{"do_lower_case": true, "strip_accents": false, "tokenize_chinese_chars": false}"#,
                ),
                [
                    &[2, 5, 6, 7, 8, 9, 13, 14, 21, 21, 22, 16, 3],
                    &[2, 9, 13, 9, 13, 1, 3],
                    &[2, 1, 17, 18, 5, 23, 3],
                ],
            ),
        ];
        for (config, own) in cases {
            let directory = vocab_dir(config);
            let expected: Vec<&[u32]> = own.into_iter().chain(common).collect();
            assert_eq!(ids(directory.path(), &texts, 256), expected, "{config:?}");
        }
    }

    #[test]
    fn a_vocabulary_of_windows_lines_is_the_same() {
        let vocab = VOCAB.split(' ').collect::<Vec<_>>().join("\r\n");
        let directory = model_dir(&[("vocab.txt", &vocab)]);
        let tokenizer = TextTokenizer::open(directory.path()).unwrap();
        assert_eq!(tokenizer.vocab_size(), 24);
        assert_eq!(tokenizer.max_id(), 23);
        assert_eq!(ids(directory.path(), &["good great"], 9), [[2, 21, 23, 3]]);
    }

    #[test]
    fn a_long_text_keeps_its_closing_sep() {
        let directory = vocab_dir(None);
        let texts = ["the un good great", "the un", "the"];
        assert_eq!(
            ids(directory.path(), &texts, 4),
            [vec![2, 5, 6, 3], vec![2, 5, 6, 3], vec![2, 5, 3]]
        );
        let tokenizer = TextTokenizer::open(directory.path()).unwrap();
        let encodings = tokenizer.encode_batch(&texts, 3).unwrap();
        let lengths: Vec<usize> = encodings.iter().map(|encoding| encoding.full_length).collect();
        assert_eq!(lengths, [6, 4, 3]);
        assert!(matches!(tokenizer.encode_batch(&texts, 2), Err(TokenizerError::MaxLength(2))));
    }

    #[test]
    fn a_saved_tokenizer_json_gives_the_same_ids() {
        let directory = vocab_dir(Some(r#"{"do_lower_case": false}"#));
        let saved = tempfile::tempdir().unwrap();
        let tokenizer = TextTokenizer::open(directory.path()).unwrap();
        tokenizer.save_into(saved.path(), 8).unwrap();
        let names = |directory: &Path| {
            let entries = fs::read_dir(directory).unwrap();
            let mut names: Vec<String> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert_eq!(names(saved.path()), ["tokenizer.json", "tokenizer_config.json", "vocab.txt"]);

        fs::remove_file(saved.path().join("vocab.txt")).unwrap();
        let texts = ["Caf\u{e9} [SEP] good's \u{4e2d}\u{6587}", "the great unaffable ..."];
        assert_eq!(ids(saved.path(), &texts, 8), ids(directory.path(), &texts, 8));
    }

    #[test]
    fn padding_and_truncation_of_the_file_are_switched_off() {
        let directory = vocab_dir(None);
        let tokenizer = TextTokenizer::open(directory.path()).unwrap();
        tokenizer.save_into(directory.path(), 8).unwrap();
        let vocab = fs::read_to_string(directory.path().join("vocab.txt")).unwrap();
        assert!(vocab.starts_with("[PAD]\n"), "saving a tokenizer where it came from destroys it");
        let path = directory.path().join("tokenizer.json");
        let mut json: serde_json::Value =
            serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        json["truncation"] = serde_json::json!({
            "direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0
        });
        json["padding"] = serde_json::json!({
            "strategy": {"Fixed": 4}, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"
        });
        fs::write(&path, json.to_string()).unwrap();
        let texts = ["the un good great", "the"];
        assert_eq!(ids(directory.path(), &texts, 9), [vec![2, 5, 6, 21, 23, 3], vec![2, 5, 3]]);
    }

    /// The tokenizer of [`VOCAB`] as `tokenizer.json`, with one part replaced.
    fn changed_json(part: &str, value: serde_json::Value) -> tempfile::TempDir {
        let directory = vocab_dir(None);
        TextTokenizer::open(directory.path()).unwrap().save_into(directory.path(), 8).unwrap();
        let path = directory.path().join("tokenizer.json");
        let mut json: serde_json::Value =
            serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        *json.pointer_mut(part).unwrap() = value;
        fs::write(path, json.to_string()).unwrap();
        directory
    }

    #[test]
    fn where_the_tokenizers_crate_panics_the_file_is_refused() {
        let charsmap = serde_json::json!({"type": "Precompiled", "precompiled_charsmap": "AAQAAA"});
        let directory = changed_json("/normalizer", charsmap);
        let error = TextTokenizer::open(directory.path()).unwrap_err().to_string();
        assert!(error.contains("tokenizer.json: the tokenizers crate gave up: "), "{error}");

        // Backtracks without end, as far as Oniguruma lets it.
        let split = serde_json::json!({"type": "Split", "pattern": {"Regex": "(a|ab|b)*bc"},
            "behavior": "Isolated", "invert": false});
        let directory = changed_json("/pre_tokenizer", split);
        let tokenizer = TextTokenizer::open(directory.path()).unwrap();
        let text = format!("{}xbc", "abb".repeat(100));
        let error = tokenizer.encode_batch(&[text], 9).unwrap_err().to_string();
        assert!(error.contains("tokenizer.json: the tokenizer refused the text \"abb"), "{error}");
    }

    #[test]
    fn the_ids_of_the_frame_count_among_all_ids() {
        let cls = serde_json::json!({"id": "[CLS]", "ids": [700], "tokens": ["[CLS]"]});
        let directory = changed_json("/post_processor/special_tokens/[CLS]", cls);
        assert_eq!(TextTokenizer::open(directory.path()).unwrap().max_id(), 700);
        assert_eq!(ids(directory.path(), &["good"], 9), [[700, 21, 3]]);
    }

    #[test]
    fn what_is_no_bert_tokenizer_is_refused_with_its_file() {
        let reason = |files: &[(&str, &str)]| {
            let directory = model_dir(files);
            TextTokenizer::open(directory.path()).unwrap_err().to_string()
        };
        let text = reason(&[]);
        assert!(text.contains(": expected tokenizer.json or vocab.txt, found neither"), "{text}");
        let text = reason(&[("tokenizer.json", "{\"model\": 3")]);
        assert!(text.contains("tokenizer.json: "), "{text}");
        let text = reason(&[("vocab.txt", "[PAD]\n[UNK]\n[CLS]\nthe\n")]);
        assert!(
            text.ends_with("vocab.txt: expected a line [SEP], found none in 4 lines"),
            "{text}"
        );
        let text = reason(&[("vocab.txt", "[PAD]\n"), ("tokenizer_config.json", "[")]);
        assert!(text.contains("tokenizer_config.json: "), "{text}");
        let model = r#"{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"\#\#",
            "max_input_chars_per_word":100,"vocab":{"[PAD]":0,"[UNK]":1}}"#;
        let text = reason(&[(
            "tokenizer.json",
            &format!("{{\"version\":\"1.0\",\"model\":{}}}", model.replace("\\#", "#")),
        )]);
        assert!(text.contains("found 0 added tokens"), "{text}");
    }
}
