//! Amazon Review Sentiment Classification (Yu et al. 2018, "Diverse Few-Shot Text Classification with Multiple Metrics"): three
//! tasks a product category, each with three files.
//!
//! `CATEGORY.tN.PART`, where a rating counts as positive from a threshold N of 2, 4 or 5 stars, and a part is train, dev or test:
//! the text, a tab, `1` or `-1`. As one text has other labels in other tasks, `CATEGORY.tN` is the domain.

use std::path::Path;

use super::gathered::Gathered;
use super::layout::{content, entries, lines, name_of, sentiment, wrong};
use super::old_text::decoded;
use crate::data::intake::problem::quote;
use crate::data::intake::{DataError, Place};

/// Reads the files of these parts.
pub(super) fn read(path: &Path, parts: &[&str], gathered: &mut Gathered) -> Result<(), DataError> {
    let mut num_files = 0;
    for file in entries(path)? {
        let name = name_of(&file);
        let Some((task, part)) = name.rsplit_once('.') else { continue };
        let is_task = [".t2", ".t4", ".t5"].iter().any(|ending| task.ends_with(ending));
        if is_task && parts.contains(&part) {
            num_files += 1;
            read_file(&file, task, gathered)?;
        }
    }
    if num_files == 0 {
        let expected = format!("files such as books.t2.{}", parts[0]);
        return Err(wrong(path, Place::File, expected, "none"));
    }
    Ok(())
}

fn read_file(file: &Path, task: &str, gathered: &mut Gathered) -> Result<(), DataError> {
    for (number, line) in lines(&content(file)?) {
        let (place, line) = (Place::Line(number), decoded(line));
        let Some((text, label)) = line.rsplit_once('\t') else {
            return Err(wrong(file, place, "a text, a tab and a label", quote(&line)));
        };
        let label = sentiment(label, "1", "-1");
        let label = label.map_err(|(expected, found)| wrong(file, place, expected, found))?;
        gathered.take(task, label, text);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::gathered::tests::{self, texts};
    use super::*;

    fn import(files: &[(&str, &[u8])], parts: &[&str]) -> Result<Gathered, String> {
        tests::import(files, |root, gathered| read(root, parts, gathered))
    }

    #[test]
    fn every_threshold_is_a_domain() {
        let files: [(&str, &[u8]); 5] = [
            ("books.t2.train", b"good\t1\nfair\t1\n"),
            ("books.t4.train", b"good\t1\nfair\t-1\n\t1\n"),
            ("books.t4.dev", b"poor\t-1\r\n"),
            ("books.t3.train", b"?"),
            ("workspace.filtered.list", b"books\n"),
        ];
        let gathered = import(&files, &["train", "dev", "test"]).unwrap();
        let expected = [
            ["books.t2", "positive", "good"],
            ["books.t2", "positive", "fair"],
            ["books.t4", "negative", "poor"],
            ["books.t4", "positive", "good"],
            ["books.t4", "negative", "fair"],
        ];
        assert_eq!(texts(&gathered), expected);
        assert!(gathered.summary().ends_with("left out: 1 empty\n"), "{}", gathered.summary());
        assert_eq!(texts(&import(&files, &["dev"]).unwrap()), expected[2..3]);
    }

    #[test]
    fn another_layout_is_named_with_its_line() {
        for (line, expected) in [
            (&b"good"[..], "a.t2.dev: line 1: expected a text, a tab and a label, found \"good\""),
            (b"good\t0", "a.t2.dev: line 1: expected the label 1 or -1, found \"0\""),
        ] {
            assert_eq!(import(&[("a.t2.dev", line)], &["dev"]).unwrap_err(), expected);
        }
        let error = import(&[("a.t2.dev", b"x\t1")], &["test"]).unwrap_err();
        assert!(error.ends_with("expected files such as books.t2.test, found none"), "{error}");
    }
}
