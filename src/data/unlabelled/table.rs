//! A text a row of a table; its other cells stay beside it.

use std::io::{BufReader, Read};

use csv::StringRecord;

use super::lines::MAX_LINE_BYTES;
use crate::data::intake::{Place, Problem, ReadError, Rows, quote, quote_list};

/// The rows of a reader.
pub(super) struct Table<R> {
    rows: Rows<BufReader<R>>,
    delimiter: u8,
    /// The names of the columns; absent before the first row has been read.
    header: Option<StringRecord>,
    /// The name of the column with the text, and its place.
    field: String,
    column: usize,
}

impl<R: Read> Table<R> {
    pub fn new(reader: BufReader<R>, delimiter: u8, field: String) -> Self {
        let rows = Rows::new(reader, delimiter, MAX_LINE_BYTES);
        Self { rows, delimiter, header: None, field, column: 0 }
    }

    /// Whether at least a line has arrived. The line break of the row before is none.
    pub fn has_next(&self) -> bool {
        let buffer = self.rows.reader().buffer();
        let mut rest = buffer.iter().skip_while(|byte| matches!(byte, b'\r' | b'\n'));
        rest.any(|byte| matches!(byte, b'\r' | b'\n'))
    }

    /// The names of the columns.
    pub fn header(&mut self) -> Result<&StringRecord, ReadError> {
        if self.header.is_none() {
            let header = match self.rows.next()? {
                None => StringRecord::new(),
                Some(mut row) => {
                    // Spreadsheets put a byte order mark in front of it.
                    if row.bytes.starts_with("\u{feff}".as_bytes()) {
                        row.bytes.drain(..3);
                    }
                    row.cells(self.delimiter)?
                }
            };
            self.column = self.column_of(&header)?;
            self.header = Some(header);
        }
        Ok(self.header.as_ref().expect("the header has been read"))
    }

    /// The next row with its place; `None` at the end.
    pub fn next(&mut self) -> Result<Option<(Place, StringRecord)>, ReadError> {
        let expected = self.header()?.len();
        let Some(row) = self.rows.next()? else { return Ok(None) };
        Ok(Some((Place::Line(row.line), row.cells_of(expected, self.delimiter)?)))
    }

    /// The text of a row.
    pub fn text_of(&self, row: &StringRecord) -> String {
        row[self.column].to_owned()
    }

    /// The column of the text.
    fn column_of(&self, header: &StringRecord) -> Result<usize, Problem> {
        let field = &self.field;
        let mut found = header.iter().enumerate().filter(|(_, name)| name.trim() == field);
        match (found.next(), found.next()) {
            (Some((column, _)), None) => Ok(column),
            (Some(_), Some(_)) => {
                let message = format!("two columns are called {}", quote(field));
                Err(Problem::new(Place::Line(1), "", message))
            }
            (None, _) => {
                let names: Vec<&str> = header.iter().collect();
                let (expected, found) =
                    (format!("a column {}", quote(field)), quote_list(names.into_iter()));
                let problem = Problem::expected(Place::Line(1), "", expected, found);
                Err(problem.with_fix("name the right one with --text-field"))
            }
        }
    }
}
