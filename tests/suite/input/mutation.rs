//! Ways to spoil a file: byte by byte, and value by value of its JSON.

use std::fmt;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value, json};

/// The content of a file; printed as text as far as it is text.
#[derive(Clone, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "b\"{}\"", self.0.escape_ascii())
    }
}

/// One change to bytes. Places are scaled to the length there is.
#[derive(Clone, Debug)]
enum Edit {
    Flip(Index, u8),
    Set(Index, u8),
    Cut(Index),
    Remove(Index, Index),
    Repeat(Index, Index, Index),
    Insert(Index, Bytes),
    /// Another number in the place of one that stands there.
    Number(Index, &'static str),
}

/// Pieces that parsers trip over.
fn piece() -> impl Strategy<Value = Bytes> {
    let pieces: [&[u8]; 36] = [
        b"\0",
        b"\xff",
        b"\xc3",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xef\xbb\xbf",
        b"\\ud800",
        b"\\ud800\\u0041",
        b"\\udc00",
        b"\\u0000",
        b"\\x",
        b"\\",
        b"\"",
        b"\n",
        b"\r\n",
        b"\x0c\x0b",
        b"\x1b[31m",
        b" ",
        b"\xc2\xa0",
        b"\xe2\x80\xa8",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"=",
        b"null",
        b"NaN",
        b"-",
        b"1e999",
        b"\"text\":\"\",",
        b"\"data\":[],",
        b"{\"data\":",
        b"\x1f\x8b\x08",
        b"#",
    ];
    let deep = |open: &'static str| (1..400_usize).prop_map(move |depth| open.repeat(depth));
    prop_oneof![
        8 => select(pieces.to_vec()).prop_map(<[u8]>::to_vec),
        1 => deep("[").prop_map(String::into_bytes),
        1 => deep("{\"a\":").prop_map(String::into_bytes),
        1 => deep("]").prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 1..20),
        1 => any::<String>().prop_map(String::into_bytes),
    ]
    .prop_map(Bytes)
}

/// Numbers at the edges of types.
fn odd_number() -> impl Strategy<Value = &'static str> {
    select(
        &[
            "0",
            "-0",
            "-1",
            "1",
            "2",
            "3",
            "1.5",
            "-0.0",
            "1e308",
            "1e999",
            "-1e999",
            "1e-999",
            "255",
            "65536",
            "2147483648",
            "4294967295",
            "4294967296",
            "9007199254740993",
            "9223372036854775807",
            "-9223372036854775808",
            "9223372036854775808",
            "18446744073709551615",
            "18446744073709551616",
            "1152921504606846976",
            "123456789012345678901234567890",
            "00",
            "0x10",
            "nan",
            "inf",
        ][..],
    )
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<Index>;
    prop_oneof![
        2 => (at(), 0..8_u8).prop_map(|(at, bit)| Edit::Flip(at, bit)),
        1 => (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        1 => at().prop_map(Edit::Cut),
        2 => (at(), at()).prop_map(|(from, to)| Edit::Remove(from, to)),
        2 => (at(), at(), at()).prop_map(|(from, to, at)| Edit::Repeat(from, to, at)),
        4 => (at(), piece()).prop_map(|(at, piece)| Edit::Insert(at, piece)),
        3 => (at(), odd_number()).prop_map(|(at, number)| Edit::Number(at, number)),
    ]
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let place = |at: &Index| at.index(bytes.len());
        let range = |from: &Index, to: &Index| {
            let (from, to) = (place(from), place(to));
            from.min(to)..from.max(to)
        };
        match self {
            Self::Flip(at, bit) => {
                let at = place(at);
                bytes[at] ^= 1 << bit;
            }
            Self::Set(at, byte) => {
                let at = place(at);
                bytes[at] = *byte;
            }
            Self::Cut(at) => bytes.truncate(place(at)),
            Self::Remove(from, to) => drop(bytes.drain(range(from, to))),
            Self::Repeat(from, to, at) => {
                let (piece, at) = (bytes[range(from, to)].to_vec(), place(at));
                drop(bytes.splice(at..at, piece));
            }
            Self::Insert(at, Bytes(piece)) => {
                let at = place(at);
                drop(bytes.splice(at..at, piece.iter().copied()));
            }
            Self::Number(at, number) => {
                let is_inner = |at: usize| at > 0 && bytes[at - 1].is_ascii_digit();
                let starts: Vec<usize> = (0..bytes.len())
                    .filter(|&at| bytes[at].is_ascii_digit() && !is_inner(at))
                    .collect();
                if starts.is_empty() {
                    return;
                }
                let from = starts[at.index(starts.len())];
                let digits = bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                drop(bytes.splice(from..from + digits, number.bytes()));
            }
        }
    }
}

/// What `edits` changes at most make of a file.
pub fn edited(files: impl Strategy<Value = Vec<u8>>, edits: usize) -> impl Strategy<Value = Bytes> {
    (files, vec(edit(), 0..=edits)).prop_map(|(mut bytes, edits)| {
        edits.iter().for_each(|edit| edit.apply(&mut bytes));
        Bytes(bytes)
    })
}

/// One change to a value somewhere in a JSON document.
#[derive(Clone, Debug)]
enum Change {
    Replace(Value),
    Remove(Index),
    Rename(Index, String),
    /// Another value of the document in its place.
    Copy(Index),
    /// The values of an array in the opposite order.
    Reverse,
}

/// A value of every type, at the edges of what a type holds.
pub fn odd_value() -> impl Strategy<Value = Value> {
    let number = |text: &'static str| {
        serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
    };
    let fixed = [
        Value::Null,
        json!(true),
        json!(""),
        json!(" "),
        json!("a"),
        json!("\0"),
        json!("\u{1b}[31m\n"),
        json!("\u{301}\u{200b}\u{fffd}"),
        json!("x".repeat(3_000)),
        json!([]),
        json!({}),
        json!([[]]),
        json!({"a": 1}),
        json!([0, 1]),
        json!((0..40).fold(json!(0), |inner, _| json!([inner]))),
    ];
    prop_oneof![
        3 => select(fixed.to_vec()),
        3 => odd_number().prop_map(number),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => (0..100_i64).prop_map(Value::from),
        1 => any::<String>().prop_map(Value::from),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => odd_value().prop_map(Change::Replace),
        1 => any::<Index>().prop_map(Change::Remove),
        1 => (any::<Index>(), "[a-z_]{0,8}|\\PC{0,4}")
            .prop_map(|(field, name)| Change::Rename(field, name)),
        2 => any::<Index>().prop_map(Change::Copy),
        1 => Just(Change::Reverse),
    ]
}

/// What `changes` changes at most make of a JSON document.
pub fn changed(
    documents: impl Strategy<Value = Value>,
    changes: usize,
) -> impl Strategy<Value = Value> {
    (documents, vec((any::<Index>(), change()), 0..=changes)).prop_map(|(mut document, changes)| {
        for (at, change) in &changes {
            apply(&mut document, *at, change);
        }
        document
    })
}

fn apply(document: &mut Value, at: Index, change: &Change) {
    let count = count(document);
    let at = at.index(count);
    match change {
        Change::Replace(value) => *nth(document, at) = value.clone(),
        Change::Copy(other) => *nth(document, at) = nth(document, other.index(count)).clone(),
        Change::Reverse => {
            if let Value::Array(items) = nth(document, at) {
                items.reverse();
            }
        }
        Change::Remove(which) => match nth(document, at) {
            Value::Array(items) if !items.is_empty() => {
                drop(items.remove(which.index(items.len())));
            }
            Value::Object(fields) => drop(take_one(fields, which)),
            other => *other = Value::Null,
        },
        Change::Rename(which, name) => {
            if let Value::Object(fields) = nth(document, at)
                && let Some(value) = take_one(fields, which)
            {
                fields.insert(name.clone(), value);
            }
        }
    }
}

fn take_one(fields: &mut Map<String, Value>, which: &Index) -> Option<Value> {
    let name = fields.keys().nth(which.index(fields.len().max(1))).cloned()?;
    fields.remove(&name)
}

/// How many values there are in a document, itself among them.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum::<usize>(),
        _ => 0,
    }
}

/// The value at a position in the order in which a reader meets them.
fn nth(value: &mut Value, mut position: usize) -> &mut Value {
    if position == 0 {
        return value;
    }
    position -= 1;
    let children: Vec<&mut Value> = match value {
        Value::Array(items) => items.iter_mut().collect(),
        Value::Object(fields) => fields.values_mut().collect(),
        _ => Vec::new(),
    };
    for child in children {
        let below = count(child);
        if position < below {
            return nth(child, position);
        }
        position -= below;
    }
    unreachable!("the position is below the count")
}

/// The form of JSON with line breaks or without.
pub fn written(value: &Value, is_pretty: bool) -> Vec<u8> {
    let bytes =
        if is_pretty { serde_json::to_vec_pretty(value) } else { serde_json::to_vec(value) };
    bytes.expect("a document serialises")
}
