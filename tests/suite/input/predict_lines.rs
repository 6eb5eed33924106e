//! What `predict` is given: every line becomes one text, or the whole is refused by the line's number.

use std::io::Cursor;

use metabert::data::unlabelled::Source;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::mutation::{Bytes, edited, odd_value};
use super::{Fate, assert_tells, for_all};

/// Lines of text and of JSONL, good ones and others.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let plain = prop_oneof![
        4 => "[a-z .,!]{1,30}",
        1 => any::<String>(),
        1 => select(&["", " ", "\t", "\u{a0}", "\0", "\r", "{", "[1]", "{}", "\"a\"", "null"][..])
            .prop_map(str::to_owned),
        1 => (0..20_000_usize).prop_map(|length| "long ".repeat(length)),
    ];
    let record = prop_oneof![
        4 => "[a-z .,!]{1,30}".prop_map(|text| json!({"text": text}).to_string()),
        1 => odd_value().prop_map(|text| json!({"id": 1, "text": text}).to_string()),
        1 => odd_value().prop_map(|other| json!({"other": other, "text": "good"}).to_string()),
        1 => Just(r#"{"text": "a", "text": "b"}"#.to_owned()),
        1 => (1..3_000_usize).prop_map(|depth| {
            format!("{{\"text\": \"good\", \"x\": {}{}}}", "[".repeat(depth), "]".repeat(depth))
        }),
    ];
    let ending = select(&["\n", "\r\n", "\r", "\n\n", ""][..]);
    let mixed = |plain_share: u32, record_share: u32| {
        let line = prop_oneof![
            plain_share => plain.clone(),
            record_share => record.clone(),
        ];
        vec(line, 0..8)
    };
    (prop_oneof![mixed(9, 1), mixed(1, 9)], ending)
        .prop_map(|(lines, last)| (lines.join("\n") + last).into_bytes())
}

/// All texts of an input.
fn read(bytes: &[u8]) -> anyhow::Result<Vec<String>> {
    let mut source = Source::new("lines", Box::new(Cursor::new(bytes.to_vec())));
    let mut texts = Vec::new();
    loop {
        let window = source.window()?;
        if window.is_empty() {
            return Ok(texts);
        }
        texts.extend(window);
    }
}

/// The texts of plain lines, told in another way.
fn plain_texts(bytes: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(bytes).unwrap();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
    lines.map(|line| line.trim_end_matches('\r').to_owned()).collect()
}

#[test]
fn lines_are_taken_whole_or_refused() {
    for_all(edited(lines(), 3), |Bytes(bytes)| match read(&bytes) {
        Err(error) => assert_tells(error, "lines: line "),
        Ok(texts) => {
            assert!(texts.iter().all(|text| !text.trim().is_empty()), "{texts:?}");
            let lines = plain_texts(&bytes);
            let is_jsonl = lines[0].trim_start().starts_with('{') && texts != lines;
            let records = lines.iter().filter(|line| !line.trim().is_empty());
            if is_jsonl {
                assert_eq!(texts.len(), records.count(), "{texts:?}");
            } else if !bytes.is_empty() {
                assert_eq!(texts, lines);
            }
            Fate::Taken
        }
    });
}
