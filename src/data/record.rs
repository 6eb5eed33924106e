//! The records of a labelled file as they stand in it, whichever form the file has.
//!
//! Knows nothing of label sets or domains: it hands out each record's three fields as they stand, and reports what
//! is no JSON or no record.

use std::borrow::Cow;
use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::form::{Form, Key};
use super::problem::{Place, Problem, Problems};

/// A field as it stands in the file.
#[derive(Debug)]
pub(super) enum Field<'a> {
    Absent,
    Text(Cow<'a, str>),
    /// In decimal notation.
    Integer(String),
    /// What was found, in words.
    Other(Cow<'static, str>),
}

/// A record as it stands in the file.
#[derive(Debug)]
pub(super) enum RawRecord<'a> {
    Object {
        text: Field<'a>,
        label: Field<'a>,
        domain: Field<'a>,
        /// A field that stands in the record more than once.
        repeated: Option<&'static str>,
    },
    /// What was found, in words.
    NotAnObject(Cow<'static, str>),
}

/// Gives every record of `text` to `sink`, in file order; reports what is no JSON.
///
/// Accepts an array, `{"data": [...]}` and JSONL.
pub(super) fn for_each_record<'a>(
    text: &'a str,
    problems: &mut Problems,
    mut sink: impl FnMut(&mut Problems, Place, RawRecord<'a>),
) {
    match text.trim_ascii_start().as_bytes().first() {
        None => problems.push(Problem::expected(
            Place::File,
            "",
            "an array of records",
            "an empty file",
        )),
        Some(b'[') => {
            let mut deserializer = serde_json::Deserializer::from_str(text);
            let mut num_records = 0;
            let outcome = Records { problems, sink: &mut sink, num_records: &mut num_records }
                .deserialize(&mut deserializer);
            report_end(outcome.and_then(|()| deserializer.end()), num_records, problems);
        }
        Some(b'{') => match Form::of(text) {
            Form::Wrapped => {
                let mut deserializer = serde_json::Deserializer::from_str(text);
                let mut num_records = 0;
                let outcome =
                    Wrapped(Records { problems, sink: &mut sink, num_records: &mut num_records })
                        .deserialize(&mut deserializer);
                report_end(outcome.and_then(|()| deserializer.end()), num_records, problems);
            }
            Form::SpreadObject => problems.push(
                Problem::expected(
                    Place::File,
                    "",
                    "an array of records",
                    "an object without the field \"data\"",
                )
                .with_fix("put the records in [...], in {\"data\": [...]}, or one a line"),
            ),
            Form::Lines => for_each_line(text, problems, &mut sink),
        },
        Some(_) => {
            let problem = match serde_json::from_str::<Kind>(text) {
                Ok(Kind(kind)) => Problem::expected(Place::File, "", "an array of records", kind),
                Err(error) => not_json(Place::File, "", error.line(), &error),
            };
            problems.push(problem);
        }
    }
}

fn for_each_line<'a>(
    text: &'a str,
    problems: &mut Problems,
    sink: &mut impl FnMut(&mut Problems, Place, RawRecord<'a>),
) {
    // Only a line feed ends a line: a text may hold any of the other separators of Unicode.
    for (index, line) in text.split('\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let place = Place::Line(index + 1);
        match serde_json::from_str(line) {
            Ok(record) => sink(problems, place, record),
            Err(error) => problems.push(not_json(place, "", index + 1, &error)),
        }
    }
}

/// Reports what stopped the reading of an array after `num_records` whole records.
fn report_end(outcome: serde_json::Result<()>, num_records: usize, problems: &mut Problems) {
    if let Err(error) = outcome {
        let subject = format!("after record {num_records}");
        problems.push(not_json(
            Place::File,
            if num_records == 0 { "" } else { &subject },
            error.line(),
            &error,
        ));
    }
}

fn not_json(place: Place, subject: &str, line: usize, error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    let reason = text.rfind(" at line ").map_or(text.as_str(), |end| &text[..end]);
    let what = if error.is_data() { "not an array of records" } else { "not JSON" };
    Problem::new(
        place,
        subject,
        format!("{what} at line {line}, column {}: {reason}", error.column()),
    )
}

/// Streams the elements of an array into the sink.
struct Records<'r, F> {
    problems: &'r mut Problems,
    sink: &'r mut F,
    num_records: &'r mut usize,
}

impl<'de, F: FnMut(&mut Problems, Place, RawRecord<'de>)> DeserializeSeed<'de> for Records<'_, F> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(&mut Problems, Place, RawRecord<'de>)> Visitor<'de> for Records<'_, F> {
    type Value = ();
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of records")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut records: A) -> Result<(), A::Error> {
        while let Some(record) = records.next_element()? {
            *self.num_records += 1;
            (self.sink)(self.problems, Place::Record(*self.num_records), record);
        }
        Ok(())
    }
}

/// Streams the array in `{"data": [...]}`.
struct Wrapped<'r, F>(Records<'r, F>);

impl<'de, F: FnMut(&mut Problems, Place, RawRecord<'de>)> DeserializeSeed<'de> for Wrapped<'_, F> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(&mut Problems, Place, RawRecord<'de>)> Visitor<'de> for Wrapped<'_, F> {
    type Value = ();
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with the field \"data\"")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut records = Some(self.0);
        while let Some(key) = map.next_key::<Key>()? {
            match key {
                Key::Data => {
                    let records =
                        records.take().ok_or_else(|| A::Error::duplicate_field("data"))?;
                    map.next_value_seed(records)?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for RawRecord<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RecordVisitor)
    }
}

struct RecordVisitor;

/// Visitor methods for every kind of value but those named, each told in words through `$wrap`.
macro_rules! other_kinds {
    ($wrap:expr) => {
        fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
            Ok($wrap(if value { "true" } else { "false" }.into()))
        }
        fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
            Ok($wrap(format!("the number {value:?}").into()))
        }
        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok($wrap("null".into()))
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            // Ignoring is iterative in serde_json: no depth of nesting overflows the stack.
            while items.next_element::<IgnoredAny>()?.is_some() {}
            Ok($wrap("an array".into()))
        }
    };
}

impl<'de> Visitor<'de> for RecordVisitor {
    type Value = RawRecord<'de>;
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a record")
    }
    other_kinds!(RawRecord::NotAnObject);
    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(RawRecord::NotAnObject(format!("the number {value}").into()))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(RawRecord::NotAnObject(format!("the number {value}").into()))
    }
    fn visit_str<E: Error>(self, _value: &str) -> Result<Self::Value, E> {
        Ok(RawRecord::NotAnObject("a string".into()))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut text, mut label, mut domain) = (Field::Absent, Field::Absent, Field::Absent);
        let mut repeated = None;
        while let Some(key) = map.next_key::<Key>()? {
            let (name, field) = match key {
                Key::Text => ("text", &mut text),
                Key::Label => ("label", &mut label),
                Key::Domain => ("domain", &mut domain),
                Key::Data | Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if !matches!(field, Field::Absent) {
                repeated = Some(name);
            }
            *field = map.next_value()?;
        }
        Ok(RawRecord::Object { text, label, domain, repeated })
    }
}

impl<'de> Deserialize<'de> for Field<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field<'de>;
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }
    other_kinds!(Field::Other);
    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Field::Integer(value.to_string()))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Field::Integer(value.to_string()))
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Field::Text(Cow::Owned(value.to_owned())))
    }
    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Field::Text(Cow::Borrowed(value)))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Other("an object".into()))
    }
}

/// The kind of a whole file that is one JSON value, in words.
struct Kind(Cow<'static, str>);

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match RawRecord::deserialize(deserializer)? {
            RawRecord::NotAnObject(kind) => Self(kind),
            RawRecord::Object { .. } => Self("an object".into()),
        })
    }
}
