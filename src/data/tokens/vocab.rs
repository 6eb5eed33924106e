//! Builds the BERT wordpiece tokenizer of a directory that has `vocab.txt` and no `tokenizer.json`.
//!
//! The result equals Hugging Face's `BertTokenizerFast` on the same files.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use tokenizers::decoders::wordpiece::WordPiece as WordPieceDecoder;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, Model, Tokenizer};

use super::error::{TokenizerError, read};
use super::tokenizer_config::TOKENIZER_CONFIG;

pub(super) const VOCAB_TXT: &str = "vocab.txt";
const UNKNOWN: &str = "[UNK]";

/// The settings of `tokenizer_config.json` that change the tokens.
#[derive(Deserialize)]
#[serde(default)]
pub(super) struct VocabOptions {
    do_lower_case: bool,
    tokenize_chinese_chars: bool,
    strip_accents: Option<bool>,
}

impl Default for VocabOptions {
    fn default() -> Self {
        Self { do_lower_case: true, tokenize_chinese_chars: true, strip_accents: None }
    }
}

/// The tokenizer of a directory with `vocab.txt`, and perhaps `tokenizer_config.json`.
///
/// # Errors
/// A file that cannot be read, or does not hold what it should.
pub(super) fn from_vocab(model_dir: &Path) -> Result<Tokenizer, TokenizerError> {
    let [vocab, config] = [VOCAB_TXT, TOKENIZER_CONFIG].map(|name| model_dir.join(name));
    let options = if config.is_file() {
        serde_json::from_slice(&read(&config)?)
            .map_err(|error| TokenizerError::file(&config, error))?
    } else {
        VocabOptions::default()
    };
    let content = String::from_utf8(read(&vocab)?).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        TokenizerError::file(&vocab, format!("invalid UTF-8 at byte offset {at}"))
    })?;
    wordpiece_tokenizer(&content, &options).map_err(|reason| TokenizerError::file(&vocab, reason))
}

/// Builds the tokenizer from the content of `vocab.txt`: a wordpiece a line, the line number is its id.
///
/// # Errors
/// The reason, in words.
pub(super) fn wordpiece_tokenizer(
    vocab: &str,
    options: &VocabOptions,
) -> Result<Tokenizer, String> {
    // WordPiece::from_file trims every line, which merges pieces that differ in white space only.
    let mut ids = HashMap::new();
    for (id, line) in (0..).zip(vocab.strip_suffix('\n').unwrap_or(vocab).split('\n')) {
        ids.insert(line.strip_suffix('\r').unwrap_or(line).to_owned(), id);
    }
    for required in ["[PAD]", UNKNOWN, "[CLS]", "[SEP]"] {
        if !ids.contains_key(required) {
            return Err(format!("expected a line {required}, found none in {} lines", ids.len()));
        }
    }
    let (cls, sep) = (ids["[CLS]"], ids["[SEP]"]);
    let model = wordpiece(ids).map_err(|error| error.to_string())?;
    // Only tokens of the vocabulary: another one would get an id outside the embedding table.
    let special = ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"];
    let special: Vec<AddedToken> = special
        .into_iter()
        .filter(|token| model.token_to_id(token).is_some())
        .map(|token| AddedToken::from(token, true))
        .collect();
    let template = TemplateProcessing::builder()
        .try_single("[CLS]:0 $A:0 [SEP]:0")?
        .try_pair("[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1")?
        .special_tokens(vec![("[CLS]", cls), ("[SEP]", sep)])
        .build()
        .map_err(|error| error.to_string())?;

    let mut tokenizer = Tokenizer::new(model);
    tokenizer
        .with_normalizer(Some(BertNormalizer::new(
            true,
            options.tokenize_chinese_chars,
            options.strip_accents,
            options.do_lower_case,
        )))
        .with_pre_tokenizer(Some(BertPreTokenizer))
        .with_post_processor(Some(template))
        .with_decoder(Some(WordPieceDecoder::default()));
    tokenizer.add_special_tokens(&special);
    Ok(tokenizer)
}

fn wordpiece(ids: impl IntoIterator<Item = (String, u32)>) -> tokenizers::Result<WordPiece> {
    // The empty vocabulary is the one public way to a map of the type that the builder takes.
    let mut vocab = WordPiece::read_bytes(b"")?;
    vocab.extend(ids);
    WordPiece::builder()
        .vocab(vocab)
        .unk_token(UNKNOWN.to_owned())
        .max_input_chars_per_word(100)
        .build()
}

/// A tokenizer of [`wordpiece_tokenizer`] as `tokenizer.json` holds it.
///
/// A line that occurs twice in `vocab.txt` leaves an id without a wordpiece. Where there is one, the tokenizers crate prints
/// a warning, on stdout, among the results: it is given consecutive ids to write, which are then replaced by the right ones.
///
/// # Errors
/// The reason, in words.
pub(super) fn to_json(tokenizer: &Tokenizer) -> Result<String, String> {
    let reason = |error: serde_json::Error| error.to_string();
    let mut ids: Vec<(String, u32)> = tokenizer.get_vocab(false).into_iter().collect();
    ids.sort_unstable_by_key(|(_, id)| *id);
    let consecutive = (0..).zip(&ids).map(|(position, (piece, _))| (piece.clone(), position));
    let mut written = tokenizer.clone();
    written.with_model(wordpiece(consecutive).map_err(|error| error.to_string())?);
    let mut json = serde_json::to_value(&written).map_err(reason)?;
    let ids = ids.into_iter().map(|(piece, id)| (piece, Value::from(id)));
    json["model"]["vocab"] = Value::Object(ids.collect());
    serde_json::to_string_pretty(&json).map_err(reason)
}
