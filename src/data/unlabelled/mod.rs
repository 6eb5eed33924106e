//! Texts without labels, one after another: a text a line, JSONL, or a table.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use anyhow::{Error, Result};
use csv::StringRecord;

use self::lines::Lines;
pub use self::lines::Record;
use self::table::Table;
use super::intake::{
    DataError, MAX_TEXT_BYTES, Place, Problem, ReadError, delimiter_of, is_parquet,
};

mod lines;
mod table;

/// Texts that are in memory at once: enough to sort by length, few enough to stream.
const WINDOW: usize = 1_024;
/// Long texts fill a window earlier.
const WINDOW_BYTES: usize = 16 << 20;
/// Read at once: of a pipe, as much as it holds.
const BUFFER_BYTES: usize = 64 << 10;

/// The form of texts without labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextForm {
    /// A text a line, or JSONL; the first line shows which.
    Lines,
    /// A table with a header, and this between its cells.
    Table {
        /// A comma or a tab.
        delimiter: u8,
    },
}

impl TextForm {
    /// The form of a file of this name.
    pub fn of_name(path: &Path) -> Self {
        delimiter_of(path).map_or(Self::Lines, |delimiter| Self::Table { delimiter })
    }
}

/// Texts in the order of their input.
///
/// Of stdin, a window is no more than has arrived: whoever writes line by line is answered line by line.
///
/// Holds a window and a line at most, however long the input or one of its lines is.
pub struct Source {
    name: String,
    texts: Texts,
    is_stream: bool,
    size: Option<u64>,
    position: Rc<Cell<u64>>,
}

enum Texts {
    Lines(Lines<Counted>),
    Table(Table<Counted>),
}

/// Texts that were read at once.
#[derive(Debug, Default)]
pub struct Window {
    /// The texts, of which some may be empty.
    pub texts: Vec<String>,
    /// The row of each, where they are of a table.
    pub rows: Vec<StringRecord>,
    /// The record of each, where they are of JSONL.
    pub records: Vec<Record>,
}

/// What a text is a part of.
enum Origin {
    Line,
    Row(StringRecord),
    Record(Record),
}

impl Origin {
    fn num_bytes(&self) -> usize {
        match self {
            Self::Line => 0,
            Self::Row(row) => row.as_slice().len(),
            Self::Record(record) => {
                record.iter().map(|(name, value)| name.len() + value.get().len()).sum()
            }
        }
    }
}

impl Source {
    /// Opens a file, or stdin for `-`. The text of a record or a row is in the field or column of this name.
    ///
    /// # Errors
    /// A file that can't be read.
    pub fn open(argument: &Path, form: TextForm, field: &str) -> Result<Self> {
        if argument == Path::new("-") {
            let source = Self::new("stdin", Box::new(io::stdin()), form, field);
            return Ok(Self { is_stream: true, ..source });
        }
        let wrong = |message| {
            DataError::single(argument, Problem::new(Place::File, String::new(), message))
        };
        if is_parquet(argument, &[]) {
            let message = "expected texts in lines or a table, found Parquet by its name; write its texts as CSV";
            return Err(wrong(message.to_owned()).into());
        }
        if is_gzip_by_name(argument) {
            let message = "expected text, found gzip by its name; decompress it with gunzip first";
            return Err(wrong(message.to_owned()).into());
        }
        let file = File::open(argument).map_err(|error| wrong(error.to_string()))?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(wrong("expected a file, found a directory".to_owned()).into());
        }
        let name = argument.display().to_string();
        // A pipe has no size.
        let size = Some(metadata.len()).filter(|_| metadata.is_file());
        Ok(Self { size, ..Self::new(name, Box::new(file), form, field) })
    }

    /// The texts of a reader, which messages call `name`.
    pub fn new(
        name: impl Into<String>,
        reader: Box<dyn Read>,
        form: TextForm,
        field: &str,
    ) -> Self {
        let position = Rc::new(Cell::new(0));
        let reader = Counted { reader, position: position.clone() };
        let reader = BufReader::with_capacity(BUFFER_BYTES, reader);
        let texts = match form {
            TextForm::Lines => Texts::Lines(Lines::new(reader, field.to_owned())),
            TextForm::Table { delimiter } => {
                Texts::Table(Table::new(reader, delimiter, field.to_owned()))
            }
        };
        Self { name: name.into(), texts, is_stream: false, size: None, position }
    }

    /// Its name in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its size in bytes, where it is a file.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Bytes that have been read.
    pub fn position(&self) -> u64 {
        self.position.get()
    }

    /// The names of the columns; `None` where the texts are of no table.
    ///
    /// # Errors
    /// A table without the column of the text.
    pub fn header(&mut self) -> Result<Option<StringRecord>> {
        let Texts::Table(table) = &mut self.texts else { return Ok(None) };
        let header = table.header().cloned();
        header.map(Some).map_err(|error| self.named(error))
    }

    /// The next texts; none at the end.
    ///
    /// # Errors
    /// A line or a row that is no text, by its number.
    pub fn window(&mut self) -> Result<Window> {
        let mut window = Window::default();
        let mut num_bytes = 0;
        while window.texts.len() < WINDOW && num_bytes < WINDOW_BYTES {
            let has_next = match &self.texts {
                Texts::Lines(lines) => lines.has_next(),
                Texts::Table(table) => table.has_next(),
            };
            if self.is_stream && !window.texts.is_empty() && !has_next {
                break;
            }
            let next = self.next_text().map_err(|error| self.named(error))?;
            let Some((place, text, origin)) = next else { break };
            check(place, &text).map_err(|problem| self.named(problem.into()))?;
            num_bytes += text.len() + origin.num_bytes();
            window.texts.push(text);
            match origin {
                Origin::Line => {}
                Origin::Row(row) => window.rows.push(row),
                Origin::Record(record) => window.records.push(record),
            }
        }
        Ok(window)
    }

    fn next_text(&mut self) -> Result<Option<(Place, String, Origin)>, ReadError> {
        Ok(match &mut self.texts {
            Texts::Lines(lines) => lines.next()?.map(|(place, (text, record))| {
                (place, text, record.map_or(Origin::Line, Origin::Record))
            }),
            Texts::Table(table) => {
                table.next()?.map(|(place, row)| (place, table.text_of(&row), Origin::Row(row)))
            }
        })
    }

    fn named(&self, error: ReadError) -> Error {
        match error {
            ReadError::Wrong(problem) => DataError::single(Path::new(&self.name), problem).into(),
            ReadError::Unreadable(error) => {
                Error::new(error).context(format!("{}: cannot be read", self.name))
            }
        }
    }
}

/// Refuses a text that a model cannot read whole.
fn check(place: Place, text: &str) -> Result<(), Problem> {
    if text.len() > MAX_TEXT_BYTES {
        let found = text.len();
        let problem = Problem::expected(
            place,
            "",
            format!("a text of at most {MAX_TEXT_BYTES} bytes"),
            found,
        );
        return Err(problem.with_fix("shorten it: a model reads no more than its beginning"));
    }
    Ok(())
}

/// Whether a file is compressed, as its name says.
pub fn is_gzip_by_name(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"))
}

/// A reader that counts its bytes.
struct Counted {
    reader: Box<dyn Read>,
    position: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.position.set(self.position.get() + read as u64);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::lines::MAX_LINE_BYTES;
    use super::*;

    fn windows(content: &[u8]) -> Result<Vec<Vec<String>>> {
        let reader = Box::new(Cursor::new(content.to_vec()));
        let mut source = Source::new("texts", reader, TextForm::Lines, "text");
        let mut windows = Vec::new();
        loop {
            let window = source.window()?.texts;
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
        let zeros = Box::new(io::repeat(b'0'));
        let mut source = Source::new("zeros", zeros, TextForm::Lines, "text");
        let error = source.window().unwrap_err().to_string();
        assert!(error.starts_with("zeros: line 1: expected at most 16 MiB in a line"), "{error}");
        let error = windows("\r".repeat(MAX_LINE_BYTES + 2).as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("texts: line 1: expected at most 16 MiB in a line"), "{error}");
        let padding = " ".repeat(MAX_LINE_BYTES - 17);
        let line = format!("{{\"text\": \"good\"{padding}}}\r\n");
        assert_eq!(windows(line.as_bytes()).unwrap(), [["good"]]);
    }
}
