//! The texts that `predict` is given.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::InputError;

/// Texts that are in memory at once: enough to sort by length, few enough to stream.
const WINDOW: usize = 1_024;

/// Lines of text, or JSONL with a `text` field; which of them, the first line tells.
pub struct Source {
    name: String,
    reader: Box<dyn BufRead>,
    num_lines: u64,
    is_jsonl: Option<bool>,
}

impl Source {
    /// Opens a file, or stdin for `-`.
    ///
    /// # Errors
    /// A file that can't be read.
    pub fn open(argument: &Path) -> Result<Self> {
        let (name, reader): (_, Box<dyn BufRead>) = if argument != Path::new("-") {
            let name = argument.display().to_string();
            let file =
                File::open(argument).map_err(|error| InputError(format!("{name}: {error}")))?;
            if file.metadata()?.is_dir() {
                return Err(
                    InputError(format!("{name}: expected a file, found a directory")).into()
                );
            }
            (name, Box::new(BufReader::new(file)))
        } else {
            ("stdin".to_owned(), Box::new(BufReader::new(io::stdin())))
        };
        Ok(Self { name, reader, num_lines: 0, is_jsonl: None })
    }

    /// The next texts; none at the end.
    ///
    /// # Errors
    /// A line that is no text, by its number.
    pub fn window(&mut self) -> Result<Vec<String>> {
        let mut texts = Vec::new();
        while texts.len() < WINDOW {
            let Some(text) = self.next_text()? else { break };
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
        let read = self
            .reader
            .read_until(b'\n', &mut line)
            .with_context(|| format!("{}: cannot be read", self.name))?;
        if read == 0 {
            return Ok(None);
        }
        self.num_lines += 1;
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
        let record = || serde_json::from_str::<Value>(&line);
        let is_jsonl =
            *self.is_jsonl.get_or_insert_with(|| record().is_ok_and(|record| record.is_object()));
        let text = if is_jsonl {
            let record =
                record().map_err(|error| self.wrong(&format!("expected JSON: {error}")))?;
            match record.get("text") {
                Some(Value::String(text)) => text.clone(),
                _ => return Err(self.wrong("expected an object with a string `text`").into()),
            }
        } else {
            line
        };
        if text.trim().is_empty() {
            return Err(self.wrong("expected a text, found none; remove the line").into());
        }
        Ok(text)
    }

    fn wrong(&self, problem: &str) -> InputError {
        InputError(format!("{}: line {}: {problem}", self.name, self.num_lines))
    }
}
