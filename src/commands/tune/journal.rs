//! The journal of a search: what was scored, a JSON object a line. A search that continues takes what is there.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::checks::Invalid;
use crate::files::atomic::naming;

/// One line of a journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Line {
    /// The first: all that decides what follows.
    Began {
        /// The settings that the search starts from, its data and its model.
        inputs: BTreeMap<String, Value>,
    },
    /// A training ended.
    Trained {
        /// Its number.
        training: usize,
        /// Its settings over those that the search starts from.
        settings: BTreeMap<String, Value>,
        /// Whether it has a result.
        succeeded: bool,
    },
    /// An adaptation was scored on the meta-dev domains.
    Scored {
        /// The number of the training.
        training: usize,
        /// The number of the way to adapt.
        adaptation: usize,
        /// Its settings over those of the training.
        settings: BTreeMap<String, Value>,
        /// Draws for each domain and support size.
        draws: u64,
        /// Mean log loss in nats; `None` where it was not finite.
        log_loss: Option<f64>,
        /// Mean macro F1.
        macro_f1: f64,
    },
}

/// An open journal with the lines so far.
pub struct Journal {
    file: File,
    lines: Vec<Line>,
}

impl Journal {
    /// Opens the journal of a search with these inputs, or begins it.
    ///
    /// # Errors
    /// The journal of another search, by the first input that differs; any error of the file system.
    pub fn open(path: &Path, inputs: BTreeMap<String, Value>) -> anyhow::Result<Self> {
        let failed = |error| naming(path, error);
        let mut options = OpenOptions::new();
        let file = options.create(true).read(true).append(true).open(path).map_err(failed)?;
        let (lines, length) = read(&file).map_err(failed)?;
        // A kill may have cut the last line.
        file.set_len(length).map_err(failed)?;
        let mut journal = Self { file, lines };
        match journal.lines.first() {
            None => journal.append(Line::Began { inputs })?,
            Some(Line::Began { inputs: before }) => ensure_same(path, before, &inputs)?,
            Some(_) => {
                let found =
                    "expected a first line with the inputs of a search, found another".to_owned();
                return Err(Invalid::at(path, found).into());
            }
        }
        Ok(journal)
    }

    /// The lines so far.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Adds a line, durably.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn append(&mut self, line: Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        self.file.write_all(&text)?;
        self.file.sync_data()?;
        self.lines.push(line);
        Ok(())
    }
}

/// The whole lines of a file, and their length in bytes.
fn read(file: &File) -> io::Result<(Vec<Line>, u64)> {
    let (mut lines, mut length, mut text) = (Vec::new(), 0, Vec::new());
    let mut reader = BufReader::new(file);
    loop {
        text.clear();
        let count = reader.read_until(b'\n', &mut text)?;
        let line = text.strip_suffix(b"\n").and_then(|line| serde_json::from_slice(line).ok());
        let Some(line) = line else { return Ok((lines, length)) };
        lines.push(line);
        length += count as u64;
    }
}

fn ensure_same(
    path: &Path,
    before: &BTreeMap<String, Value>,
    now: &BTreeMap<String, Value>,
) -> Result<(), Invalid> {
    let mut keys = before.keys().chain(now.keys());
    let Some(key) = keys.find(|key| before.get(*key) != now.get(*key)) else { return Ok(()) };
    let show = |value: Option<&Value>| value.map_or("nothing".to_owned(), ToString::to_string);
    let [was, is] = [before, now].map(|inputs| show(inputs.get(key)));
    Err(Invalid::at(
        path,
        format!("expected a search with {key} {is}, found one with {was}; name another --run-dir"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn inputs(seed: u64) -> BTreeMap<String, Value> {
        BTreeMap::from([("data".to_owned(), json!("hash")), ("seed".to_owned(), json!(seed))])
    }

    fn trained(training: usize) -> Line {
        let settings = BTreeMap::from([("outer.lr".to_owned(), json!(0.1))]);
        Line::Trained { training, settings, succeeded: true }
    }

    #[test]
    fn a_journal_goes_on_after_its_last_whole_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let mut journal = Journal::open(&path, inputs(1)).unwrap();
        journal.append(trained(0)).unwrap();
        drop(journal);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(br#"{"event":"trained","trai"#).unwrap();
        let mut journal = Journal::open(&path, inputs(1)).unwrap();
        journal.append(trained(1)).unwrap();
        let expected = [Line::Began { inputs: inputs(1) }, trained(0), trained(1)];
        assert_eq!(journal.lines(), expected);
        assert_eq!(Journal::open(&path, inputs(1)).unwrap().lines(), expected);
    }

    #[test]
    fn the_journal_of_another_search_is_refused_by_the_first_difference() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        drop(Journal::open(&path, inputs(1)).unwrap());
        let error = Journal::open(&path, inputs(2)).err().unwrap().to_string();
        assert!(error.contains("expected a search with seed 2, found one with 1"), "{error}");
    }
}
