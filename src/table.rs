//! Text tables: cells under each other in aligned columns.
//!
//! Knows nothing of what the cells say.

use std::fmt;

use unicode_width::UnicodeWidthStr;

/// A header and rows below it; displayed with two spaces between columns, and a line feed after every line.
pub struct Table {
    sides: Vec<Align>,
    rows: Vec<Vec<String>>,
}

/// The side of a column that its cells are at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// For words.
    Left,
    /// For numbers.
    Right,
}

impl Table {
    /// A table of these columns, with no row yet.
    pub fn new<S: Into<String>>(columns: impl IntoIterator<Item = (Align, S)>) -> Self {
        let columns = columns.into_iter().map(|(side, title)| (side, title.into()));
        let (sides, header) = columns.unzip();
        Self { sides, rows: vec![header] }
    }

    /// Adds a row of a cell for each column.
    pub fn push(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| self.rows.iter().map(|row| row[column].width()).max();
        let widths: Vec<usize> = (0..self.sides.len()).filter_map(width).collect();
        for row in &self.rows {
            let cells = row.iter().zip(&self.sides).zip(&widths);
            let cells = cells.map(|((cell, side), &width)| {
                // Chinese letters take two places, marks none.
                let space = " ".repeat(width - cell.width());
                match side {
                    Align::Left => format!("{cell}{space}"),
                    Align::Right => format!("{space}{cell}"),
                }
            });
            writeln!(formatter, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// A name without control characters, in at most `most` characters.
pub fn shown(name: &str, most: usize) -> String {
    let name = name.escape_debug().to_string();
    match name.char_indices().nth(most) {
        Some(_) => name.chars().take(most - 1).chain(['\u{2026}']).collect(),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_cell() {
        let mut table = Table::new([(Align::Left, "name"), (Align::Right, "n")]);
        table.push(vec!["b\u{e9}b\u{e9}".to_owned(), "10".to_owned()]);
        table.push(vec!["a".to_owned(), String::new()]);
        assert_eq!(table.to_string(), "name   n\nb\u{e9}b\u{e9}  10\na\n");
        table.push(vec!["\u{5ba2}\u{670d}".to_owned(), "1".to_owned()]);
        table.push(vec!["\u{5ba2}e\u{301}".to_owned(), "1".to_owned()]);
        let expected =
            "name   n\nb\u{e9}b\u{e9}  10\na\n\u{5ba2}\u{670d}   1\n\u{5ba2}e\u{301}    1\n";
        assert_eq!(table.to_string(), expected);
    }
}
