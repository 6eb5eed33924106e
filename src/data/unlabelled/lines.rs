//! A text a line, or JSONL; the first line shows which.

use std::collections::VecDeque;
use std::fmt;
use std::io::{BufRead, BufReader, Read};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::data::intake::{Place, Problem, ReadError, reason_of};

/// The longest line that is read: a record may hold more than its text.
pub(super) const MAX_LINE_BYTES: usize = 16 << 20;

/// So many blank lines at the beginning show that a file is no JSONL.
const MAX_BLANK_LINES: usize = 1_000;

/// The fields of a record in their order, each as it was written.
pub type Record = Vec<(String, Box<RawValue>)>;

/// A text, and the record that it is a field of.
type Found = (String, Option<Record>);

/// Lines of a reader.
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    /// The field of a record with its text.
    field: String,
    num_lines: usize,
    /// As the first line shows that is not blank.
    is_jsonl: Option<bool>,
    /// Texts that were read and not yet given out: blank lines are texts where the file is no JSONL.
    held: VecDeque<(Place, Found)>,
}

impl<R: Read> Lines<R> {
    pub fn new(reader: BufReader<R>, field: String) -> Self {
        Self { reader, field, num_lines: 0, is_jsonl: None, held: VecDeque::new() }
    }

    /// Whether a whole text has arrived. Among records, blank lines are none.
    pub fn has_next(&self) -> bool {
        let is_jsonl = self.is_jsonl == Some(true);
        let mut rest =
            self.reader.buffer().iter().skip_while(|byte| is_jsonl && byte.is_ascii_whitespace());
        !self.held.is_empty() || rest.any(|&byte| byte == b'\n')
    }

    /// The next text with its place; `None` at the end.
    pub fn next(&mut self) -> Result<Option<(Place, Found)>, ReadError> {
        if let Some(found) = self.held.pop_front() {
            return Ok(Some(found));
        }
        while let Some(line) = self.next_line()? {
            let place = Place::Line(self.num_lines);
            if !line.trim().is_empty() {
                let found = self.text_of(line)?;
                match found {
                    (_, Some(_)) => self.held = VecDeque::from([(place, found)]),
                    (_, None) => self.held.push_back((place, found)),
                }
                break;
            }
            // In JSONL a blank line is no record; in plain text it is an empty text.
            if self.is_jsonl != Some(true) {
                self.held.push_back((place, (line, None)));
            }
            if self.is_jsonl == Some(false) || self.held.len() > MAX_BLANK_LINES {
                self.is_jsonl = Some(false);
                break;
            }
        }
        Ok(self.held.pop_front())
    }

    fn next_line(&mut self) -> Result<Option<String>, ReadError> {
        let mut line = Vec::new();
        // One byte more than allowed shows that a line is longer.
        let read = (&mut self.reader)
            .take(MAX_LINE_BYTES as u64 + 1)
            .read_until(b'\n', &mut line)
            .map_err(ReadError::Unreadable)?;
        if read == 0 {
            return Ok(None);
        }
        self.num_lines += 1;
        Ok(Some(self.decoded(line)?))
    }

    fn decoded(&self, mut line: Vec<u8>) -> Result<String, Problem> {
        if line.len() > MAX_LINE_BYTES && !line.ends_with(b"\n") {
            let most = format!("expected at most {} MiB in a line", MAX_LINE_BYTES >> 20);
            return Err(self.wrong(format!("{most}, found more; give one text a line, or JSONL")));
        }
        while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            line.pop();
        }
        let line = String::from_utf8(line).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            self.wrong(format!("expected UTF-8, found another byte at offset {at}"))
        })?;
        // Editors on Windows put a byte order mark in front of the first line.
        Ok(match self.num_lines {
            1 => line.strip_prefix('\u{feff}').unwrap_or(&line).to_owned(),
            _ => line,
        })
    }

    fn text_of(&mut self, line: String) -> Result<Found, Problem> {
        if self.is_jsonl.is_none() && is_begin_of_json(&line) {
            let expected = "expected a text a line or JSONL, found JSON that goes over several lines or is an array";
            let fix = "`jq -c '.[]'` writes an array as JSONL";
            return Err(self.wrong(format!("{expected}; {fix}")));
        }
        if !*self.is_jsonl.get_or_insert_with(|| is_object(&line)) {
            return Ok((line, None));
        }
        let expected = format!("expected an object with a string `{}`", self.field);
        if !line.trim_start().starts_with('{') {
            return Err(self.wrong(expected));
        }
        let mut deserializer = serde_json::Deserializer::from_str(&line);
        let found = Fields { text: &self.field }.deserialize(&mut deserializer);
        found.and_then(|found| deserializer.end().map(|()| found)).map_err(|error| {
            let expected = if error.is_data() { &expected } else { "expected JSON" };
            let reason = reason_of(&error);
            let is_missing = reason.starts_with("missing field");
            let fix = if is_missing { "; name the right one with --text-field" } else { "" };
            self.wrong(format!("{expected}: {reason}{fix}"))
        })
    }

    fn wrong(&self, message: String) -> Problem {
        Problem::new(Place::Line(self.num_lines), "", message)
    }
}

fn is_object(line: &str) -> bool {
    line.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(line).is_ok()
}

/// Whether a first line is the beginning of JSON that is no JSONL: as text nobody means it.
fn is_begin_of_json(line: &str) -> bool {
    let line = line.trim();
    line == "{"
        || line
            .strip_prefix('[')
            .is_some_and(|rest| rest.is_empty() || rest.trim_start().starts_with('{'))
}

/// Reads the fields of a record, one of which, `text`, is a string. Others are passed over, however deep they are.
struct Fields<'a> {
    text: &'a str,
}

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = Found;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Found, M::Error> {
        let mut text = None;
        let mut record = Record::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value::<Box<RawValue>>()?;
            if key == self.text {
                let found = match value.get() {
                    "null" => String::new(),
                    json => serde_json::from_str(json).map_err(M::Error::custom)?,
                };
                if text.replace(found).is_some() {
                    return Err(M::Error::custom(format!("duplicate field `{key}`")));
                }
            }
            record.push((key, value));
        }
        let text =
            text.ok_or_else(|| M::Error::custom(format!("missing field `{}`", self.text)))?;
        Ok((text, Some(record)))
    }
}
