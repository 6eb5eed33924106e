//! The fields of one record, decoded and checked.
//!
//! Knows no label set and no other record.

use serde::{Deserialize, Deserializer};
use serde_json::Number;
use serde_json::value::RawValue;

use super::problem::{Place, Problem, Problems};

/// The longest text, far beyond what a model reads of it: taking one apart needs sixty times its length of memory.
pub const MAX_TEXT_BYTES: usize = 1 << 20;
/// The longest name of a label or domain; messages and tables show names.
const MAX_NAME_BYTES: usize = 1_000;

/// The fields that a record has; others are ignored.
pub(super) const FIELDS: [&str; 3] = ["text", "label", "domain"];

/// An example as a file names it.
pub(super) struct Record {
    pub(super) text: String,
    pub(super) label: String,
    pub(super) domain: String,
}

/// The same in JSON. A field that occurs twice is an error of serde's.
#[derive(Deserialize)]
#[serde(expecting = "a record")]
struct RawRecord<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    text: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    label: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    domain: Option<&'a RawValue>,
}

/// A field that is there, null included.
fn present<'de, D: Deserializer<'de>>(json: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(json).map(Some)
}

impl Record {
    /// Reads a record, or reports everything that is wrong with it.
    pub(super) fn read(place: Place, json: &str, problems: &mut Problems) -> Option<Self> {
        let raw = RawRecord::read(place, json).map_err(|problem| problems.push(problem)).ok()?;
        let mut check =
            |field: &str, expected: &str, most: usize, found: Result<String, String>| {
                let problem = |expected: &str, found: String| {
                    Problem::expected(place, subject(field), expected, found)
                };
                match found {
                    Ok(value) if value.len() <= most => return Some(value),
                    Ok(value) => {
                        let expected = format!("at most {most} bytes");
                        problems.push(
                            problem(&expected, value.len().to_string()).with_fix("shorten it"),
                        );
                    }
                    Err(found) => problems.push(problem(expected, found)),
                }
                None
            };
        let string = "a string that is not empty";
        // All three are checked before any of them ends the reading: a record shows all its problems.
        let text = check("text", string, MAX_TEXT_BYTES, string_in(raw.text));
        let label = check("label", "a string or an integer", MAX_NAME_BYTES, label_in(raw.label));
        let domain = check("domain", string, MAX_NAME_BYTES, string_in(raw.domain));
        Some(Self { text: text?, label: label?, domain: domain? })
    }
}

impl<'a> RawRecord<'a> {
    fn read(place: Place, json: &'a str) -> Result<Self, Problem> {
        // serde would take the three fields from an array as well.
        if !json.trim_ascii_start().starts_with('{')
            && let Ok(value) = serde_json::from_str(json)
        {
            let expected = "a record {\"text\", \"label\", \"domain\"}";
            return Err(Problem::expected(place, "", expected, kind_of(value)));
        }
        serde_json::from_str(json).map_err(|error| {
            let reason = reason_of(&error);
            let message = match error.is_data() {
                true => reason,
                false => format!("not JSON at column {}: {reason}", error.column()),
            };
            Problem::new(place, "", message)
        })
    }
}

/// How problems name a field.
pub(super) fn subject(field: &str) -> String {
    format!("field \"{field}\"")
}

/// The string that a field holds, or else what was found, in words.
fn string_in(field: Option<&RawValue>) -> Result<String, String> {
    let value = field.ok_or("no such field")?;
    if !value.get().starts_with('"') {
        return Err(kind_of(value));
    }
    let text: String = serde_json::from_str(value.get()).map_err(|error| reason_of(&error))?;
    if text.trim().is_empty() { Err("empty text".to_owned()) } else { Ok(text) }
}

/// As [`string_in`]; an integer is its decimal notation.
fn label_in(field: Option<&RawValue>) -> Result<String, String> {
    let value = field.filter(|value| !value.get().starts_with('"'));
    let number = value.and_then(|value| serde_json::from_str::<Number>(value.get()).ok());
    match number.filter(|number| !number.is_f64()) {
        Some(integer) => Ok(integer.to_string()),
        None => string_in(field),
    }
}

/// The kind of a value, in words.
pub(super) fn kind_of(value: &RawValue) -> String {
    const MAX_DIGITS: usize = 40;
    let json = value.get();
    match json.as_bytes()[0] {
        b'{' => "an object".to_owned(),
        b'[' => "an array".to_owned(),
        b'"' => "a string".to_owned(),
        b't' | b'f' | b'n' => json.to_owned(),
        _ => format!("the number {}", &json[..json.len().min(MAX_DIGITS)]),
    }
}

/// The reason of an error without its place.
pub(super) fn reason_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rfind(" at line ").map_or(text.as_str(), |end| &text[..end]).to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::dataset::tests::parse;
    use super::*;

    #[test]
    fn each_wrong_field_is_named_with_its_record() {
        let content = r#"[{"text":"a","label":"x","domain":"d"},
            {"label":1.0,"domain":" "}, 7, {"text":["a"],"label":true,"domain":null},
            {"text":"","label":"","domain":3},{"text":"a","text":"b","label":"y","domain":"d"}]"#;
        let error = parse(content).unwrap_err();
        let lines: Vec<String> = error.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                r#"record 2, field "text": expected a string that is not empty, found no such field"#,
                r#"record 2, field "label": expected a string or an integer, found the number 1.0"#,
                r#"record 2, field "domain": expected a string that is not empty, found empty text"#,
                r#"record 3: expected a record {"text", "label", "domain"}, found the number 7"#,
                r#"record 4, field "text": expected a string that is not empty, found an array"#,
                r#"record 4, field "label": expected a string or an integer, found true"#,
                r#"record 4, field "domain": expected a string that is not empty, found null"#,
                r#"record 5, field "text": expected a string that is not empty, found empty text"#,
                r#"record 5, field "label": expected a string or an integer, found empty text"#,
                r#"record 5, field "domain": expected a string that is not empty, found the number 3"#,
                "record 6: duplicate field `text`",
            ]
        );
    }

    #[test]
    fn texts_and_names_of_any_length_would_exhaust_the_memory() {
        let record = |text: usize, label: usize, domain: usize| {
            let [text, label, domain] = [text, label, domain].map(|length| "a".repeat(length));
            format!(r#"{{"text":"{text}","label":"{label}","domain":"{domain}"}}"#)
        };
        let longest = record(MAX_TEXT_BYTES, 1_000, 1_000);
        parse(format!("{longest}\n{}", record(1, 1, 1))).unwrap();
        let longer = record(MAX_TEXT_BYTES + 1, 1_001, 1_001);
        let error = parse(format!("{longest}\n{longer}")).unwrap_err();
        let lines: Vec<String> = error.problems.iter().map(ToString::to_string).collect();
        let expected = [
            r#"line 2, field "text": expected at most 1048576 bytes, found 1048577; shorten it"#,
            r#"line 2, field "label": expected at most 1000 bytes, found 1001; shorten it"#,
            r#"line 2, field "domain": expected at most 1000 bytes, found 1001; shorten it"#,
        ];
        assert_eq!(lines, expected);
    }
}
