//! Texts without labels, one after another: a text per line, or JSONL.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::intake::{DataError, MAX_TEXT_BYTES, Place, Problem, delimiter_of, is_parquet};

/// Texts that are in memory at once: enough to sort by length, few enough to stream.
const WINDOW: usize = 1_024;
/// Long texts fill a window earlier.
const WINDOW_BYTES: usize = 16 << 20;
/// Read at once: of a pipe, as much as it holds.
const BUFFER_BYTES: usize = 64 << 10;
/// The longest line that is read: a record may hold more than its text.
const MAX_LINE_BYTES: usize = 16 << 20;

/// Lines of text, or JSONL with a `text` field; the first line shows which.
///
/// Of stdin, a window is no more than has arrived: whoever writes line by line is answered line by line.
///
/// Holds a window and a line at most, however long the input or one of its lines is.
pub struct Source {
    name: String,
    reader: BufReader<Box<dyn Read>>,
    is_stream: bool,
    num_lines: usize,
    is_jsonl: Option<bool>,
}

impl Source {
    /// Opens a file, or stdin for `-`.
    ///
    /// # Errors
    /// A file that can't be read.
    pub fn open(argument: &Path) -> Result<Self> {
        if argument == Path::new("-") {
            return Ok(Self { is_stream: true, ..Self::new("stdin", Box::new(io::stdin())) });
        }
        let wrong = |message| {
            DataError::single(argument, Problem::new(Place::File, String::new(), message))
        };
        if delimiter_of(argument).is_some() || is_parquet(argument, &[]) {
            let message = "expected a text a line, or JSONL, found a table by its name; write its texts into a file of their own";
            return Err(wrong(message.to_owned()).into());
        }
        let file = File::open(argument).map_err(|error| wrong(error.to_string()))?;
        if file.metadata()?.is_dir() {
            return Err(wrong("expected a file, found a directory".to_owned()).into());
        }
        Ok(Self::new(argument.display().to_string(), Box::new(file)))
    }

    /// The texts of a reader, which messages call `name`.
    pub fn new(name: impl Into<String>, reader: Box<dyn Read>) -> Self {
        let reader = BufReader::with_capacity(BUFFER_BYTES, reader);
        Self { name: name.into(), reader, is_stream: false, num_lines: 0, is_jsonl: None }
    }

    /// Its name in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The next texts; none at the end.
    ///
    /// # Errors
    /// A line that is no text, by its number.
    pub fn window(&mut self) -> Result<Vec<String>> {
        let mut texts = Vec::new();
        let mut num_bytes = 0;
        while texts.len() < WINDOW && num_bytes < WINDOW_BYTES {
            if self.is_stream && !texts.is_empty() && !self.reader.buffer().contains(&b'\n') {
                break;
            }
            let Some(text) = self.next_text()? else { break };
            num_bytes += text.len();
            texts.push(text);
        }
        Ok(texts)
    }

    fn next_text(&mut self) -> Result<Option<String>> {
        loop {
            let Some(line) = self.next_line()? else { return Ok(None) };
            // In JSONL a blank line is no record; in plain text it would be an empty text.
            if self.is_jsonl != Some(true) || !line.trim().is_empty() {
                return self.text_of(line).map(Some);
            }
        }
    }

    fn next_line(&mut self) -> Result<Option<String>> {
        let mut line = Vec::new();
        // One byte more than allowed shows that a line is longer.
        let read = (&mut self.reader)
            .take(MAX_LINE_BYTES as u64 + 1)
            .read_until(b'\n', &mut line)
            .with_context(|| format!("{}: cannot be read", self.name))?;
        if read == 0 {
            return Ok(None);
        }
        self.num_lines += 1;
        if line.len() > MAX_LINE_BYTES && !line.ends_with(b"\n") {
            let most = format!("expected at most {} MiB in a line", MAX_LINE_BYTES >> 20);
            return Err(self
                .wrong(&format!("{most}, found more; give one text a line, or JSONL"))
                .into());
        }
        while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            line.pop();
        }
        let line = String::from_utf8(line).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            self.wrong(&format!("expected UTF-8, found another byte at offset {at}"))
        })?;
        // Editors on Windows put a byte order mark in front of the first line.
        let line = match self.num_lines {
            1 => line.strip_prefix('\u{feff}').unwrap_or(&line).to_owned(),
            _ => line,
        };
        Ok(Some(line))
    }

    fn text_of(&mut self, line: String) -> Result<String> {
        let is_jsonl = *self.is_jsonl.get_or_insert_with(|| is_object(&line));
        let text = if is_jsonl {
            let expected = "expected an object with a string `text`";
            if !line.trim_start().starts_with('{') {
                return Err(self.wrong(expected).into());
            }
            let record: Record = serde_json::from_str(&line).map_err(|error| {
                let expected = if error.is_data() { expected } else { "expected JSON" };
                self.wrong(&format!("{expected}: {error}"))
            })?;
            record.text
        } else {
            line
        };
        if text.trim().is_empty() {
            return Err(self.wrong("expected a text, found none; remove the line").into());
        }
        if text.len() > MAX_TEXT_BYTES {
            let found = text.len();
            return Err(self
                .wrong(&format!(
                    "expected a text of at most {MAX_TEXT_BYTES} bytes, found {found}; shorten it: \
                     a model reads no more than its beginning"
                ))
                .into());
        }
        Ok(text)
    }

    fn wrong(&self, message: &str) -> DataError {
        let problem = Problem::new(Place::Line(self.num_lines), "", message);
        DataError::single(Path::new(&self.name), problem)
    }
}

/// A line of JSONL. Other fields are passed over, however deep they are.
#[derive(Deserialize)]
struct Record {
    text: String,
}

fn is_object(line: &str) -> bool {
    line.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(line).is_ok()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn windows(content: &[u8]) -> Result<Vec<Vec<String>>> {
        let mut source = Source::new("texts", Box::new(Cursor::new(content.to_vec())));
        let mut windows = Vec::new();
        loop {
            let window = source.window()?;
            if window.is_empty() {
                return Ok(windows);
            }
            windows.push(window);
        }
    }

    #[test]
    fn depth_in_another_field_changes_nothing() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let record = format!("{{\"x\": {deep}, \"text\": \"good\"}}\n");
        assert_eq!(windows(record.repeat(2).as_bytes()).unwrap(), [["good", "good"]]);
        let error = windows(format!("{record}{deep}\n").as_bytes()).unwrap_err().to_string();
        assert_eq!(error, "texts: line 2: expected an object with a string `text`");
        let record = format!("{record}{{\"text\": {deep}}}\n");
        let error = windows(record.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("texts: line 2: expected an object with a string `text`: "));
    }

    #[test]
    fn long_texts_fill_a_window_and_longer_ones_are_refused() {
        let long = format!("{}\n", "a".repeat(MAX_TEXT_BYTES));
        let sizes: Vec<usize> =
            windows(long.repeat(40).as_bytes()).unwrap().iter().map(Vec::len).collect();
        assert_eq!(sizes, [16, 16, 8]);
        let error = windows(format!("good\na{long}").as_bytes()).unwrap_err().to_string();
        let expected = "texts: line 2: expected a text of at most 1048576 bytes, found 1048577; ";
        assert!(error.starts_with(expected), "{error}");
    }

    #[test]
    fn a_line_without_end_is_refused_when_it_gets_too_long() {
        let mut source = Source::new("zeros", Box::new(io::repeat(b'0')));
        let error = source.window().unwrap_err().to_string();
        assert!(error.starts_with("zeros: line 1: expected at most 16 MiB in a line"), "{error}");
        let error = windows("\r".repeat(MAX_LINE_BYTES + 2).as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("texts: line 1: expected at most 16 MiB in a line"), "{error}");
        let padding = " ".repeat(MAX_LINE_BYTES - 17);
        let line = format!("{{\"text\": \"good\"{padding}}}\r\n");
        assert_eq!(windows(line.as_bytes()).unwrap(), [["good"]]);
    }
}
