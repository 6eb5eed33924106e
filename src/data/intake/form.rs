//! The records of a file, whichever form it has: an array, `{"data": [...]}`, or one a line.
//!
//! Knows of a record where it begins and ends, and the names of its fields.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::problem::{Place, Problem};
use super::record::{kind_of, reason_of};
use crate::data::fields::FieldNames;

/// Gives the JSON of every record of `text` to `take`, in file order. A line may hold no JSON.
///
/// # Errors
/// What keeps the file, or the rest of it, from being read as records.
pub(super) fn for_each_record<'a>(
    text: &'a str,
    fields: &FieldNames,
    mut take: impl FnMut(Place, &'a str),
) -> Result<(), Problem> {
    let form = Form::of(text, fields)?;
    if form == Form::Lines {
        // Only a line feed ends a line: a text may hold any of the other separators of Unicode.
        let lines = (1..).zip(text.split('\n')).filter(|(_, line)| !line.trim_ascii().is_empty());
        lines.for_each(|(number, line)| take(Place::Line(number), line));
        return Ok(());
    }
    let mut num_records = 0;
    let mut json = serde_json::Deserializer::from_str(text);
    let records = Records {
        is_wrapped: form == Form::Wrapped,
        take: |record: &'a RawValue| {
            num_records += 1;
            take(Place::Record(num_records), record.get());
        },
    };
    records.deserialize(&mut json).and_then(|()| json.end()).map_err(|error| {
        let subject = match num_records {
            0 => String::new(),
            _ => format!("after record {num_records}"),
        };
        not_records(subject, &error)
    })
}

#[derive(PartialEq, Eq)]
enum Form {
    Array,
    Wrapped,
    Lines,
}

impl Form {
    fn of(text: &str, fields: &FieldNames) -> Result<Self, Problem> {
        let expected =
            |found: &str| Problem::expected(Place::File, "", "an array of records", found);
        match text.trim_ascii_start().as_bytes().first() {
            None => Err(expected("an empty file")),
            Some(b'[') => Ok(Self::Array),
            Some(b'{') => Self::of_object(text, fields).ok_or_else(|| {
                expected("an object without the field \"data\"")
                    .with_fix("put the records in [...], in {\"data\": [...]}, or one a line")
            }),
            Some(_) => Err(match serde_json::from_str(text) {
                Ok(value) => expected(&kind_of(value)),
                Err(error) => not_records(String::new(), &error),
            }),
        }
    }

    /// The form of a file that begins with an object; `None` for an object over several lines that is neither a record
    /// a line nor holds the array.
    fn of_object(text: &str, fields: &FieldNames) -> Option<Self> {
        let mut keys = Keys { fields, has_data: false, has_record_field: false };
        let mut json = serde_json::Deserializer::from_str(text);
        let is_whole = (&mut json).deserialize_map(&mut keys).is_ok() && json.end().is_ok();
        let first_line = text.trim_ascii_start().split('\n').next().unwrap_or_default();
        match keys {
            Keys { has_data: true, has_record_field: false, .. } => Some(Self::Wrapped),
            _ if is_whole && serde_json::from_str::<IgnoredAny>(first_line).is_err() => None,
            _ => Some(Self::Lines),
        }
    }
}

fn not_records(subject: String, error: &serde_json::Error) -> Problem {
    let what = if error.is_data() { "not an array of records" } else { "not JSON" };
    let (line, column, reason) = (error.line(), error.column(), reason_of(error));
    let message = format!("{what} at line {line}, column {column}: {reason}");
    Problem::new(Place::File, subject, message)
}

/// The keys by which a file that begins with an object shows its form; as far as the object is well-formed.
struct Keys<'a> {
    fields: &'a FieldNames<'a>,
    has_data: bool,
    has_record_field: bool,
}

impl<'de> Visitor<'de> for &mut Keys<'_> {
    type Value = ();
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            self.has_data |= key == "data";
            self.has_record_field |= self.fields.all().contains(&key.as_str());
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

/// Gives the elements of an array to `take` one by one; of the array in the field "data" if it is wrapped.
struct Records<F> {
    is_wrapped: bool,
    take: F,
}

impl<'de, F: FnMut(&'de RawValue)> DeserializeSeed<'de> for Records<F> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        if self.is_wrapped { json.deserialize_map(self) } else { json.deserialize_seq(self) }
    }
}

impl<'de, F: FnMut(&'de RawValue)> Visitor<'de> for Records<F> {
    type Value = ();
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of records")
    }
    fn visit_seq<A: SeqAccess<'de>>(mut self, mut array: A) -> Result<(), A::Error> {
        while let Some(record) = array.next_element()? {
            (self.take)(record);
        }
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut records = Some(Records { is_wrapped: false, take: self.take });
        while let Some(key) = map.next_key::<String>()? {
            if key == "data" {
                let records = records.take().ok_or_else(|| A::Error::duplicate_field("data"))?;
                map.next_value_seed(records)?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::dataset::tests::{parse, problem};
    use super::super::{Dataset, Review};
    use super::*;

    const TWO: &str = concat!(
        r#"[{"text":"good","label":"pos","domain":"b & c"},"#,
        r#"{"text":"bad","label":"neg","domain":"a","id":[1,{"x":2}]}]"#
    );

    fn gzip(content: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_form_reads_the_same() {
        let lines = TWO.trim_matches(['[', ']']).replace("},{\"text\"", "}\r\n\n{\"text\"");
        let wrapped = format!("{{\"version\": 1, \"data\": {TWO}, \"more\": [{{}}]}}");
        let bom = format!("\u{feff}{TWO}");
        let expected = parse(TWO).unwrap();
        for content in [TWO, &lines, &wrapped, &bom, &TWO.replace("},", "},\n")] {
            for bytes in [content.as_bytes().to_vec(), gzip(content)] {
                let dataset = parse(&bytes).unwrap_or_else(|error| panic!("{content}: {error}"));
                assert_eq!(dataset.labels, expected.labels);
                assert_eq!(dataset.domains, expected.domains);
                let fields = |dataset: &Dataset| -> Vec<(String, u32, u32, usize)> {
                    let fields = |r: &Review| (r.text.clone(), r.label, r.domain, r.position);
                    dataset.reviews.iter().map(fields).collect()
                };
                assert_eq!(fields(&dataset), fields(&expected), "{content}");
            }
        }
        assert_eq!(parse(&lines).unwrap().reviews[1].place, Place::Line(3));
    }

    #[test]
    fn a_jsonl_record_may_have_a_data_field() {
        let lines = "{\"text\":\"a\",\"label\":0,\"domain\":\"d\",\"data\":[1]}\n{\"text\":\"b\",\"label\":1,\"domain\":\"d\"}";
        assert_eq!(parse(lines).unwrap().reviews.len(), 2);
    }

    #[test]
    fn what_is_no_array_of_records_is_reported_in_one_line() {
        let one = r#"[{"text":"a","label":"x","domain":"d"}]"#;
        for (content, expected) in [
            ("", "d.json: expected an array of records, found an empty file"),
            (" \n", "d.json: expected an array of records, found an empty file"),
            ("[]", "d.json: expected at least one record with a text, found none"),
            ("{\"data\":[]}", "d.json: expected at least one record with a text, found none"),
            ("3", "d.json: expected an array of records, found the number 3"),
            ("\"text\"", "d.json: expected an array of records, found a string"),
            ("text", "d.json: not JSON at line 1, column 2: expected ident"),
            ("[{\"text\": }]", "d.json: not JSON at line 1, column 11: expected value"),
            (
                "{\"data\": {}}",
                "d.json: not an array of records at line 1, column 9: invalid type: map, expected an array of records",
            ),
            (one, "d.json: field \"label\": expected at least two labels in all, found only \"x\""),
            (
                "{\n\"a\": 1\n}",
                "d.json: expected an array of records, found an object without the field \"data\"; \
                 put the records in [...], in {\"data\": [...]}, or one a line",
            ),
        ] {
            assert_eq!(problem(content), expected);
        }
        let cut = format!("{},\n{{\"te", one.trim_end_matches(']'));
        assert_eq!(
            problem(cut),
            "d.json: after record 1: not JSON at line 2, column 4: EOF while parsing a string"
        );
        let line = "{\"text\":\"a\",\"label\":1,\"domain\":\"d\"}\n{\"text\":\n";
        assert_eq!(
            problem(line),
            "d.json: line 2: not JSON at column 8: EOF while parsing a value"
        );
    }

    #[test]
    fn broken_or_hostile_files_are_errors_and_not_panics() {
        let mut cut = gzip(TWO);
        cut.truncate(cut.len() / 2);
        assert!(problem(cut).contains("not a whole gzip file"));
        let deep = "[".repeat(100_000);
        for content in [
            deep.clone(),
            "{\"data\":".repeat(100_000),
            "{\"a\":".repeat(100_000),
            format!("[{{\"text\":{deep}"),
            format!("[{{\"text\":{deep}{}}}]", "]".repeat(100_000)),
            format!("[{{\"x\":{deep}{}}}]", "]".repeat(100_000)),
            format!("{{\"text\":{deep}"),
            "[{\"text\":\"\\ud800\"}]".into(),
            "[1e999]".into(),
            "\0".repeat(100),
            "]".into(),
        ] {
            assert!(parse(&content).is_err(), "{}", &content[..content.len().min(40)]);
        }
        for length in 0..TWO.len() {
            assert!(parse(&TWO[..length]).is_err(), "{length}");
        }
    }
}
