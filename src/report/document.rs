//! A report as a value: sections of figures and tables.
//!
//! Knows no format: HTML, Markdown and JSON show the same cells.

use serde::{Serialize, Serializer};

use crate::eval::Estimate;

/// A report.
#[derive(Debug)]
pub struct Document {
    /// Its title.
    pub title: String,
    /// Its sections, none of them empty.
    pub sections: Vec<Section>,
}

/// One question and its answer.
#[derive(Debug, Default, Serialize)]
pub struct Section {
    /// Its name in links and in JSON.
    pub id: String,
    /// Its title.
    pub title: String,
    /// How to read it.
    #[serde(skip)]
    pub text: String,
    /// What the colours of its figures mean: a series and its name.
    #[serde(skip)]
    pub legend: Vec<(usize, String)>,
    /// What the colours of its bars mean: a kind and its name.
    #[serde(skip)]
    pub kinds: Vec<(usize, String)>,
    /// Its figures.
    #[serde(skip)]
    pub figures: Vec<Figure>,
    /// Its numbers.
    pub tables: Vec<DataTable>,
}

/// A drawing with what it shows.
#[derive(Debug)]
pub struct Figure {
    /// Its title.
    pub caption: String,
    /// An `<svg>` element.
    pub svg: String,
}

/// Numbers in rows and columns.
#[derive(Debug, Default, Serialize)]
pub struct DataTable {
    /// What they are; empty where the section says it.
    pub title: String,
    /// The names of the columns.
    pub columns: Vec<String>,
    /// A cell for each column.
    pub rows: Vec<Vec<Cell>>,
}

/// A cell of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing was measured.
    Absent,
    /// Words.
    Text(String),
    /// A whole number.
    Count(u64),
    /// A number, shown with so many digits after the point.
    Number(f64, usize),
    /// Numbers along a curve.
    Curve(Vec<f64>),
    /// A mean with its interval.
    Score(Estimate),
    /// A difference with its interval.
    Difference(Estimate),
}

impl Section {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.figures.is_empty() && self.tables.iter().all(|table| table.rows.is_empty())
    }
}

impl DataTable {
    /// A table without a row.
    pub fn new<S: Into<String>>(
        title: impl Into<String>,
        columns: impl IntoIterator<Item = S>,
    ) -> Self {
        let columns = columns.into_iter().map(Into::into).collect();
        Self { title: title.into(), columns, rows: Vec::new() }
    }

    /// The same without the columns in which nothing was measured.
    pub fn without_empty_columns(mut self) -> Self {
        for column in (0..self.columns.len()).rev() {
            if self.rows.iter().all(|row| row[column] == Cell::Absent) {
                self.columns.remove(column);
                self.rows.iter_mut().for_each(|row| drop(row.remove(column)));
            }
        }
        self
    }

    /// Whether a column has numbers, which are read from the right.
    pub fn is_numeric(&self, column: usize) -> bool {
        self.rows.iter().all(|row| !matches!(row[column], Cell::Text(_) | Cell::Curve(_)))
    }
}

impl Cell {
    /// Some words.
    pub fn text(words: impl Into<String>) -> Self {
        Self::Text(words.into())
    }

    /// A number with three digits after the point; nothing where it is absent or not finite.
    pub fn optional(number: Option<f64>) -> Self {
        number.filter(|it| it.is_finite()).map_or(Self::Absent, |it| Self::Number(it, 3))
    }

    /// The cell as people read it.
    pub fn shown(&self) -> String {
        let interval = |estimate: &Estimate, show: fn(f64) -> String| {
            let ends = estimate.low.zip(estimate.high);
            let ends = ends.map(|(low, high)| format!(" [{}, {}]", show(low), show(high)));
            format!("{}{}", show(estimate.mean), ends.unwrap_or_default())
        };
        match self {
            Self::Absent => String::new(),
            Self::Text(words) => words.clone(),
            Self::Count(count) => count.to_string(),
            Self::Number(number, digits) => fixed(*number, *digits),
            Self::Curve(numbers) => {
                numbers.iter().map(|it| fixed(*it, 3)).collect::<Vec<_>>().join(" ")
            }
            Self::Score(estimate) => interval(estimate, |it| fixed(it, 3)),
            Self::Difference(estimate) => interval(estimate, signed),
        }
    }
}

impl Serialize for Cell {
    /// All digits; `{mean, low, high}` for an estimate.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Absent => serializer.serialize_none(),
            Self::Text(words) => serializer.serialize_str(words),
            Self::Count(count) => serializer.serialize_u64(*count),
            Self::Number(number, _) => serializer.serialize_f64(*number),
            Self::Curve(numbers) => numbers.serialize(serializer),
            Self::Score(estimate) | Self::Difference(estimate) => estimate.serialize(serializer),
        }
    }
}

/// A number with so many digits after the point, and no minus in front of zeros.
pub fn fixed(number: f64, digits: usize) -> String {
    let shown = format!("{number:.digits$}");
    match shown.strip_prefix('-') {
        Some(rest) if rest.chars().all(|c| c == '0' || c == '.') => rest.to_owned(),
        _ => shown,
    }
}

/// A difference, with its sign.
pub fn signed(number: f64) -> String {
    let shown = fixed(number, 3);
    if shown.starts_with('-') || shown.chars().all(|c| c == '0' || c == '.') {
        shown
    } else {
        format!("+{shown}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_shown_with_their_interval_and_differences_with_their_sign() {
        let estimate = Estimate { mean: 0.0126, low: Some(-0.0001), high: Some(0.02) };
        assert_eq!(Cell::Score(estimate).shown(), "0.013 [0.000, 0.020]");
        assert_eq!(Cell::Difference(estimate).shown(), "+0.013 [0.000, +0.020]");
        let single = Estimate { mean: -0.5, low: None, high: None };
        assert_eq!(Cell::Difference(single).shown(), "-0.500");
    }

    #[test]
    fn columns_without_a_measurement_are_left_out() {
        let mut table = DataTable::new("", ["a", "b", "c"]);
        table.rows.push(vec![Cell::Count(1), Cell::Absent, Cell::text("x")]);
        let table = table.without_empty_columns();
        assert_eq!(table.columns, ["a", "c"]);
        assert_eq!(table.rows, [[Cell::Count(1), Cell::text("x")]]);
    }
}
