//! Labels of a file that are not in the label set that was given: each is reported once, however many records have it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::problem::{Place, Problem, Problems, quote, quote_list};

/// What has been found so far.
#[derive(Default)]
pub(super) struct UnknownLabels(BTreeMap<String, Found>);

/// The first record with a label, and how many have it.
struct Found {
    /// Where there are several.
    file: Option<PathBuf>,
    place: Place,
    count: usize,
}

impl UnknownLabels {
    /// Notes the label of a record.
    pub fn note(&mut self, label: String, file: Option<&PathBuf>, place: Place) {
        let first = || Found { file: file.cloned(), place, count: 0 };
        self.0.entry(label).or_insert_with(first).count += 1;
    }

    /// Reports all of them, by their first records. `subject` is the field, `advice` what the user can do.
    pub fn report(self, known: &[String], subject: &str, advice: &str, problems: &mut Problems) {
        let expected = || format!("one of {}", quote_list(known.iter().map(String::as_str)));
        let mut labels: Vec<(String, Found)> = self.0.into_iter().collect();
        labels.sort_by_key(|(_, found)| (found.file.clone(), found.place.number()));
        for (label, Found { file, place, count }) in labels {
            let label = quote(&label);
            let found = match count {
                1 => label,
                _ => format!("{label}, which {count} records have"),
            };
            let problem = Problem::expected(place, subject, expected(), found).with_fix(advice);
            problems.push(problem.in_file(file.as_deref()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::dataset::Dataset;

    #[test]
    fn a_label_that_many_records_have_is_reported_once() {
        let record = |number: usize, label: &str| {
            format!(r#"{{"text": "t{number}", "label": "{label}", "domain": "d"}}"#)
        };
        let labels = ["a", "c", "b", "c", "c"];
        let lines: Vec<String> =
            labels.iter().enumerate().map(|(number, label)| record(number, label)).collect();
        let given = ["a", "z"].map(String::from);
        let error = Dataset::parse(Path::new("d"), lines.join("\n").as_bytes(), &given);
        let found = error.unwrap_err().to_string();
        assert_eq!(
            found.lines().skip(1).collect::<Vec<_>>(),
            [
                r#"  d: line 2, field "label": expected one of "a", "z", found "c", which 3 records have"#,
                r#"  d: line 3, field "label": expected one of "a", "z", found "b""#,
            ]
        );
    }
}
