//! FDU-MTL (Liu et al. 2017, "Adversarial Multi-task Learning for Text Classification"): two files a domain, with a label and a
//! text a line.
//!
//! `DOMAIN.task.train` and `DOMAIN.task.test`: `1` or `0`, a tab, the text. `DOMAIN.task.unlabel`: the text, after
//! a tab where there is one.

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
        let Some((domain, part)) = name.rsplit_once(".task.") else { continue };
        if part == "unlabel" {
            for (_, line) in lines(&content(&file)?) {
                let line = decoded(line);
                let text = line.split_once('\t').map_or(line.as_str(), |(_, text)| text);
                gathered.take_unlabelled(domain, text);
            }
        } else if parts.contains(&part) {
            num_files += 1;
            read_file(&file, domain, gathered)?;
        }
    }
    if num_files == 0 {
        let expected = format!("files such as books.task.{}", parts[0]);
        return Err(wrong(path, Place::File, expected, "none"));
    }
    Ok(())
}

fn read_file(file: &Path, domain: &str, gathered: &mut Gathered) -> Result<(), DataError> {
    for (number, line) in lines(&content(file)?) {
        let (place, line) = (Place::Line(number), decoded(line));
        let Some((label, text)) = line.split_once('\t') else {
            return Err(wrong(file, place, "a label, a tab and a text", quote(&line)));
        };
        let label = sentiment(label, "1", "0");
        let label = label.map_err(|(expected, found)| wrong(file, place, expected, found))?;
        gathered.take(domain, label, text);
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
    fn files_are_domains_and_parts() {
        let files: [(&str, &[u8]); 5] = [
            ("MR.task.train", b"1\tgood caf\xe9\r\n0\tbad\n\n"),
            ("MR.task.test", b"0\tworse\ttab\n1\t \n"),
            ("MR.task.unlabel", b"one\ntwo\n"),
            ("baby.task.train", b"1\tsoft"),
            ("readme.txt", b"?"),
        ];
        let gathered = import(&files, &["train", "test"]).unwrap();
        let expected = [
            ["MR", "negative", "worse\ttab"],
            ["MR", "positive", "good caf\u{e9}"],
            ["MR", "negative", "bad"],
            ["baby", "positive", "soft"],
        ];
        assert_eq!(texts(&gathered), expected);
        assert!(gathered.summary().ends_with("left out: 1 empty\n"), "{}", gathered.summary());
        assert_eq!(gathered.num_unlabelled(), 2);
        assert_eq!(texts(&import(&files, &["test"]).unwrap()), expected[..1]);
    }

    #[test]
    fn another_layout_is_named_with_its_line() {
        for (line, expected) in [
            (
                &b"good"[..],
                "a.task.test: line 2: expected a label, a tab and a text, found \"good\"",
            ),
            (b"2\tgood", "a.task.test: line 2: expected the label 1 or 0, found \"2\""),
        ] {
            let content = [b"1\tfine\n", line].concat();
            let error = import(&[("a.task.test", &content)], &["train", "test"]).unwrap_err();
            assert_eq!(error, expected);
        }
        let error = import(&[("a.task.test", b"1\tfine\n")], &["train"]).unwrap_err();
        assert!(error.ends_with("expected files such as books.task.train, found none"), "{error}");
    }
}
