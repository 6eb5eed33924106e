//! The Multi-Domain Sentiment Dataset (Blitzer et al. 2007): a folder a domain, with reviews that look like XML.
//!
//! `positive.review` and `negative.review` are read; where a folder has neither, `all.review` by its ratings; `unlabeled.review`
//! without labels. The elements are not escaped, so that no XML parser takes them: only the lines `<review>`, `</review>` and
//! the names of the elements count.

use std::path::{Path, PathBuf};

use super::gathered::{Gathered, LeftOut};
use super::layout::{content, entries, name_of, wrong};
use super::old_text::{decoded, unescaped};
use crate::data::intake::problem::quote;
use crate::data::intake::{DataError, Place};

/// Reads the folders of all domains in `path`, or the folder of one.
pub(super) fn read(path: &Path, gathered: &mut Gathered) -> Result<(), DataError> {
    let has_reviews = |folder: &PathBuf| {
        let files = ["positive.review", "negative.review", "all.review"];
        files.iter().any(|file| folder.join(file).is_file())
    };
    let mut folders = entries(path)?;
    folders.retain(has_reviews);
    if folders.is_empty() && has_reviews(&path.to_owned()) {
        folders.push(path.canonicalize().unwrap_or_else(|_| path.to_owned()));
    }
    if folders.is_empty() {
        let expected = "a folder a domain, with positive.review and negative.review, or all.review";
        return Err(wrong(path, Place::File, expected, "none"));
    }
    folders.iter().try_for_each(|folder| read_domain(folder, gathered))
}

fn read_domain(folder: &Path, gathered: &mut Gathered) -> Result<(), DataError> {
    let domain = name_of(folder);
    let labelled = ["positive", "negative"];
    let file_of = |label: &str| folder.join(format!("{label}.review"));
    if labelled.iter().any(|label| file_of(label).exists()) {
        for label in labelled {
            for_each_review(&file_of(label), |review| {
                gathered.take(&domain, label, &review.element("review_text")?);
                Ok(())
            })?;
        }
    } else {
        for_each_review(&file_of("all"), |review| {
            let text = review.element("review_text")?;
            match review.stars()? {
                stars if stars > 3.0 => gathered.take(&domain, "positive", &text),
                stars if stars < 3.0 => gathered.take(&domain, "negative", &text),
                _ => gathered.leave_out(LeftOut::Neutral),
            }
            Ok(())
        })?;
    }
    let unlabelled = file_of("unlabeled");
    if unlabelled.exists() {
        for_each_review(&unlabelled, |review| {
            gathered.take_unlabelled(&domain, &review.element("review_text")?);
            Ok(())
        })?;
    }
    Ok(())
}

/// A review, from the line after `<review>` to the one before `</review>`.
struct Review<'a> {
    file: &'a Path,
    /// The line of `<review>`.
    line: usize,
    bytes: &'a [u8],
}

impl Review<'_> {
    /// The text of the element of this name.
    fn element(&self, name: &str) -> Result<String, DataError> {
        let find = |bytes: &[u8], tag: &str| {
            bytes.windows(tag.len()).position(|window| window == tag.as_bytes())
        };
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let expected = format!("{open} and {close} in the review that begins here");
        let missing = || wrong(self.file, Place::Line(self.line), &expected, "none");
        let start = find(self.bytes, &open).ok_or_else(missing)? + open.len();
        let length = find(&self.bytes[start..], &close).ok_or_else(missing)?;
        Ok(unescaped(&decoded(&self.bytes[start..start + length])))
    }

    /// The rating, of five stars.
    fn stars(&self) -> Result<f64, DataError> {
        let text = self.element("rating")?;
        let stars = text.trim().parse::<f64>().ok().filter(|stars| (1.0..=5.0).contains(stars));
        let expected = "a <rating> from 1.0 to 5.0 in the review that begins here";
        stars.ok_or_else(|| wrong(self.file, Place::Line(self.line), expected, quote(text.trim())))
    }
}

/// Gives the reviews of a file to `take`.
fn for_each_review(
    file: &Path,
    mut take: impl FnMut(Review) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let bytes = content(file)?;
    // The number of the line of `<review>`, and where the next line begins.
    let mut open: Option<(usize, usize)> = None;
    let mut at = 0;
    for (number, line) in (1..).zip(bytes.split_inclusive(|&byte| byte == b'\n')) {
        let (start, word) = (at, line.trim_ascii());
        at += line.len();
        let found = || quote(&decoded(word));
        match (open, word) {
            (None, b"<review>") => open = Some((number, at)),
            (None, b"") => {}
            (None, _) => return Err(wrong(file, Place::Line(number), "<review>", found())),
            (Some((line, begin)), b"</review>") => {
                take(Review { file, line, bytes: &bytes[begin..start] })?;
                open = None;
            }
            (Some(_), b"<review>") => {
                return Err(wrong(file, Place::Line(number), "</review> before it", found()));
            }
            (Some(_), _) => {}
        }
    }
    match open {
        Some((line, _)) => {
            let expected = "</review> after the review that begins here";
            Err(wrong(file, Place::Line(line), expected, "the end of the file"))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::gathered::tests::{self, texts};
    use super::*;

    fn review(rating: &str, text: &str) -> String {
        format!(
            "<review>\n<unique_id>\n0:a_b\n</unique_id>\n<asin>\n0\n</asin>\n<product_name>\nA <b> & C\n</product_name>\n\
             <rating>\n{rating}\n</rating>\n<title>\nt\n</title>\n<review_text>\n{text}\n\n</review_text>\n</review>\n"
        )
    }

    fn import(files: &[(&str, impl AsRef<[u8]>)], folder: &str) -> Result<Gathered, String> {
        tests::import(files, |root, gathered| read(&root.join(folder), gathered))
    }

    #[test]
    fn files_are_labels_and_folders_are_domains() {
        let mut latin = review("5.0", "very & <b>good</b> &quot;caf").into_bytes();
        let at = latin.windows(3).position(|it| it == b"caf").unwrap() + 3;
        latin.insert(at, 0xe9);
        let files = [
            ("dvd/positive.review", latin),
            ("dvd/negative.review", (review("1.0", "bad") + &review("2.0", " ")).into_bytes()),
            ("books/positive.review", review("4.0", "read it\ntwice").into_bytes()),
            ("books/negative.review", b"\n".into()),
            ("books/unlabeled.review", (review("4.0", "?") + &review("1.0", "?")).into_bytes()),
            ("summary.txt", b"?".into()),
            ("stopwords/a.txt", b"?".into()),
        ];
        let gathered = import(&files, "").unwrap();
        let expected = [
            ["books", "positive", "read it\ntwice"],
            ["dvd", "positive", "very & <b>good</b> \"caf\u{e9}"],
            ["dvd", "negative", "bad"],
        ];
        assert_eq!(texts(&gathered), expected);
        assert!(gathered.summary().ends_with("left out: 1 empty\n"), "{}", gathered.summary());
        assert_eq!(gathered.num_unlabelled(), 2);
        // The folder of one domain.
        assert_eq!(texts(&import(&files, "books").unwrap()).len(), 1);
    }

    #[test]
    fn ratings_are_labels_where_all_reviews_are_in_one_file() {
        let reviews = [("5.0", "a"), ("4.0", "b"), ("3.0", "c"), ("2.0", "d"), ("1.0", "e")];
        let reviews = reviews.map(|(rating, text)| review(rating, text)).concat();
        let gathered = import(&[("toys/all.review", reviews)], "").unwrap();
        let labels: Vec<[&str; 2]> =
            texts(&gathered).iter().map(|[_, label, text]| [*text, *label]).collect();
        let expected = [["a", "positive"], ["b", "positive"], ["d", "negative"], ["e", "negative"]];
        assert_eq!(labels, expected);
        assert!(gathered.summary().ends_with("left out: 1 with three stars of five\n"));
    }

    #[test]
    fn another_layout_is_named_with_its_line() {
        for (content, expected) in [
            (
                "good:1 #label#:positive\n",
                "line 1: expected <review>, found \"good:1 #label#:positive\"",
            ),
            (
                &(review("5.0", "a") + "<review>\n<title>\n"),
                "line 22: expected </review> after the review that begins here, found the end of the file",
            ),
            ("\n<review>\n<review>\n", "line 3: expected </review> before it, found \"<review>\""),
            (
                "<review>\n<rating>\n5.0\n</rating>\n</review>\n",
                "line 1: expected <review_text> and </review_text> in the review that begins here, found none",
            ),
            (
                &review("many", "a"),
                "line 1: expected a <rating> from 1.0 to 5.0 in the review that begins here, found \"many\"",
            ),
        ] {
            let error = import(&[("toys/all.review", content)], "").unwrap_err();
            assert_eq!(error, format!("toys/all.review: {expected}"));
        }
        let error = import(&[] as &[(&str, &str)], "").unwrap_err();
        assert!(error.ends_with("or all.review, found none"), "{error}");
        let error = import(&[("toys/positive.review", review("5.0", "a"))], "").unwrap_err();
        assert!(error.starts_with("toys/negative.review: expected a readable file"), "{error}");
    }
}
