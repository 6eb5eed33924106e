//! The labelled file as checked reviews with label and domain ids.
//!
//! Knows nothing of splits and tokens. A [`Dataset`] that was read is right: nothing behind it checks again.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::check::{Checker, check_label_set};
use super::problem::{DataError, Place, Problem, Problems};
use super::{DomainId, DomainPool, ExampleId, LabelId, decode, record};

/// One labelled text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// The text as it stands in the file.
    pub text: String,
    /// Its label.
    pub label: LabelId,
    /// Its domain.
    pub domain: DomainId,
    /// Where it stands in the file.
    pub place: Place,
    /// How many records of the file stand before it, whether they are in the dataset or were left out.
    pub position: usize,
}

/// All reviews of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// The reviews in file order; an [`ExampleId`] is a position here.
    pub reviews: Vec<Review>,
    /// The label names; a [`LabelId`] is a position here.
    pub labels: Vec<String>,
    /// The domain names in byte order; a [`DomainId`] is a position here.
    pub domains: Vec<String>,
    /// SHA-256 of the file as it is stored, in hexadecimal.
    pub sha256: String,
    /// The file.
    pub path: PathBuf,
}

impl Dataset {
    /// Reads and checks a file: a JSON array, `{"data": [...]}`, JSONL, or gzip of one of these, told by content.
    ///
    /// `labels` is the label set in id order. Where it is empty, the labels of the file are taken in byte order, or
    /// by value where all are integers; the integer 1 and the string "1" are the same label. Unknown fields are
    /// ignored; a field that stands twice in a record is an error.
    ///
    /// # Errors
    /// Everything that is wrong with the file, in one [`DataError`].
    pub fn read(path: impl AsRef<Path>, labels: &[String]) -> Result<Self, DataError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|error| {
            let message =
                format!("expected a readable file, found: {}", error.to_string().to_lowercase());
            DataError::single(path, Problem::new(Place::File, "", message))
        })?;
        Self::parse(path, &bytes, labels)
    }

    /// Checks the content of a file that is already in memory; `path` only names it.
    ///
    /// # Errors
    /// As [`Dataset::read`].
    pub fn parse(path: &Path, bytes: &[u8], labels: &[String]) -> Result<Self, DataError> {
        let mut problems = Problems::default();
        check_label_set(labels, &mut problems);
        let text = decode::decode(bytes, &mut problems);
        // An undecodable gzip file is reported already: its emptiness is no second problem.
        let mut checker = Checker::new(labels);
        if problems.is_empty() || !text.is_empty() {
            record::for_each_record(&text, &mut problems, |problems, place, record| {
                checker.take(problems, place, record);
            });
        }
        checker.finish(path, bytes, problems)
    }

    /// Groups of reviews with exactly the same text: the ids of a group ascend, the groups go by their first id.
    pub fn duplicates(&self) -> Vec<Vec<ExampleId>> {
        let mut groups: Vec<Vec<ExampleId>> = Vec::new();
        let mut first_of: HashMap<&str, ExampleId> = HashMap::with_capacity(self.reviews.len());
        let mut group_of: HashMap<ExampleId, usize> = HashMap::new();
        for (id, review) in (0..).zip(&self.reviews) {
            let first = *first_of.entry(&review.text).or_insert(id);
            if first != id {
                let group = *group_of.entry(first).or_insert_with(|| {
                    groups.push(vec![first]);
                    groups.len() - 1
                });
                groups[group].push(id);
            }
        }
        groups.sort_unstable_by_key(|group| group[0]);
        groups
    }

    /// The same dataset without some of its reviews; labels and domains keep their ids, the reviews get new ones.
    pub fn without(&self, dropped: &BTreeSet<ExampleId>) -> Self {
        let kept = (0..).zip(&self.reviews).filter(|(id, _)| !dropped.contains(id));
        Self {
            reviews: kept.map(|(_, review)| review.clone()).collect(),
            labels: self.labels.clone(),
            domains: self.domains.clone(),
            sha256: self.sha256.clone(),
            path: self.path.clone(),
        }
    }

    /// The same dataset without some of its domains: those left and their reviews get new ids, labels keep theirs.
    pub fn without_domains(&self, dropped: &BTreeSet<DomainId>) -> Self {
        let mut domains = Vec::new();
        let new_ids: Vec<Option<DomainId>> = (0..)
            .zip(&self.domains)
            .map(|(id, name)| {
                (!dropped.contains(&id)).then(|| {
                    domains.push(name.clone());
                    (domains.len() - 1) as DomainId
                })
            })
            .collect();
        let kept = self.reviews.iter().filter_map(|review| {
            let domain = new_ids[review.domain as usize]?;
            Some(Review { domain, ..review.clone() })
        });
        let reviews = kept.collect();
        let (labels, sha256, path) = (self.labels.clone(), self.sha256.clone(), self.path.clone());
        Self { reviews, labels, domains, sha256, path }
    }

    /// The examples of each of `domains`, as pools to draw episodes from.
    pub fn pools(&self, domains: &[DomainId]) -> Vec<DomainPool> {
        let mut examples_by_domain = vec![Vec::new(); self.domains.len()];
        for (id, review) in (0..).zip(&self.reviews) {
            examples_by_domain[review.domain as usize].push((id, review.label));
        }
        let pool = |&domain: &DomainId| {
            let examples = examples_by_domain[domain as usize].iter().copied();
            DomainPool::new(domain, self.domain_name(domain), examples)
        };
        domains.iter().map(pool).collect()
    }

    /// The id of the domain called `name`.
    pub fn domain_id(&self, name: &str) -> Option<DomainId> {
        self.domains
            .binary_search_by(|domain| domain.as_str().cmp(name))
            .ok()
            .map(|position| position as DomainId)
    }

    /// The name of a domain.
    pub fn domain_name(&self, domain: DomainId) -> &str {
        &self.domains[domain as usize]
    }

    /// The name of a label.
    pub fn label_name(&self, label: LabelId) -> &str {
        &self.labels[label as usize]
    }

    /// The number of reviews of every domain.
    pub fn domain_sizes(&self) -> Vec<usize> {
        let mut sizes = vec![0; self.domains.len()];
        for review in &self.reviews {
            sizes[review.domain as usize] += 1;
        }
        sizes
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::MAX_TEXT_BYTES;
    use super::*;

    const TWO: &str = r#"[{"text":"good","label":"pos","domain":"b & c"},{"text":"bad","label":"neg","domain":"a","id":[1,{"x":2}]}]"#;

    fn parse(content: impl AsRef<[u8]>) -> Result<Dataset, DataError> {
        Dataset::parse(Path::new("d.json"), content.as_ref(), &[])
    }

    fn problem(content: impl AsRef<[u8]>) -> String {
        let error = parse(content).expect_err("the content is wrong");
        assert_eq!(error.count, 1, "{error}");
        error.to_string()
    }

    fn gzip(content: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn ids_follow_the_sorted_names() {
        let dataset = parse(TWO).unwrap();
        assert_eq!(dataset.labels, ["neg", "pos"]);
        assert_eq!(dataset.domains, ["a", "b & c"]);
        let place = Place::Record(1);
        let first = Review { text: "good".into(), label: 1, domain: 1, place, position: 0 };
        assert_eq!(dataset.reviews[0], first);
        assert_eq!(dataset.domain_id("b & c"), Some(1));
        assert_eq!(dataset.domain_sizes(), [1, 1]);
    }

    #[test]
    fn every_form_reads_the_same() {
        let lines = TWO.trim_matches(['[', ']']).replace("},{\"text\"", "}\r\n\n{\"text\"");
        let wrapped = format!("{{\"version\": 1, \"data\": {TWO}, \"more\": [{{}}]}}");
        let bom = format!("\u{feff}{TWO}");
        let expected = parse(TWO).unwrap();
        for content in [TWO, &lines, &wrapped, &bom, &TWO.replace("},", "},\n")] {
            for bytes in [content.as_bytes().to_vec(), gzip(content)] {
                let dataset = parse(&bytes).unwrap_or_else(|error| panic!("{content}: {error}"));
                assert_eq!(dataset.labels, expected.labels);
                assert_eq!(dataset.domains, expected.domains);
                let fields = |dataset: &Dataset| -> Vec<(String, u32, u32, usize)> {
                    let fields = |r: &Review| (r.text.clone(), r.label, r.domain, r.position);
                    dataset.reviews.iter().map(fields).collect()
                };
                assert_eq!(fields(&dataset), fields(&expected), "{content}");
            }
        }
        assert_eq!(parse(&lines).unwrap().reviews[1].place, Place::Line(3));
    }

    #[test]
    fn a_jsonl_record_may_have_a_data_field() {
        let lines = "{\"text\":\"a\",\"label\":0,\"domain\":\"d\",\"data\":[1]}\n{\"text\":\"b\",\"label\":1,\"domain\":\"d\"}";
        assert_eq!(parse(lines).unwrap().reviews.len(), 2);
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
    fn each_wrong_field_is_named_with_its_record() {
        let content = r#"[{"text":"a","label":"x","domain":"d"},
            {"label":1.0,"domain":" "}, 7, {"text":["a"],"label":true,"domain":null},
            {"text":"","label":"","domain":3},{"text":"a","text":"b","label":"y","domain":"d"}]"#;
        let error = parse(content).unwrap_err();
        let lines: Vec<String> = error.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                r#"record 2, field "text": expected a string that is not empty, found no such field"#,
                r#"record 2, field "label": expected a string or an integer, found the number 1.0"#,
                r#"record 2, field "domain": expected a string that is not empty, found empty text"#,
                r#"record 3: expected a record {"text", "label", "domain"}, found the number 7"#,
                r#"record 4, field "text": expected a string that is not empty, found an array"#,
                r#"record 4, field "label": expected a string or an integer, found true"#,
                r#"record 4, field "domain": expected a string that is not empty, found null"#,
                r#"record 5, field "text": expected a string that is not empty, found empty text"#,
                r#"record 5, field "label": expected a string or an integer, found empty text"#,
                r#"record 5, field "domain": expected a string that is not empty, found the number 3"#,
                r#"record 6, field "text": stands more than once in the record"#,
            ]
        );
    }

    #[test]
    fn texts_and_names_of_any_length_would_exhaust_the_memory() {
        let record = |text: usize, label: usize, domain: usize| {
            let [text, label, domain] = [text, label, domain].map(|length| "a".repeat(length));
            format!(r#"{{"text":"{text}","label":"{label}","domain":"{domain}"}}"#)
        };
        let longest = record(MAX_TEXT_BYTES, 1_000, 1_000);
        parse(format!("{longest}\n{}", record(1, 1, 1))).unwrap();
        let longer = record(MAX_TEXT_BYTES + 1, 1_001, 1_001);
        let error = parse(format!("{longest}\n{longer}")).unwrap_err();
        let lines: Vec<String> = error.problems.iter().map(ToString::to_string).collect();
        let told = [
            r#"line 2, field "text": expected at most 1048576 bytes, found 1048577; shorten it"#,
            r#"line 2, field "label": expected at most 1000 bytes, found 1001; shorten it"#,
            r#"line 2, field "domain": expected at most 1000 bytes, found 1001; shorten it"#,
        ];
        assert_eq!(lines, told);
    }

    #[test]
    fn what_is_no_array_of_records_is_told_in_one_line() {
        let one = r#"[{"text":"a","label":"x","domain":"d"}]"#;
        for (content, expected) in [
            ("", "d.json: expected an array of records, found an empty file"),
            (" \n", "d.json: expected an array of records, found an empty file"),
            ("[]", "d.json: expected at least one record, found an empty array"),
            ("{\"data\":[]}", "d.json: expected at least one record, found an empty array"),
            ("3", "d.json: expected an array of records, found the number 3"),
            ("\"text\"", "d.json: expected an array of records, found a string"),
            ("text", "d.json: not JSON at line 1, column 2: expected ident"),
            ("[{\"text\": }]", "d.json: not JSON at line 1, column 11: expected value"),
            (
                "{\"data\": {}}",
                "d.json: not an array of records at line 1, column 9: invalid type: map, expected an array of records",
            ),
            (one, "d.json: field \"label\": expected at least two labels in all, found only \"x\""),
            (
                "{\n\"a\": 1\n}",
                "d.json: expected an array of records, found an object without the field \"data\"; put the records in [...], in {\"data\": [...]}, or one a line",
            ),
        ] {
            assert_eq!(problem(content), expected);
        }
        let cut = format!("{},\n{{\"te", one.trim_end_matches(']'));
        assert_eq!(
            problem(cut),
            "d.json: after record 1: not JSON at line 2, column 4: EOF while parsing a string"
        );
        let line = "{\"text\":\"a\",\"label\":1,\"domain\":\"d\"}\n{\"text\":\n";
        assert_eq!(
            problem(line),
            "d.json: line 2: not JSON at line 2, column 8: EOF while parsing a value"
        );
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
        assert_eq!(error.problems[0].place, Place::Line(2));
    }

    #[test]
    fn broken_or_hostile_files_are_errors_and_not_panics() {
        let mut cut = gzip(TWO);
        cut.truncate(cut.len() / 2);
        assert!(problem(cut).contains("not a whole gzip file"));
        let deep = "[".repeat(100_000);
        for content in [
            deep.clone(),
            "{\"data\":".repeat(100_000),
            "{\"a\":".repeat(100_000),
            format!("[{{\"text\":{deep}"),
            format!("[{{\"text\":{deep}{}}}]", "]".repeat(100_000)),
            format!("[{{\"x\":{deep}{}}}]", "]".repeat(100_000)),
            format!("{{\"text\":{deep}"),
            "[{\"text\":\"\\ud800\"}]".into(),
            "[1e999]".into(),
            "\0".repeat(100),
            "]".into(),
        ] {
            assert!(parse(&content).is_err(), "{}", &content[..content.len().min(40)]);
        }
        for length in 0..TWO.len() {
            assert!(parse(&TWO[..length]).is_err(), "{length}");
        }
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

    #[test]
    fn duplicates_are_grouped_in_file_order() {
        let records: Vec<String> = (0..)
            .zip(["a", "b", "c", "b", "a", "a", "A"])
            .map(|(id, text)| format!(r#"{{"text":"{text}","label":{},"domain":"d{id}"}}"#, id % 2))
            .collect();
        let dataset = parse(records.join("\n")).unwrap();
        assert_eq!(dataset.duplicates(), [vec![0, 4, 5], vec![1, 3]]);
        let rest = dataset.without(&BTreeSet::from([0, 3]));
        assert_eq!(rest.reviews.len(), 5);
        assert_eq!(rest.reviews[0].place, Place::Line(2));
        let positions: Vec<usize> = rest.reviews.iter().map(|review| review.position).collect();
        assert_eq!(positions, [1, 2, 4, 5, 6]);
    }

    #[test]
    fn pools_hold_the_examples_of_their_domains_by_label() {
        let records = [("x", "dvd"), ("y", "books"), ("y", "dvd"), ("x", "cars"), ("y", "dvd")]
            .map(|(label, domain)| {
                format!(r#"{{"text":"t","label":"{label}","domain":"{domain}"}}"#)
            });
        let pools = parse(records.join("\n")).unwrap().pools(&[2, 0]);
        let found: Vec<_> = pools
            .iter()
            .map(|p| (p.domain, p.name.as_str(), p.examples_by_label.clone()))
            .collect();
        assert_eq!(
            found,
            [(2, "dvd", vec![vec![0], vec![2, 4]]), (0, "books", vec![vec![], vec![1]])]
        );
    }
}
