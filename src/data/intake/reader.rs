//! Reads a [`Dataset`]: every record checked, labels and domains numbered.
//!
//! Knows the label set that was given; where it comes from, and how records are laid out and decoded, its neighbours know.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::path::Path;

use super::columns::other_fields;
use super::dataset::{Dataset, Review};
use super::encoding::{InvalidByte, Limit, decoded, decompressed};
use super::form::for_each_record;
use super::parquet::{self, is_parquet};
use super::problem::{DataError, Place, Problem, Problems, quote};
use super::record::{Fields, Record, subject};
use super::source::{Source, StoredFile};
use super::table::{delimiter_of, for_each_row};
use super::unknown_labels::UnknownLabels;
use crate::data::fields::{FieldNames, RecordRules};
use crate::data::ids::{ExampleId, LabelId};

impl Dataset {
    /// Reads and checks a file: Parquet by its first bytes or a name in `.parquet`; a table where its name ends in `.csv` or
    /// `.tsv`; else a JSON array, `{"data": [...]}` or JSONL, by its content; or gzip of one of the latter. Reads and checks as one
    /// the files of a directory, or those that a pattern matches.
    ///
    /// `labels` is the label set in id order. Where it is empty, the labels of the file are taken in byte order, or
    /// by value where all are integers; the integer 1 and the string "1" are the same label. Unknown fields are
    /// ignored; a field that occurs twice in a record is an error.
    ///
    /// # Errors
    /// Everything that is wrong with the files, in one [`DataError`].
    pub fn read(path: impl AsRef<Path>, labels: &[String]) -> Result<Self, DataError> {
        Self::read_as(path, RecordRules::default(), labels)
    }

    /// The same of a file whose records are others.
    ///
    /// # Errors
    /// As [`Dataset::read`].
    pub fn read_as(
        path: impl AsRef<Path>,
        rules: RecordRules,
        labels: &[String],
    ) -> Result<Self, DataError> {
        Self::of_source(&Source::read(path.as_ref())?, rules, labels, "")
    }

    /// Checks the content of a file that is already in memory; `path` only names it.
    ///
    /// # Errors
    /// As [`Dataset::read`].
    pub fn parse(path: &Path, bytes: &[u8], labels: &[String]) -> Result<Self, DataError> {
        let source = Source::of_bytes(path, bytes.to_vec());
        Self::of_source(&source, RecordRules::default(), labels, "")
    }

    /// The same of files; `advice` is what the user can do about a label outside the label set.
    pub(super) fn of_source(
        source: &Source,
        rules: RecordRules,
        labels: &[String],
        advice: &str,
    ) -> Result<Self, DataError> {
        let RecordRules { fields: names, empty_texts } = rules;
        let mut reader = Reader::new(&names, labels, advice);
        for (number, file) in source.files.iter().enumerate() {
            reader.file = number;
            reader.problems.file = source.are_several.then(|| file.path.clone());
            let file_domain = source.domain_of(file, &names);
            let fields = Fields { names, file_domain, empty_texts };
            reader.read(file, fields).unwrap_or_else(|problem| reader.problems.push(problem));
        }
        reader.problems.file = None;
        reader.finish(source)
    }
}

/// Reports the bytes that are not UTF-8 in the text before `end`, all of them in `place`.
fn report_invalid(
    invalid: &mut Peekable<impl Iterator<Item = InvalidByte>>,
    end: usize,
    place: Place,
    problems: &mut Problems,
) {
    while let Some(InvalidByte { offset, byte, .. }) =
        invalid.next_if(|invalid| invalid.text_offset < end)
    {
        problems.push_with(|| {
            let message = format!("invalid UTF-8 at byte offset {offset}: 0x{byte:02x}");
            Problem::new(place, "", message).with_fix("save the file as UTF-8")
        });
    }
}

/// Checks records one by one, with label and domain ids in order of appearance.
struct Reader<'l> {
    fields: &'l FieldNames<'l>,
    given_labels: &'l [String],
    /// What the user can do about a label that is not one of them.
    advice: &'l str,
    labels: Names,
    domains: Names,
    reviews: Vec<Review>,
    /// The number of the file that is read.
    file: usize,
    num_records: usize,
    num_empty: usize,
    /// Labels that are not among those given.
    unknown: UnknownLabels,
    problems: Problems,
}

impl<'l> Reader<'l> {
    /// A reader for the given label set, or for all labels where it is empty.
    fn new(fields: &'l FieldNames<'l>, given_labels: &'l [String], advice: &'l str) -> Self {
        let mut labels = Names::default();
        let mut problems = Problems::default();
        let setting = "setting labels";
        for label in given_labels {
            let num_before = labels.0.len();
            labels.id(label.clone());
            if label.trim().is_empty() {
                let expected = "label names";
                problems.push(Problem::expected(Place::File, setting, expected, "an empty name"));
            } else if labels.0.len() == num_before {
                let message = format!("the label {} is named twice", quote(label));
                problems.push(Problem::new(Place::File, setting, message));
            }
        }
        if let [only] = given_labels {
            let found = format!("only {}", quote(only));
            problems.push(Problem::expected(Place::File, setting, "at least two labels", found));
        }
        let (domains, reviews) = (Names::default(), Vec::new());
        Self {
            fields,
            given_labels,
            advice,
            labels,
            domains,
            reviews,
            file: 0,
            num_records: 0,
            num_empty: 0,
            unknown: UnknownLabels::default(),
            problems,
        }
    }

    /// Checks the records of a file.
    ///
    /// # Errors
    /// What keeps the file, or the rest of it, from being read.
    fn read(&mut self, file: &StoredFile, fields: Fields) -> Result<(), Problem> {
        let StoredFile { path, bytes } = file;
        let content = decompressed(bytes)?;
        if is_parquet(path, &content) {
            let limit = Limit::of_file(bytes.len(), "write its records as JSONL");
            return parquet::for_each_row(&content, fields, limit, |place, cells| {
                self.take(place, |problems| Record::checked(place, cells, fields, problems));
            });
        }
        let (text, invalid) = decoded(&content);
        let mut invalid = invalid.peekable();
        let outcome = match delimiter_of(path) {
            Some(delimiter) => for_each_row(&text, delimiter, fields, |place, end, row| {
                report_invalid(&mut invalid, end, place, &mut self.problems);
                self.take(place, |problems| match row {
                    Ok(cells) => Record::of_cells(place, cells, fields, problems),
                    Err(problem) => {
                        problems.push(problem);
                        None
                    }
                });
            }),
            None => {
                // The first record shows whether those of the file carry their domains.
                let mut known: Option<Fields> = None;
                let mut hopeless = None;
                let read = for_each_record(&text, &fields.names, |place, json| {
                    if known.is_none() {
                        hopeless = other_fields(place, json, fields);
                    }
                    if hopeless.is_some() {
                        known = Some(fields);
                        return;
                    }
                    let end = json.as_ptr() as usize - text.as_ptr() as usize + json.len();
                    report_invalid(&mut invalid, end, place, &mut self.problems);
                    let fields = *known.get_or_insert_with(|| match fields.file_domain {
                        Some(_) if Record::has_domain(json, &fields.names) => {
                            Fields { file_domain: None, ..fields }
                        }
                        _ => fields,
                    });
                    self.take(place, |problems| Record::read(place, json, fields, problems));
                });
                hopeless.map_or(read, Err)
            }
        };
        report_invalid(&mut invalid, text.len(), Place::File, &mut self.problems);
        outcome
    }

    /// Checks the record that `read` finds, and keeps it where it is right.
    fn take(&mut self, place: Place, read: impl FnOnce(&mut Problems) -> Option<Record>) {
        let position = self.num_records;
        self.num_records += 1;
        let Some(record) = read(&mut self.problems) else { return };
        if record.text.is_empty() {
            self.num_empty += 1;
            return;
        }
        if !self.given_labels.is_empty() && !self.labels.0.contains_key(&record.label) {
            return self.unknown.note(record.label, self.problems.file.as_ref(), place);
        }
        let (label, domain) = (self.labels.id(record.label), self.domains.id(record.domain));
        let Record { text, .. } = record;
        self.reviews.push(Review { text, label, domain, place, file: self.file, position });
    }

    /// The dataset, with label and domain ids in their final order, or everything that was wrong.
    fn finish(mut self, source: &Source) -> Result<Dataset, DataError> {
        let field = subject(self.fields.label);
        let unknown = std::mem::take(&mut self.unknown);
        unknown.report(self.given_labels, &field, self.advice, &mut self.problems);
        self.check_whole();
        self.problems.into_result(&source.path)?;
        let (domains, new_domain) = renumbered(self.domains.0.into_iter().collect());
        let mut labels: Vec<(String, LabelId)> = self.labels.0.into_iter().collect();
        let value = |name: &str| name.parse::<i128>().ok();
        if !self.given_labels.is_empty() {
            labels.sort_by_key(|(_, id)| *id);
        } else if labels.iter().all(|(name, _)| value(name).is_some()) {
            labels.sort_by_key(|(name, _)| value(name));
        }
        let (labels, new_label) = renumbered(labels);
        let mut reviews = self.reviews;
        for review in &mut reviews {
            review.label = new_label[review.label as usize];
            review.domain = new_domain[review.domain as usize];
        }
        Ok(Dataset {
            reviews,
            labels,
            label_sets_differ: false,
            domains,
            sha256: source.sha256(),
            path: source.path.clone(),
            files: source.files.iter().map(|file| file.path.clone()).collect(),
            num_empty: self.num_empty,
        })
    }

    /// Checks what the records are together.
    fn check_whole(&mut self) {
        if !self.problems.is_empty() {
            return;
        }
        let (about, expected, found) = if self.num_records == self.num_empty {
            (String::new(), "at least one record with a text", "none".to_owned())
        } else if let [label] = Vec::from_iter(self.labels.0.keys())[..] {
            (
                subject(self.fields.label),
                "at least two labels in all",
                format!("only {}", quote(label)),
            )
        } else if self.reviews.len() > ExampleId::MAX as usize {
            (String::new(), "fewer records than 2^32", self.reviews.len().to_string())
        } else {
            return;
        };
        self.problems.push(Problem::expected(Place::File, about, expected, found));
    }
}

/// Names with their ids in order of appearance; they iterate in byte order.
#[derive(Default)]
struct Names(BTreeMap<String, u32>);

impl Names {
    fn id(&mut self, name: String) -> u32 {
        let next = self.0.len() as u32;
        *self.0.entry(name).or_insert(next)
    }
}

/// The names in the order given, and the place there of every old id.
fn renumbered(names: Vec<(String, u32)>) -> (Vec<String>, Vec<u32>) {
    let mut new_ids = vec![0; names.len()];
    for (new_id, (_, old_id)) in (0..).zip(&names) {
        new_ids[*old_id as usize] = new_id;
    }
    (names.into_iter().map(|(name, _)| name).collect(), new_ids)
}

#[cfg(test)]
mod tests {
    use super::super::dataset::tests::parse;
    use super::*;

    const TWO: &str = concat!(
        r#"[{"text":"good","label":"pos","domain":"b & c"},"#,
        r#"{"text":"bad","label":"neg","domain":"a","id":[1,{"x":2}]}]"#
    );

    #[test]
    fn ids_follow_the_sorted_names() {
        let dataset = parse(TWO).unwrap();
        assert_eq!(dataset.labels, ["neg", "pos"]);
        assert_eq!(dataset.domains, ["a", "b & c"]);
        let place = Place::Record(1);
        let first =
            Review { text: "good".into(), label: 1, domain: 1, place, file: 0, position: 0 };
        assert_eq!(dataset.reviews[0], first);
        assert_eq!(dataset.domain_id("b & c"), Some(1));
        assert_eq!(dataset.domain_sizes(), [1, 1]);
    }

    #[test]
    fn integer_labels_sort_by_value() {
        let records = [10, 9, -1]
            .map(|label| format!(r#"{{"text":"t{label}","label":{label},"domain":"d"}}"#));
        assert_eq!(parse(records.join("\n")).unwrap().labels, ["-1", "9", "10"]);
    }

    #[test]
    fn a_given_label_set_keeps_its_order_and_need_not_be_used_up() {
        let labels = ["pos", "neg", "mixed"].map(String::from);
        let dataset = Dataset::parse(Path::new("d"), TWO.as_bytes(), &labels).unwrap();
        assert_eq!(dataset.labels, labels);
        assert_eq!((dataset.reviews[0].label, dataset.reviews[1].label), (0, 1));

        let labels = ["pos", "other"].map(String::from);
        let error = Dataset::parse(Path::new("d"), TWO.as_bytes(), &labels).unwrap_err();
        assert_eq!(
            error.to_string(),
            "d: record 2, field \"label\": expected one of \"pos\", \"other\", found \"neg\""
        );

        let labels = ["pos", "pos", " "].map(String::from);
        let error = Dataset::parse(Path::new("d"), TWO.as_bytes(), &labels).unwrap_err();
        assert_eq!(error.count, 3, "{error}");
    }

    #[test]
    fn invalid_utf8_is_found_with_its_record_beside_other_problems() {
        let mut bytes = br#"[{"text":"{[\"","label":"x","domain":"d"},{"text":"a"#.to_vec();
        let offset = bytes.len();
        bytes.extend(b"\xe9b\",\"label\":null,\"domain\":\"d\"}]");
        let error = parse(&bytes).unwrap_err();
        let expected = format!(
            "record 2: invalid UTF-8 at byte offset {offset}: 0xe9; save the file as UTF-8"
        );
        assert_eq!(error.problems[0].to_string(), expected);
        assert_eq!(error.count, 2, "{error}");

        let error = parse(b"{\"text\":\"a\"}\n{\"text\":\"\xff\"}").unwrap_err();
        let places = error.problems.iter().filter(|problem| problem.message.contains("UTF-8"));
        assert_eq!(places.map(|problem| problem.place).collect::<Vec<_>>(), [Place::Line(2)]);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Dataset::read("no/such/file.json", &[]).unwrap_err().to_string();
        assert!(
            error.starts_with("no/such/file.json: expected a readable file, found: no such file"),
            "{error}"
        );
    }

    #[test]
    fn the_hash_is_that_of_the_file() {
        // printf '[{"text":"a","label":0,"domain":"d"},{"text":"b","label":1,"domain":"d"}]' | sha256sum
        let content =
            r#"[{"text":"a","label":0,"domain":"d"},{"text":"b","label":1,"domain":"d"}]"#;
        assert_eq!(
            parse(content).unwrap().sha256,
            "6f10805c6783ec8696e0231a1051cd283353e07741d156022f792f1dc0e82c93"
        );
    }
}
