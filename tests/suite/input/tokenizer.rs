//! Tokenizer files: what is taken gives every text ids that the tokenizer owns up to.

use std::fs;
use std::path::Path;

use metabert::data::TextTokenizer;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::mutation::{Bytes, changed, edited, odd_value, written};
use super::{Fate, assert_tells, for_all};
use crate::support::fixtures;
use crate::support::run::{copied_model, json as json_file, json_lines, run, work_dir};

/// Parts of tokenizers that are not BERT's, by the part they replace.
fn foreign_parts() -> Vec<(&'static str, Value)> {
    let vocab =
        json!({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "a": 3, "b": 4, "ab": 5, "\u{2581}a": 6});
    let scores = json!([["<unk>", 0.0], ["a", -1.5], ["ab", -2.0], ["\u{2581}", -3.0]]);
    vec![
        ("model", json!({"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"})),
        (
            "model",
            json!({"type": "BPE", "dropout": null, "unk_token": "[UNK]", "fuse_unk": false,
                "continuing_subword_prefix": null, "end_of_word_suffix": null,
                "byte_fallback": false, "vocab": vocab, "merges": ["a b"]}),
        ),
        ("model", json!({"type": "Unigram", "unk_id": 0, "vocab": scores, "byte_fallback": false})),
        ("normalizer", Value::Null),
        ("normalizer", json!({"type": "NFC"})),
        ("normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "AAQAAAAAAAA="})),
        ("normalizer", json!({"type": "Prepend", "prepend": "\u{2581}"})),
        ("normalizer", json!({"type": "Strip", "strip_left": true, "strip_right": true})),
        (
            "normalizer",
            json!({"type": "Sequence", "normalizers": [{"type": "NFKD"}, {"type": "StripAccents"},
                {"type": "Lowercase"}, {"type": "Nmt"}]}),
        ),
        (
            "normalizer",
            json!({"type": "Replace", "pattern": {"Regex": "(a|ab|b)+c|\\s"}, "content": "x"}),
        ),
        ("normalizer", json!({"type": "Replace", "pattern": {"String": ""}, "content": "aa"})),
        ("pre_tokenizer", Value::Null),
        ("pre_tokenizer", json!({"type": "Whitespace"})),
        ("pre_tokenizer", json!({"type": "WhitespaceSplit"})),
        (
            "pre_tokenizer",
            json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
                "use_regex": true}),
        ),
        (
            "pre_tokenizer",
            json!({"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always",
                "split": true}),
        ),
        ("pre_tokenizer", json!({"type": "Punctuation", "behavior": "Isolated"})),
        ("pre_tokenizer", json!({"type": "Digits", "individual_digits": true})),
        ("pre_tokenizer", json!({"type": "UnicodeScripts"})),
        (
            "pre_tokenizer",
            json!({"type": "Split", "pattern": {"Regex": "\\w*|."}, "behavior": "MergedWithNext",
                "invert": false}),
        ),
        (
            "pre_tokenizer",
            json!({"type": "Sequence", "pretokenizers": [{"type": "FixedLength", "length": 3},
                {"type": "CharDelimiterSplit", "delimiter": "a"}]}),
        ),
        ("post_processor", Value::Null),
        (
            "post_processor",
            json!({"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}),
        ),
        (
            "post_processor",
            json!({"type": "RobertaProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2],
                "trim_offsets": true, "add_prefix_space": false}),
        ),
        (
            "truncation",
            json!({"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 9}),
        ),
        (
            "padding",
            json!({"strategy": {"Fixed": 1_000_000_000_000_u64}, "direction": "Left",
                "pad_to_multiple_of": 7, "pad_id": 99, "pad_type_id": 0, "pad_token": "none"}),
        ),
        ("decoder", json!({"type": "Sequence", "decoders": [{"type": "Fuse"}]})),
    ]
}

/// Tokenizers with parts of BERT's and of others, with values spoiled.
fn documents() -> impl Strategy<Value = Value> {
    let foreign = vec(select(foreign_parts()), 0..3);
    let whole = foreign.prop_map(|parts| {
        let mut document = fixtures::json("bert/plain/tokenizer.json");
        for (name, part) in parts {
            document[name] = part;
        }
        document
    });
    changed(whole, 3)
}

/// Texts as they come, and made of what tokenizers look at.
fn texts() -> impl Strategy<Value = Vec<String>> {
    let text = prop_oneof![
        any::<String>(),
        "[ab \u{e9}\u{301}\u{4e2d}\u{2581}.'\\[\\]SEPCLS\\n\\t\u{0}]{0,40}",
        (1..1_000_usize).prop_map(|count| "ab".repeat(count)),
        (1..300_usize).prop_map(|count| "unread good ".repeat(count)),
    ];
    vec(text, 0..4)
}

/// Opens the tokenizer of a directory and encodes texts with it.
fn open_and_encode(dir: &Path, texts: &[String], max_length: usize) -> Fate {
    let about = dir.to_str().unwrap();
    let tokenizer = match TextTokenizer::open(dir) {
        Ok(tokenizer) => tokenizer,
        Err(error) => return assert_tells(error, about),
    };
    let encodings = match tokenizer.encode_batch(texts, max_length) {
        Ok(encodings) => encodings,
        Err(error) => return assert_tells(error, about),
    };
    assert_eq!(encodings.len(), texts.len());
    for encoding in &encodings {
        let ids = &encoding.ids;
        assert!((2..=max_length).contains(&ids.len()), "{encoding:?}");
        assert!(encoding.full_length >= ids.len(), "{encoding:?}");
        assert!(ids.iter().all(|&id| id <= tokenizer.max_id()), "{encoding:?}");
        let frame = |ids: &[u32]| (ids[0], ids[ids.len() - 1]);
        assert_eq!(frame(ids), frame(&encodings[0].ids), "{encoding:?}");
    }
    let copy = tempfile::tempdir().unwrap();
    tokenizer.save_into(copy.path(), 64).unwrap();
    let again = TextTokenizer::open(copy.path()).unwrap();
    assert_eq!(again.max_id(), tokenizer.max_id());
    // With dropout of merges, no two encodings are the same.
    let again = again.encode_batch(texts, max_length).unwrap();
    let has_dropout = fs::read_to_string(dir.join("tokenizer.json"))
        .is_ok_and(|json| json.contains("\"dropout\""));
    assert!(has_dropout || again == encodings, "{again:?}\n{encodings:?}");
    Fate::Taken
}

#[test]
fn tokenizers_are_taken_whole_or_refused() {
    let files =
        (documents(), any::<bool>()).prop_map(|(json, is_pretty)| written(&json, is_pretty));
    let dir = work_dir();
    let path = dir.path();
    for_all((edited(files, 2), texts(), 3..40_usize), |(Bytes(bytes), texts, max_length)| {
        fs::write(path.join("tokenizer.json"), bytes).unwrap();
        open_and_encode(path, &texts, max_length)
    });
}

#[test]
fn vocabularies_are_taken_whole_or_refused() {
    let whole = fs::read(fixtures::path("bert/plain/vocab.txt")).unwrap();
    let config = changed(Just(fixtures::json("bert/plain/tokenizer_config.json")), 2);
    let option = ("do_lower_case|strip_accents|tokenize_chinese_chars", odd_value());
    let configs = (config, vec(option, 0..3)).prop_map(|(mut config, options)| {
        if let Some(fields) = config.as_object_mut() {
            fields.extend(options);
        }
        written(&config, false)
    });
    let configs = edited(configs, 1);
    let dir = work_dir();
    let path = dir.path();
    let inputs = (edited(Just(whole), 4), configs, texts());
    for_all(inputs, |(Bytes(vocab), Bytes(config), texts)| {
        fs::write(path.join("vocab.txt"), vocab).unwrap();
        fs::write(path.join("tokenizer_config.json"), config).unwrap();
        open_and_encode(path, &texts, 20)
    });
}

/// A vocabulary may hold a line twice; the tokenizers crate says so on stdout, where results go.
#[test]
fn a_line_that_stands_twice_in_a_vocabulary_changes_no_result() {
    let dir = work_dir();
    let model = copied_model(dir.path(), "model");
    fs::remove_file(model.join("tokenizer.json")).unwrap();
    let vocab = fs::read_to_string(model.join("vocab.txt")).unwrap();
    let mut lines: Vec<&str> = vocab.lines().collect();
    let last = lines.len() - 1;
    lines[last - 1] = lines[last];
    fs::write(model.join("vocab.txt"), lines.join("\n")).unwrap();
    fs::write(dir.path().join("texts"), "good\nbad\n").unwrap();
    let arguments = "predict --checkpoint model --input texts --device cpu --threads 1";
    let predicted = json_lines(&run(dir.path(), arguments).success());
    assert_eq!(predicted.len(), 2, "{predicted:?}");
    let written = work_dir();
    TextTokenizer::open(&model).unwrap().save_into(written.path(), 64).unwrap();
    let vocab = &json_file(&written.path().join("tokenizer.json"))["model"]["vocab"];
    assert_eq!(vocab.as_object().unwrap().len(), last);
    assert_eq!(vocab[lines[last]], last);
}
