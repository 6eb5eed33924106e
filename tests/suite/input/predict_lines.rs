//! What `predict` is given: every line or row becomes one text, or the whole is refused by the line's number.

use std::io::Cursor;

use metabert::data::unlabelled::{Source, TextForm};
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
fn read(bytes: &[u8], form: TextForm) -> anyhow::Result<Vec<String>> {
    let reader = Box::new(Cursor::new(bytes.to_vec()));
    let mut source = Source::new("lines", reader, form, "text");
    let mut texts = Vec::new();
    loop {
        let window = source.window()?.texts;
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
    for_all(edited(lines(), 3), |Bytes(bytes)| match read(&bytes, TextForm::Lines) {
        Err(error) => assert_tells(error, "lines: line "),
        Ok(texts) => {
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

/// Tables, good ones and others.
fn tables() -> impl Strategy<Value = Vec<u8>> {
    let cell = prop_oneof![
        4 => "[a-z .!]{1,12}",
        2 => "[a-z,\"\r\n]{0,12}".prop_map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))),
        1 => any::<String>(),
    ];
    let row = vec(cell, 1..4).prop_map(|cells| cells.join(","));
    let header =
        select(&["text", "id,text", "text,text", "\u{feff}text,id", "\"text\",b", "a"][..]);
    let ending = select(&["\n", "\r\n", "\r", "\n\n", ""][..]);
    (header, vec(row, 0..6), ending).prop_map(|(header, rows, last)| {
        format!("{header}\n{}{last}", rows.join("\n")).into_bytes()
    })
}

/// The same texts by the parser alone, where rows have as many cells as the header.
fn texts_of_column(bytes: &[u8]) -> Vec<String> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let mut reader = csv::Reader::from_reader(bytes);
    let column = reader.headers().unwrap().iter().position(|name| name.trim() == "text").unwrap();
    reader.records().map(|row| row.unwrap()[column].to_owned()).collect()
}

#[test]
fn rows_are_taken_whole_or_refused() {
    let form = TextForm::Table { delimiter: b',' };
    for_all(edited(tables(), 3), |Bytes(bytes)| match read(&bytes, form) {
        Err(error) => assert_tells(error, "lines: line "),
        Ok(texts) => {
            assert_eq!(texts, texts_of_column(&bytes));
            Fate::Taken
        }
    });
}
