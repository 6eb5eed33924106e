//! A text a row of a table; its other cells stay beside it.

use std::io::{BufReader, Read};

use csv::{ReaderBuilder, StringRecord};

use super::lines::MAX_LINE_BYTES;
use crate::data::intake::{Place, Problem, ReadError, Row, Rows, quote, quote_list};

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

    /// Whether at least a line has arrived.
    pub fn has_next(&self) -> bool {
        self.rows.reader().buffer().contains(&b'\n')
    }

    /// The names of the columns.
    pub fn header(&mut self) -> Result<&StringRecord, ReadError> {
        if self.header.is_none() {
            let header = self.next_row()?.map_or_else(StringRecord::new, |(_, cells)| cells);
            self.column = self.column_of(&header)?;
            self.header = Some(header);
        }
        Ok(self.header.as_ref().expect("the header has been read"))
    }

    /// The next row with its place; `None` at the end.
    pub fn next(&mut self) -> Result<Option<(Place, StringRecord)>, ReadError> {
        let expected = self.header()?.len();
        let Some((place, cells)) = self.next_row()? else { return Ok(None) };
        if cells.len() != expected {
            let expected = format!("{expected} cells, as the header has");
            let problem = Problem::expected(place, "", expected, cells.len());
            let fix = "put a cell with a delimiter or a quote in double quotes";
            return Err(problem.with_fix(fix).into());
        }
        Ok(Some((place, cells)))
    }

    /// The text of a row.
    pub fn text_of(&self, row: &StringRecord) -> String {
        row[self.column].to_owned()
    }

    fn next_row(&mut self) -> Result<Option<(Place, StringRecord)>, ReadError> {
        let Some(Row { line, mut bytes }) = self.rows.next()? else { return Ok(None) };
        // Spreadsheets put a byte order mark in front of the header.
        if self.header.is_none() && bytes.starts_with("\u{feff}".as_bytes()) {
            bytes.drain(..3);
        }
        let place = Place::Line(line);
        let mut reader = ReaderBuilder::new()
            .delimiter(self.delimiter)
            .has_headers(false)
            .from_reader(bytes.as_slice());
        let mut cells = StringRecord::new();
        match reader.read_record(&mut cells) {
            Ok(_) => Ok(Some((place, cells))),
            Err(_) => Err(Problem::expected(place, "", "UTF-8", "other bytes").into()),
        }
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
