//! The journal of a search: what was scored, a JSON object a line. A search that continues takes what is there.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
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
    /// A training has a result. One that failed has no line: the cause may be gone when the search continues.
    Trained {
        /// Its number.
        training: usize,
        /// Its settings over those that the search starts from.
        settings: BTreeMap<String, Value>,
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
    /// Opens the journal of a search with these inputs, or begins it. It belongs to this process until it is dropped.
    ///
    /// # Errors
    /// A journal that another process has, or of another search, by the first input that differs; a file that is no journal, which
    /// stays as it is; any error of the file system.
    pub fn open(path: &Path, inputs: BTreeMap<String, Value>) -> anyhow::Result<Self> {
        let failed = |error| naming(path, error);
        let mut options = OpenOptions::new();
        let file = options.create(true).read(true).append(true).open(path).map_err(failed)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let found =
                    "another search writes there; wait for it to end, or name another --run-dir";
                return Err(Invalid::at(path, found).into());
            }
            // Where the file system has no locks there is nobody to ask.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        let began = Line::Began { inputs };
        let first = text_of(&began)?;
        let mut content = Vec::new();
        (&file).read_to_end(&mut content).map_err(failed)?;
        // A kill may have cut the last line.
        let whole = content.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        let lines = parse(&content[..whole]).map_err(|found| Invalid::at(path, found))?;
        match (&began, lines.first()) {
            (Line::Began { inputs }, Some(Line::Began { inputs: before })) => {
                ensure_same(path, before, inputs)?;
            }
            (_, None) if first.starts_with(&content) => {}
            _ => {
                let found = "expected a first line with the inputs of a search, found another";
                return Err(Invalid::at(path, found).into());
            }
        }
        file.set_len(whole as u64).map_err(failed)?;
        let mut journal = Self { file, lines };
        if journal.lines.is_empty() {
            journal.append(began)?;
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
        self.file.write_all(&text_of(&line)?)?;
        self.file.sync_data()?;
        self.lines.push(line);
        Ok(())
    }
}

/// A line as it is written.
fn text_of(line: &Line) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    Ok(text)
}

/// The lines of a journal, each of which ends.
fn parse(content: &[u8]) -> Result<Vec<Line>, String> {
    let texts = content.split_inclusive(|&byte| byte == b'\n');
    let line = |(number, text): (usize, &[u8])| {
        serde_json::from_slice(text).map_err(|error| {
            format!("line {number}: expected a line of the journal of a search: {error}")
        })
    };
    (1..).zip(texts).map(line).collect()
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
    use std::fs;

    use super::*;
    use serde_json::json;

    fn inputs(seed: u64) -> BTreeMap<String, Value> {
        BTreeMap::from([("data".to_owned(), json!("hash")), ("seed".to_owned(), json!(seed))])
    }

    fn trained(training: usize) -> Line {
        let settings = BTreeMap::from([("outer.lr".to_owned(), json!(0.1))]);
        Line::Trained { training, settings }
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
        let error = Journal::open(&path, inputs(1)).err().unwrap().to_string();
        assert!(error.contains("another search writes there"), "{error}");
        drop(journal);
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

    #[test]
    fn what_is_no_journal_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        drop(Journal::open(&path, inputs(1)).unwrap());
        let began = fs::read(&path).unwrap();
        let damaged = [&began, &b"{\"event\":\"train\n"[..], &began].concat();
        for (content, expected) in [
            (&b"{\"entry\":\"my diary\"}\n"[..], "line 1: expected a line of the journal"),
            (b"dear diary", "expected a first line with the inputs of a search"),
            (&damaged, "line 2: expected a line of the journal"),
        ] {
            fs::write(&path, content).unwrap();
            let error = Journal::open(&path, inputs(1)).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
            assert_eq!(fs::read(&path).unwrap(), content);
        }
        // A search that was killed in its first line.
        fs::write(&path, &began[..began.len() / 2]).unwrap();
        drop(Journal::open(&path, inputs(1)).unwrap());
        assert_eq!(fs::read(&path).unwrap(), began);
    }
}
