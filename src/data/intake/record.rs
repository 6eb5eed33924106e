//! The fields of one record, decoded and checked.
//!
//! Knows no label set and no other record.

use std::fmt;

use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::Number;
use serde_json::value::RawValue;

use super::problem::{Place, Problem, Problems, quote};
use crate::data::fields::{EmptyTexts, FieldNames};

/// The longest text, far beyond what a model reads of it: taking one apart needs sixty times its length of memory.
pub const MAX_TEXT_BYTES: usize = 1 << 20;
/// The longest name of a label or domain; messages and tables show names.
const MAX_NAME_BYTES: usize = 1_000;

/// The fields of the records of a file.
#[derive(Clone, Copy, Debug)]
pub(in crate::data) struct Fields<'a> {
    /// What they are called.
    pub(in crate::data) names: FieldNames<'a>,
    /// The domain of all records of the file, where they carry none.
    pub(in crate::data) file_domain: Option<&'a str>,
    /// What to do about a record without a text.
    pub(in crate::data) empty_texts: EmptyTexts,
}

/// An example as a file names it; all are empty of a record without a text that is to be left out.
#[derive(Default)]
pub(super) struct Record {
    pub(super) text: String,
    pub(super) label: String,
    pub(super) domain: String,
}

/// The values of the fields of a record in JSON, null included. A field that occurs twice is an error.
struct RawRecord<'n>(&'n FieldNames<'n>);

impl<'de> Visitor<'de> for RawRecord<'_> {
    type Value = [Option<&'de RawValue>; 3];

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let names = self.0.all();
        let mut found = [None; 3];
        while let Some(key) = map.next_key::<String>()? {
            let Some(field) = names.iter().position(|name| *name == key) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if found[field].replace(map.next_value()?).is_some() {
                return Err(A::Error::custom(format_args!("duplicate field `{key}`")));
            }
        }
        Ok(found)
    }
}

impl Record {
    /// Reads a record in JSON, or reports everything that is wrong with it.
    pub(super) fn read(
        place: Place,
        json: &str,
        fields: Fields,
        problems: &mut Problems,
    ) -> Option<Self> {
        let raw = RawRecord::read(place, json, &fields.names);
        let [text, label, domain] = raw.map_err(|problem| problems.push(problem)).ok()?;
        let domain = match (domain, fields.file_domain) {
            (None, Some(name)) => Ok(name.to_owned()),
            (Some(value), Some(_)) => {
                let expected = "no such field, as in the first record of the file";
                let about = subject(fields.names.domain);
                problems.push(Problem::expected(place, about, expected, kind_of(value)));
                return None;
            }
            (value, None) => string_in(value),
        };
        Self::checked(place, [string_in(text), label_in(label), domain], fields, problems)
    }

    /// Whether a record in JSON has a field for its domain.
    pub(super) fn has_domain(json: &str, names: &FieldNames) -> bool {
        RawRecord::read(Place::File, json, names).is_ok_and(|[_, _, domain]| domain.is_some())
    }

    /// The same of the cells of a row.
    pub(super) fn of_cells(
        place: Place,
        cells: [&str; 3],
        fields: Fields,
        problems: &mut Problems,
    ) -> Option<Self> {
        Self::checked(place, cells.map(|cell| not_empty(cell.to_owned())), fields, problems)
    }

    /// The same of what was found as text, label and domain: a string that is not empty, or else what it is, in words.
    pub(super) fn checked(
        place: Place,
        [text, label, domain]: [Result<String, String>; 3],
        fields: Fields,
        problems: &mut Problems,
    ) -> Option<Self> {
        let mut check =
            |field: &str, expected: &str, most: usize, found: Result<String, String>, fix: &str| {
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
                    Err(found) => problems.push(problem(expected, found).with_fix(fix)),
                }
                None
            };
        let is_without = |found: &String| [EMPTY, NULL, MISSING].contains(&found.as_str());
        let is_empty = text.as_ref().is_err_and(is_without);
        if is_empty && fields.empty_texts == EmptyTexts::Drop {
            return Some(Self::default());
        }
        let fix = if is_empty { "data.empty_texts = \"drop\" leaves it out" } else { "" };
        let string = "a string that is not empty";
        // All three are checked before any of them ends the reading: a record shows all its problems.
        let text = check(fields.names.text, string, MAX_TEXT_BYTES, text, fix);
        let label = check(fields.names.label, "a string or an integer", MAX_NAME_BYTES, label, "");
        let domain = check(fields.names.domain, string, MAX_NAME_BYTES, domain, "");
        Some(Self { text: text?, label: label?, domain: domain? })
    }
}

impl RawRecord<'_> {
    fn read<'a>(
        place: Place,
        json: &'a str,
        fields: &FieldNames,
    ) -> Result<[Option<&'a RawValue>; 3], Problem> {
        if !json.trim_ascii_start().starts_with('{')
            && let Ok(value) = serde_json::from_str(json)
        {
            let [text, label, domain] = fields.all().map(quote);
            let expected = format!("a record {{{text}, {label}, {domain}}}");
            return Err(Problem::expected(place, "", expected, kind_of(value)));
        }
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let record = deserializer.deserialize_map(RawRecord(fields));
        record.and_then(|record| deserializer.end().map(|()| record)).map_err(|error| {
            let reason = reason_of(&error);
            let message = match error.is_data() {
                true => reason,
                false => format!("not JSON at column {}: {reason}", error.column()),
            };
            Problem::new(place, "", message)
        })
    }
}

/// What is found where there is no text.
const EMPTY: &str = "empty text";
const NULL: &str = "null";
const MISSING: &str = "no such field";

/// How problems name a field.
pub(super) fn subject(field: &str) -> String {
    format!("field \"{field}\"")
}

/// The string that a field holds, or else what was found, in words.
fn string_in(field: Option<&RawValue>) -> Result<String, String> {
    let value = field.ok_or(MISSING)?;
    if !value.get().starts_with('"') {
        return Err(kind_of(value));
    }
    let text: String = serde_json::from_str(value.get()).map_err(|error| reason_of(&error))?;
    not_empty(text)
}

fn not_empty(text: String) -> Result<String, String> {
    if text.trim().is_empty() { Err(EMPTY.to_owned()) } else { Ok(text) }
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
pub(in crate::data) fn reason_of(error: &serde_json::Error) -> String {
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
                "record 2, field \"text\": expected a string that is not empty, found no such field; \
                 data.empty_texts = \"drop\" leaves it out",
                r#"record 2, field "label": expected a string or an integer, found the number 1.0"#,
                r#"record 2, field "domain": expected a string that is not empty, found empty text"#,
                r#"record 3: expected a record {"text", "label", "domain"}, found the number 7"#,
                r#"record 4, field "text": expected a string that is not empty, found an array"#,
                r#"record 4, field "label": expected a string or an integer, found true"#,
                r#"record 4, field "domain": expected a string that is not empty, found null"#,
                "record 5, field \"text\": expected a string that is not empty, found empty text; \
                 data.empty_texts = \"drop\" leaves it out",
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
