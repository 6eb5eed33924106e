//! Where the rows of a table end, in bytes as they arrive: a line each, or several where a cell in double quotes has line breaks.
//!
//! Parsers take quotes that do not fit in ways of their own; here such a row is refused.

use std::io::{self, BufRead};

use csv::{ReaderBuilder, StringRecord};

use super::problem::{Place, Problem};

/// The rows of a table, one after another. Blank lines are none.
pub(in crate::data) struct Rows<R> {
    reader: R,
    delimiter: u8,
    most_bytes: usize,
    /// The line that the next byte is in, counted from 1.
    line: usize,
    /// The place of the next byte.
    position: usize,
}

/// A row as it is written, without its line break.
pub(in crate::data) struct Row {
    /// The line that it begins in.
    pub line: usize,
    /// The place after it in the table.
    pub end: usize,
    pub bytes: Vec<u8>,
}

impl Row {
    /// Its cells, without the double quotes around them.
    ///
    /// # Errors
    /// Bytes that are not UTF-8.
    pub fn cells(&self, delimiter: u8) -> Result<StringRecord, Problem> {
        let mut reader = ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .from_reader(self.bytes.as_slice());
        let mut cells = StringRecord::new();
        match reader.read_record(&mut cells) {
            Ok(_) => Ok(cells),
            Err(_) => Err(Problem::expected(Place::Line(self.line), "", "UTF-8", "other bytes")),
        }
    }

    /// The same of a row after a header of `expected` cells.
    ///
    /// # Errors
    /// Another number of cells, and bytes that are not UTF-8.
    pub fn cells_of(&self, expected: usize, delimiter: u8) -> Result<StringRecord, Problem> {
        let cells = self.cells(delimiter)?;
        if cells.len() != expected {
            let expected = format!("{expected} cells, as the header has");
            return Err(Problem::expected(Place::Line(self.line), "", expected, cells.len())
                .with_fix("put a cell with a delimiter or a quote in double quotes"));
        }
        Ok(cells)
    }
}

/// Why there is no next row or line.
pub(in crate::data) enum ReadError {
    Unreadable(io::Error),
    Wrong(Problem),
}

impl From<Problem> for ReadError {
    fn from(problem: Problem) -> Self {
        Self::Wrong(problem)
    }
}

/// Where a scan is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before the first byte of a cell.
    Start,
    /// In a cell without quotes around it.
    Plain,
    /// In a cell in double quotes.
    Quoted,
    /// After a double quote there, which ends the cell or is the first half of one that belongs to it.
    Quote,
}

impl<R: BufRead> Rows<R> {
    /// The rows of a reader, of at most `most_bytes` each.
    pub fn new(reader: R, delimiter: u8, most_bytes: usize) -> Self {
        Self { reader, delimiter, most_bytes, line: 1, position: 0 }
    }

    /// What the rows are read from.
    pub fn reader(&self) -> &R {
        &self.reader
    }

    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// Quotes that do not fit, a row that is too long, and any error of the reader.
    pub fn next(&mut self) -> Result<Option<Row>, ReadError> {
        let (mut row, mut at) = (Row { line: self.line, end: 0, bytes: Vec::new() }, At::Start);
        loop {
            let buffer = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other.map_err(ReadError::Unreadable)?,
            };
            if buffer.is_empty() {
                let is_open = at == At::Quoted;
                let problem = ("a double quote that ends the cell", "the end of the file");
                return match (is_open, row.bytes.is_empty()) {
                    (true, _) => Err(wrong(row.line, problem)),
                    (false, true) => Ok(None),
                    (false, false) => Ok(Some(row)),
                };
            }
            row.end = self.position;
            let mut taken = 0;
            let mut is_whole = false;
            for &byte in buffer {
                at = match (at, byte) {
                    (At::Start | At::Plain | At::Quote, b'\r' | b'\n') => {
                        is_whole = true;
                        break;
                    }
                    (At::Quoted, b'"') => At::Quote,
                    (At::Quoted, _) => At::Quoted,
                    (_, byte) if byte == self.delimiter => At::Start,
                    (At::Start | At::Quote, b'"') => At::Quoted,
                    (At::Quote, _) => {
                        let expected = "the end of the cell after its closing double quote";
                        return Err(wrong(row.line, (expected, "more text")));
                    }
                    (At::Start | At::Plain, _) => At::Plain,
                };
                taken += 1;
            }
            row.bytes.extend_from_slice(&buffer[..taken]);
            row.end += taken;
            self.line += count_lines(&buffer[..taken]);
            if row.bytes.len() > self.most_bytes {
                let most = format!("a row of at most {} MiB", self.most_bytes >> 20);
                return Err(ReadError::Wrong(Problem::expected(
                    Place::Line(row.line),
                    "",
                    most,
                    "more",
                )));
            }
            if is_whole {
                self.line += count_lines(&buffer[taken..=taken]);
                taken += 1;
            }
            self.reader.consume(taken);
            self.position += taken;
            if is_whole && row.bytes.is_empty() {
                row.line = self.line;
            } else if is_whole {
                return Ok(Some(row));
            }
        }
    }
}

fn count_lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

fn wrong(line: usize, (expected, found): (&str, &str)) -> ReadError {
    let problem = Problem::expected(Place::Line(line), "", expected, found);
    ReadError::Wrong(problem.with_fix("double the quotes inside a cell in double quotes"))
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Cursor};

    use super::*;

    /// The rows of `text` with their lines, read through a buffer of so many bytes; the last may be what is wrong.
    fn rows(text: &str, capacity: usize) -> Vec<(usize, String)> {
        let reader = BufReader::with_capacity(capacity, Cursor::new(text.as_bytes().to_vec()));
        let mut rows = Rows::new(reader, b',', 1 << 20);
        let mut found = Vec::new();
        loop {
            match rows.next() {
                Ok(Some(row)) => found.push((row.line, String::from_utf8(row.bytes).unwrap())),
                Ok(None) => return found,
                Err(ReadError::Unreadable(error)) => panic!("{error}"),
                Err(ReadError::Wrong(problem)) => {
                    found.push((0, problem.to_string()));
                    return found;
                }
            }
        }
    }

    #[test]
    fn a_row_is_a_line_or_several_however_it_arrives() {
        for capacity in [1, 2, 3, 7, 100] {
            let found = rows("a,b\n\r\n\"x\ny, \"\"z\"\"\",1\r\nc\" d,2\r3,\"\"", capacity);
            let expected =
                [(1, "a,b"), (3, "\"x\ny, \"\"z\"\"\",1"), (5, "c\" d,2"), (5, "3,\"\"")];
            assert_eq!(found, expected.map(|(line, row)| (line, row.to_owned())), "{capacity}");
        }
        assert_eq!(rows("", 8), []);
        assert_eq!(rows("\n\n", 8), []);
    }

    #[test]
    fn quotes_that_do_not_fit_and_endless_rows_are_refused() {
        let last = |text: &str| rows(text, 8).pop().unwrap().1;
        assert!(
            last("a\n\"b,1\nc").starts_with("line 2: expected a double quote that ends the cell")
        );
        assert!(last("a\n\"b\" c,1\n").starts_with("line 2: expected the end of the cell after"));
        let long = format!("a\n{}\n", "b".repeat((1 << 20) + 1));
        assert_eq!(last(&long), "line 2: expected a row of at most 1 MiB, found more");
    }
}
