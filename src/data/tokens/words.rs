//! Encodes texts word by word and remembers the words: the ids of whole texts in a fraction of the time.
//!
//! Holds only for tokenizers that never look across a space; [`is_word_local`] finds out.

use std::collections::HashMap;

use tokenizers::{ModelWrapper, NormalizerWrapper, PreTokenizerWrapper, Tokenizer};

use crate::data::foreign;

/// Longer words hardly occur twice.
const MAX_WORD_BYTES: usize = 32;
/// Bounds the memory of a thread to some ten megabytes, whatever the texts hold.
const MAX_WORDS: usize = 100_000;
/// The longest word that is taken apart into wordpieces; a longer one is `[UNK]`.
const MAX_PIECED_CHARS: usize = 1_000;

/// Whether a text has the ids of its space-separated words, one after the other.
///
/// So it is with BERT's own normalizer and pre-tokenizer, which cut at every space and otherwise change a character
/// together with its combining marks at most, unless an added token holds a space or cares about its neighbours.
pub(super) fn is_word_local(tokenizer: &Tokenizer) -> bool {
    let is_bert = matches!(tokenizer.get_normalizer(), Some(NormalizerWrapper::BertNormalizer(_)))
        && matches!(tokenizer.get_pre_tokenizer(), Some(PreTokenizerWrapper::BertPreTokenizer(_)));
    is_bert
        && tokenizer.get_added_tokens_decoder().values().all(|token| {
            !token.content.contains(' ') && !token.lstrip && !token.rstrip && !token.single_word
        })
}

/// Refuses a tokenizer that would take words of any length apart, in time that grows with the cube of the length.
pub(super) fn check_longest_word(tokenizer: &Tokenizer) -> Result<(), String> {
    match tokenizer.get_model() {
        ModelWrapper::WordPiece(model) if model.max_input_chars_per_word > MAX_PIECED_CHARS => {
            let found = model.max_input_chars_per_word;
            Err(format!(
                "expected `max_input_chars_per_word` of at most {MAX_PIECED_CHARS}, found {found}; BERT's is 100"
            ))
        }
        _ => Ok(()),
    }
}

/// The ids of the words met so far.
pub(super) struct WordCache<'t> {
    tokenizer: &'t Tokenizer,
    ids_of: HashMap<String, Box<[u32]>>,
}

impl<'t> WordCache<'t> {
    pub(super) fn new(tokenizer: &'t Tokenizer) -> Self {
        Self { tokenizer, ids_of: HashMap::new() }
    }

    /// Appends the ids of `text`, without `[CLS]` and `[SEP]`.
    pub(super) fn encode(&mut self, text: &str, ids: &mut Vec<u32>) -> Result<(), String> {
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            if let Some(known) = self.ids_of.get(word) {
                ids.extend_from_slice(known);
                continue;
            }
            let encoding = foreign::call("tokenizers", || self.tokenizer.encode_fast(word, false))?;
            ids.extend_from_slice(encoding.get_ids());
            if word.len() <= MAX_WORD_BYTES && self.ids_of.len() < MAX_WORDS {
                self.ids_of.insert(word.to_owned(), encoding.get_ids().into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokenizers::AddedToken;

    use super::super::vocab::{VocabOptions, wordpiece_tokenizer};
    use super::*;
    use crate::seed;

    fn tokenizer(options: &str) -> Tokenizer {
        let vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n##a\n##b\n.\n'\n[\n]\n\
                     se\n##p\n\u{e9}\ne\n\u{4e2d}\n\u{301}\n##\u{301}\n\u{3c3}";
        let options: VocabOptions = serde_json::from_str(options).unwrap();
        wordpiece_tokenizer(vocab, &options).unwrap()
    }

    #[test]
    fn words_one_after_the_other_have_the_ids_of_the_text() {
        let parts = [
            "a",
            "b",
            "A",
            " ",
            " ",
            "  ",
            "\n",
            "\t",
            "\u{a0}",
            "\u{3000}",
            "\u{200b}",
            "\0",
            ".",
            "'",
            "[SEP]",
            "[sep]",
            "[",
            "]",
            "\u{e9}",
            "e\u{301}",
            "\u{301}",
            "\u{4e2d}",
            "\u{3a3}",
            "\u{130}",
            "\u{fffd}",
            "\u{1f600}",
            "\u{327}\u{301}",
            "\u{301}\u{327}",
        ];
        for options in [
            "{}",
            r#"{"do_lower_case": false}"#,
            r#"{"strip_accents": false, "tokenize_chinese_chars": false}"#,
        ] {
            let tokenizer = tokenizer(options);
            assert!(is_word_local(&tokenizer));
            let mut words = WordCache::new(&tokenizer);
            let mut rng = seed::rng(1, "texts", 0);
            for _ in 0..2000 {
                let text: String =
                    (0..12).map(|_| parts[seed::below(&mut rng, parts.len())]).collect();
                let mut ids = Vec::new();
                words.encode(&text, &mut ids).unwrap();
                assert_eq!(
                    ids,
                    tokenizer.encode_fast(text.as_str(), false).unwrap().get_ids(),
                    "{text:?}"
                );
            }
        }
    }

    #[test]
    fn words_of_any_length_are_not_taken_apart() {
        let mut tokenizer = tokenizer("{}");
        assert_eq!(check_longest_word(&tokenizer), Ok(()));
        let ModelWrapper::WordPiece(mut model) = tokenizer.get_model().clone() else { panic!() };
        model.max_input_chars_per_word = 1_001;
        tokenizer.with_model(model);
        let reason = check_longest_word(&tokenizer).unwrap_err();
        let expected =
            "expected `max_input_chars_per_word` of at most 1000, found 1001; BERT's is 100";
        assert_eq!(reason, expected);
    }

    #[test]
    fn a_tokenizer_that_looks_across_spaces_is_recognised() {
        for token in [AddedToken::from("a b", false), AddedToken::from("ab", false).lstrip(true)] {
            let mut tokenizer = tokenizer("{}");
            tokenizer.add_tokens(&[token]);
            assert!(!is_word_local(&tokenizer));
        }
        let mut tokenizer = tokenizer("{}");
        tokenizer.with_pre_tokenizer(None::<PreTokenizerWrapper>);
        assert!(!is_word_local(&tokenizer));
    }
}
