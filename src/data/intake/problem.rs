//! What is wrong with a data file: where, what was expected, what was found, how to mend it.
//!
//! Knows no format and no rule; the modules that check name the problems.

use std::fmt;
use std::path::{Path, PathBuf};

/// How many problems are kept and shown; all are counted.
const MAX_SHOWN: usize = 20;

/// Everything that is wrong with one file, or with several as one dataset.
///
/// Displays as one line for one problem, otherwise as a head line with the count and a line per shown problem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.render())]
pub struct DataError {
    /// The file, directory or pattern that was checked.
    pub path: PathBuf,
    /// The first problems in file order, at most 20.
    pub problems: Vec<Problem>,
    /// How many problems there are in all.
    pub count: usize,
}

impl DataError {
    /// An error of a single problem.
    pub fn single(path: &Path, problem: Problem) -> Self {
        Self { path: path.to_owned(), problems: vec![problem], count: 1 }
    }

    fn render(&self) -> String {
        let located = |problem: &Problem| {
            let file = problem.file.as_ref().unwrap_or(&self.path);
            format!("{}: {problem}", file.display())
        };
        if let [problem] = self.problems.as_slice() {
            return located(problem);
        }
        let mut text = format!("{}: {} problems", self.path.display(), self.count);
        for problem in &self.problems {
            text.push_str(&format!("\n  {}", located(problem)));
        }
        if self.count > self.problems.len() {
            text.push_str(&format!("\n  ... and {} more", self.count - self.problems.len()));
        }
        text
    }
}

/// The place of a problem in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The file as a whole.
    File,
    /// The n-th record of an array or a Parquet file, counted from 1.
    Record(usize),
    /// A line of a JSONL file or a table, counted from 1.
    Line(usize),
}

impl Place {
    /// The number of its record or line; 0 for the file.
    pub(crate) fn number(self) -> usize {
        match self {
            Self::File => 0,
            Self::Record(number) | Self::Line(number) => number,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => write!(formatter, "file"),
            Self::Record(number) => write!(formatter, "record {number}"),
            Self::Line(number) => write!(formatter, "line {number}"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its file, where the data has several.
    pub file: Option<PathBuf>,
    /// Its place.
    pub place: Place,
    /// The field, domain or setting it is about, such as `field "label"`; may be empty.
    pub subject: String,
    /// What was expected and what was found.
    pub message: String,
    /// What the user can do; empty where the message says it all.
    pub fix: String,
}

impl Problem {
    /// A problem whose message says it all.
    pub fn new(place: Place, subject: impl Into<String>, message: impl Into<String>) -> Self {
        let (subject, message) = (subject.into(), message.into());
        Self { file: None, place, subject, message, fix: String::new() }
    }

    /// A problem with the message "expected ..., found ...".
    pub fn expected(
        place: Place,
        subject: impl Into<String>,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Self {
        Self::new(place, subject, format!("expected {expected}, found {found}"))
    }

    /// Adds its file, where the data has several.
    pub fn in_file(mut self, file: Option<&Path>) -> Self {
        self.file = file.map(Path::to_owned);
        self
    }

    /// Adds what the user can do about it.
    pub fn with_fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = fix.into();
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.place, self.subject.as_str()) {
            (Place::File, "") => {}
            (Place::File, subject) => write!(formatter, "{subject}: ")?,
            (place, "") => write!(formatter, "{place}: ")?,
            (place, subject) => write!(formatter, "{place}, {subject}: ")?,
        }
        write!(formatter, "{}", self.message)?;
        if !self.fix.is_empty() {
            write!(formatter, "; {}", self.fix)?;
        }
        Ok(())
    }
}

/// Gathers problems: keeps the first ones, counts all.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    shown: Vec<Problem>,
    count: usize,
    /// The file that problems are in from now on, where the data has several.
    pub(crate) file: Option<PathBuf>,
}

impl Problems {
    pub(crate) fn push(&mut self, problem: Problem) {
        self.push_with(|| problem);
    }

    /// Adds a problem that is put into words only where it is shown: a file may have one a byte.
    pub(crate) fn push_with(&mut self, problem: impl FnOnce() -> Problem) {
        self.count += 1;
        if self.shown.len() < MAX_SHOWN {
            let mut problem = problem();
            problem.file = problem.file.or_else(|| self.file.clone());
            self.shown.push(problem);
        }
    }

    /// Whether nothing was wrong so far.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// `Ok` where nothing was wrong with `path`.
    pub(crate) fn into_result(self, path: &Path) -> Result<(), DataError> {
        if self.count == 0 {
            return Ok(());
        }
        Err(DataError { path: path.to_owned(), problems: self.shown, count: self.count })
    }
}

/// A short quoted form of text from a file, safe to print on a terminal.
pub(crate) fn quote(text: &str) -> String {
    const MAX_CHARS: usize = 40;
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}...", in_quotes(&text[..end])),
        None => in_quotes(text),
    }
}

/// Text in quotes with control characters, and those that turn the direction of writing, as escapes. Unlike `{:?}` it leaves marks
/// that combine with letters as they are: without them nobody can read Hindi or Thai.
fn in_quotes(text: &str) -> String {
    let mut quoted = String::from('"');
    for char in text.chars() {
        match char {
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                quoted.extend(char.escape_unicode());
            }
            '"' | '\\' => quoted.extend(char.escape_debug()),
            _ if char.is_control() => quoted.extend(char.escape_debug()),
            _ => quoted.push(char),
        }
    }
    quoted + "\""
}

/// Names in quotes with commas between, cut after the first twelve.
pub(crate) fn quote_list<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    const MAX_NAMES: usize = 12;
    let more = names.len().saturating_sub(MAX_NAMES);
    let mut text = names.take(MAX_NAMES).map(quote).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_problem_takes_one_line() {
        let problem = Problem::expected(
            Place::Record(17),
            "field \"label\"",
            "a string or an integer",
            "null",
        );
        let error = DataError::single(Path::new("a.json"), problem.with_fix("label it"));
        assert_eq!(
            error.to_string(),
            "a.json: record 17, field \"label\": expected a string or an integer, found null; label it"
        );
    }

    #[test]
    fn twenty_problems_are_shown_and_all_are_counted() {
        let mut problems = Problems::default();
        for line in 1..=25 {
            problems.push(Problem::new(Place::Line(line), "", "bad"));
        }
        let text = problems.into_result(Path::new("a.jsonl")).unwrap_err().to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 22, "{text}");
        assert_eq!(lines[0], "a.jsonl: 25 problems");
        assert_eq!(lines[20], "  a.jsonl: line 20: bad");
        assert_eq!(lines[21], "  ... and 5 more");
    }

    #[test]
    fn quoted_text_is_short_and_has_no_control_characters() {
        assert_eq!(quote("a\u{1b}[31m\n"), r#""a\u{1b}[31m\n""#);
        assert_eq!(quote(&"\u{e9}".repeat(50)), format!("\"{}\"...", "\u{e9}".repeat(40)));
        assert_eq!(quote("a \"b\"\\ \u{202e}c"), r#""a \"b\"\\ \u{202e}c""#);
        // A word of Hindi.
        let namaste = "\u{928}\u{92e}\u{938}\u{94d}\u{924}\u{947}";
        assert_eq!(quote(namaste), format!("\"{namaste}\""));
    }
}
