//! Labelled texts as they come from the files of a benchmark, and how many were left out.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::{self, BufWriter};
use std::path::Path;

use serde_json::json;

use crate::data::intake::MAX_TEXT_BYTES;
use crate::data::written::{Written, write_array, write_lines};
use crate::files::atomic::{AtomicFile, write_file};

/// The texts of a benchmark.
#[derive(Debug, Default)]
pub struct Gathered {
    texts: Vec<LabelledText>,
    /// Domain and text of each, with its label.
    known: HashMap<(String, String), String>,
    /// How many texts were left out, by the reason.
    left_out: BTreeMap<LeftOut, usize>,
    /// Texts without labels, by their domain.
    unlabelled: BTreeMap<String, Vec<String>>,
}

#[derive(Debug)]
struct LabelledText {
    text: String,
    label: String,
    domain: String,
}

/// Why a text was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LeftOut {
    /// There is nothing in it.
    Empty,
    /// It is longer than any text may be.
    TooLong,
    /// Its domain has it already.
    Repeated,
    /// Its domain has it already, with another label.
    Contradictory,
    /// It has three stars of five.
    Neutral,
    /// It belongs to no domain.
    OutOfScope,
}

impl Gathered {
    /// Takes a text, or counts why not.
    pub(super) fn take(&mut self, domain: &str, label: &str, text: &str) {
        let (text, domain) = (text.trim().to_owned(), domain.to_owned());
        if text.is_empty() {
            self.leave_out(LeftOut::Empty);
        } else if text.len() > MAX_TEXT_BYTES {
            self.leave_out(LeftOut::TooLong);
        } else {
            match self.known.entry((domain.clone(), text.clone())) {
                Entry::Occupied(known) if known.get() == label => self.leave_out(LeftOut::Repeated),
                Entry::Occupied(_) => self.leave_out(LeftOut::Contradictory),
                Entry::Vacant(new) => {
                    let label = label.to_owned();
                    new.insert(label.clone());
                    self.texts.push(LabelledText { text, label, domain });
                }
            }
        }
    }

    /// Counts a text that is left out.
    pub(super) fn leave_out(&mut self, reason: LeftOut) {
        *self.left_out.entry(reason).or_default() += 1;
    }

    /// Takes a text of a file without labels.
    pub(super) fn take_unlabelled(&mut self, domain: &str, text: &str) {
        let text = text.trim();
        if text.is_empty() || text.len() > MAX_TEXT_BYTES {
            self.leave_out(if text.is_empty() { LeftOut::Empty } else { LeftOut::TooLong });
        } else {
            self.unlabelled.entry(domain.to_owned()).or_default().push(text.to_owned());
        }
    }

    /// How many texts there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Writes them as a JSON array, or as JSONL where the file's name ends in `.jsonl`.
    ///
    /// # Errors
    /// Any error of the file system; the file then stays as it was.
    pub fn write(&self, path: &Path, file: AtomicFile) -> io::Result<()> {
        let records = self.texts.iter().map(|it| Written {
            text: &it.text,
            label: &it.label,
            domain: &it.domain,
        });
        let mut file = BufWriter::new(file);
        match path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("jsonl")) {
            true => write_lines(&mut file, records)?,
            false => write_array(&mut file, records)?,
        }
        file.into_inner().map_err(io::IntoInnerError::into_error)?.commit()
    }

    /// How many texts without labels there are.
    pub fn num_unlabelled(&self) -> usize {
        self.unlabelled.values().map(Vec::len).sum()
    }

    /// Writes the texts without labels as JSONL into a directory, a file a domain.
    ///
    /// # Errors
    /// Any error of the file system; each file is there whole or not at all.
    pub fn write_unlabelled(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        self.unlabelled.iter().try_for_each(|(domain, texts)| {
            let lines = texts.iter().map(|text| format!("{}\n", json!({ "text": text })));
            write_file(
                &directory.join(format!("{domain}.jsonl")),
                lines.collect::<String>().as_bytes(),
            )
        })
    }

    /// What there is, and what was left out, a line each.
    pub fn summary(&self) -> String {
        let distinct = |of: fn(&LabelledText) -> &str| {
            self.texts.iter().map(of).collect::<BTreeSet<_>>().len()
        };
        let (labels, domains) = (distinct(|it| &it.label), distinct(|it| &it.domain));
        let mut text = format!("{} examples, {labels} labels, {domains} domains\n", self.len());
        for (reason, count) in &self.left_out {
            text.push_str(&format!("left out: {count} {}\n", reason.in_words()));
        }
        text
    }
}

impl LeftOut {
    fn in_words(self) -> String {
        match self {
            Self::Empty => "empty".to_owned(),
            Self::TooLong => format!("longer than {MAX_TEXT_BYTES} bytes"),
            Self::Repeated => "that repeat a text of their domain".to_owned(),
            Self::Contradictory => {
                "whose text has another label before, in the same domain".to_owned()
            }
            Self::Neutral => "with three stars of five".to_owned(),
            Self::OutOfScope => "out of scope, which belong to no domain".to_owned(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::data::intake::DataError;

    /// What `read` gathers from a folder of these files, given its path. Messages name files within the folder.
    pub(in super::super) fn import<C: AsRef<[u8]>>(
        files: &[(&str, C)],
        read: impl FnOnce(&Path, &mut Gathered) -> Result<(), DataError>,
    ) -> Result<Gathered, String> {
        let root = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let mut gathered = Gathered::default();
        let folder = format!("{}/", root.path().display());
        let read = read(root.path(), &mut gathered);
        read.map(|()| gathered).map_err(|error| error.to_string().replace(&folder, ""))
    }

    /// Domain, label and text of each.
    pub(in super::super) fn texts(gathered: &Gathered) -> Vec<[&str; 3]> {
        let texts = gathered.texts.iter();
        texts.map(|it| [it.domain.as_str(), it.label.as_str(), it.text.as_str()]).collect()
    }

    #[test]
    fn a_domain_has_a_text_once_and_what_is_left_out_is_counted() {
        let mut gathered = Gathered::default();
        let long = "a".repeat(MAX_TEXT_BYTES + 1);
        for [domain, label, text] in [
            ["a", "x", " one\n"],
            ["a", "x", "one"],
            ["a", "y", "one"],
            ["b", "x", "one"],
            ["b", "x", " "],
            ["b", "x", &long],
        ] {
            gathered.take(domain, label, text);
        }
        gathered.take_unlabelled("b", "one");
        gathered.take_unlabelled("b", "");
        assert_eq!(gathered.num_unlabelled(), 1);
        assert_eq!(texts(&gathered), [["a", "x", "one"], ["b", "x", "one"]]);
        let expected = "2 examples, 1 labels, 2 domains\n\
                        left out: 2 empty\n\
                        left out: 1 longer than 1048576 bytes\n\
                        left out: 1 that repeat a text of their domain\n\
                        left out: 1 whose text has another label before, in the same domain\n";
        assert_eq!(gathered.summary(), expected);
    }
}
