//! The files that a path names: one, those of a directory, or those that a pattern matches.
//!
//! Knows their names, bytes and hashes; not what is in them.

use std::fs;
use std::path::{Path, PathBuf};

use glob::MatchOptions;
use sha2::{Digest, Sha256};

use super::parquet::is_parquet;
use super::problem::{DataError, Place, Problem, quote_list};
use super::table::delimiter_of;
use crate::data::fields::FieldNames;

/// Files that are read as one dataset.
pub(super) struct Source {
    /// The file, directory or pattern that the user named.
    pub(super) path: PathBuf,
    /// In the order of their names.
    pub(super) files: Vec<StoredFile>,
    /// Whether a directory or pattern named them, be it a single one.
    pub(super) are_several: bool,
}

/// A file as it is stored.
pub(super) struct StoredFile {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
}

impl Source {
    /// Reads every file that `path` names.
    ///
    /// # Errors
    /// A file that can't be read, or is none of the forms that a directory may hold; a pattern that matches nothing.
    pub(super) fn read(path: &Path) -> Result<Self, DataError> {
        let (paths, are_several) = named(path)?;
        let read = |path: PathBuf| {
            let bytes = fs::read(&path).map_err(|error| wrong(&path, unreadable(&error)))?;
            Ok(StoredFile { path, bytes })
        };
        let files = paths.into_iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { path: path.to_owned(), files, are_several })
    }

    /// A file that is in memory already.
    pub(super) fn of_bytes(path: &Path, bytes: Vec<u8>) -> Self {
        let files = vec![StoredFile { path: path.to_owned(), bytes }];
        Self { path: path.to_owned(), files, are_several: false }
    }

    /// The domain that a file names: its name without endings. Only of several files, where the user names no field for the
    /// domain and no other file has the name.
    pub(super) fn domain_of<'a>(
        &'a self,
        file: &'a StoredFile,
        names: &FieldNames,
    ) -> Option<&'a str> {
        let name = stem(&file.path)?;
        let mut others = self.files.iter().filter(|other| other.path != file.path);
        let is_own = others.all(|other| stem(&other.path) != Some(name));
        (self.are_several && is_own && names.domain == FieldNames::OWN.domain).then_some(name)
    }

    /// The SHA-256 of the file in hexadecimal. Of several, that of the list of their hashes and names, as
    /// `sha256sum * | sha256sum` in their folder makes it.
    pub(super) fn sha256(&self) -> String {
        if !self.are_several {
            return self.files.iter().map(|file| sha256_of(&file.bytes)).collect();
        }
        let folder = common_folder(&self.files);
        let line = |file: &StoredFile| {
            let name = file.path.strip_prefix(&folder).unwrap_or(&file.path);
            format!("{}  {}\n", sha256_of(&file.bytes), name.display())
        };
        sha256_of(self.files.iter().map(line).collect::<String>().as_bytes())
    }
}

/// The files that `path` names, in the order of their names. None of them is opened.
///
/// # Errors
/// As [`Dataset::read`](super::Dataset::read).
pub fn files_of(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    named(path).map(|(files, _)| files)
}

/// The files, and whether a directory or pattern names them.
fn named(path: &Path) -> Result<(Vec<PathBuf>, bool), DataError> {
    let pattern = path.to_str().filter(|text| text.contains(['*', '?', '[']));
    let mut files = if path.is_dir() {
        files_in(path)?
    } else if let Some(pattern) = pattern.filter(|_| !path.exists()) {
        matches(path, pattern)?
    } else {
        return Ok((vec![path.to_owned()], false));
    };
    files.sort();
    Ok((files, true))
}

/// The files of a directory, hidden ones left out.
fn files_in(directory: &Path) -> Result<Vec<PathBuf>, DataError> {
    let unreadable = |error| wrong(directory, unreadable(&error));
    let mut files = Vec::new();
    let mut others = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match (name.starts_with('.'), has_known_form(&path)) {
            (true, _) => {}
            (false, true) => files.push(path),
            (false, false) => others.push(name),
        }
    }
    others.sort();
    if !others.is_empty() {
        let names = quote_list(others.iter().map(String::as_str));
        let expected = "files in .json, .jsonl, .csv, .tsv or .parquet";
        let problem = Problem::expected(Place::File, "", expected, names);
        let fix = "move the others, or name the files by a pattern, such as 'DIR/*.csv'";
        return Err(DataError::single(directory, problem.with_fix(fix)));
    }
    if files.is_empty() {
        return Err(wrong(directory, "expected files in the directory, found none".to_owned()));
    }
    Ok(files)
}

/// Whether a name in a directory is that of a file of labelled texts.
fn has_known_form(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let ending = Path::new(name).extension().and_then(|ending| ending.to_str());
    let is_json = matches!(ending, Some("json" | "jsonl" | "ndjson"));
    let is_known = is_json || delimiter_of(path).is_some() || is_parquet(path, &[]);
    is_known && !path.is_dir()
}

/// The files that a pattern matches, hidden ones left out.
fn matches(path: &Path, pattern: &str) -> Result<Vec<PathBuf>, DataError> {
    let options = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let found = glob::glob_with(pattern, options)
        .map_err(|error| wrong(path, format!("expected a pattern, found: {}", error.msg)))?;
    let found =
        found.map(|found| found.map_err(|error| wrong(error.path(), unreadable(error.error()))));
    let files = found.collect::<Result<Vec<_>, _>>()?;
    if files.is_empty() {
        return Err(wrong(path, "expected a pattern that matches files, found none".to_owned()));
    }
    Ok(files)
}

fn wrong(path: &Path, message: String) -> DataError {
    DataError::single(path, Problem::new(Place::File, "", message))
}

fn unreadable(error: &std::io::Error) -> String {
    format!("expected a readable file, found: {}", error.to_string().to_lowercase())
}

fn sha256_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The name of a file without its ending, and without that of gzip.
fn stem(path: &Path) -> Option<&str> {
    let stem = Path::new(path.file_stem()?);
    let is_gzip = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"));
    if is_gzip { stem.file_stem()?.to_str() } else { stem.to_str() }
}

/// The folder that all files are below.
fn common_folder(files: &[StoredFile]) -> PathBuf {
    let mut folders = files.iter().filter_map(|file| file.path.parent());
    let mut common = folders.next().unwrap_or(Path::new("")).to_owned();
    for folder in folders {
        while !folder.starts_with(&common) && common.pop() {}
    }
    common
}

#[cfg(test)]
mod tests {
    use super::super::Dataset;
    use super::*;

    /// A folder with files of these names and contents.
    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        folder
    }

    const BOOKS: &str = "text,label\ngood,1\nbad,0\n";
    const KETTLES: &str =
        "{\"text\": \"fine\", \"label\": 1}\n{\"text\": \"leaks\", \"label\": 0}\n";

    /// What reading says, without where the folder is.
    fn read(folder: &tempfile::TempDir, path: &str) -> Result<Dataset, String> {
        let place = format!("{}/", folder.path().display());
        let read = Dataset::read(folder.path().join(path), &[]);
        read.map_err(|error| {
            error.to_string().replace(&place, "").replace(place.trim_end_matches('/'), "")
        })
    }

    fn texts(dataset: &Dataset) -> Vec<String> {
        let reviews = dataset.reviews.iter();
        let described = reviews
            .map(|it| format!("{} {} {}", it.position, dataset.domain_name(it.domain), it.text));
        described.collect()
    }

    #[test]
    fn files_without_domains_are_domains_in_the_order_of_their_names() {
        let files = folder(&[("kettles.x.jsonl", KETTLES), ("books.csv", BOOKS), (".hidden", "?")]);
        let expected = ["0 books good", "1 books bad", "2 kettles.x fine", "3 kettles.x leaks"];
        let dataset = read(&files, "").unwrap();
        assert_eq!(texts(&dataset), expected);
        let matched = read(&files, "*.[cj]s*").unwrap();
        assert_eq!(texts(&matched), expected);
        assert_eq!(matched.sha256, dataset.sha256);
        assert!(dataset.place_of(&dataset.reviews[2]).starts_with("line 1 of /"));
        // sha256sum books.csv kettles.x.jsonl | sha256sum
        assert_eq!(
            dataset.sha256,
            "461889d36dab3052c9146f7ba29dfc72ed47c9c581aa460f4b50920849ba4066"
        );

        let renamed = folder(&[("kettles.jsonl", KETTLES), ("books.csv", BOOKS)]);
        assert_ne!(read(&renamed, "").unwrap().sha256, dataset.sha256, "domains have other names");
        let single = read(&files, "books.csv").unwrap_err();
        assert!(single.contains("line 1: expected a column \"domain\""), "{single}");
    }

    #[test]
    fn records_that_carry_domains_keep_them() {
        let own = "text,label,domain\ngood,1,a\nbad,0,b\n";
        let files = folder(&[("x.csv", own), ("books.csv", BOOKS)]);
        assert_eq!(read(&files, "").unwrap().domains, ["a", "b", "books"]);

        let mixed = KETTLES.replacen("\"fine\"", "\"fine\", \"domain\": \"a\"", 1);
        let files = folder(&[("kettles.jsonl", &mixed), ("books.csv", BOOKS)]);
        let expected = "kettles.jsonl: line 2, field \"domain\": expected a string that is not empty, found no such field";
        assert_eq!(read(&files, "").unwrap_err(), expected);
        let mixed = KETTLES.replacen("\"leaks\"", "\"leaks\", \"domain\": \"a\"", 1);
        let files = folder(&[("kettles.jsonl", &mixed), ("books.csv", BOOKS)]);
        let expected = "kettles.jsonl: line 2, field \"domain\": expected no such field, as in the first record of the file, \
                        found a string";
        assert_eq!(read(&files, "").unwrap_err(), expected);
    }

    #[test]
    fn problems_of_several_files_are_named_with_their_files() {
        let files = folder(&[("a.csv", "text,label\n,1\n"), ("b.csv", "text\nx\n")]);
        let error = read(&files, "").unwrap_err();
        let expected = [
            ": 2 problems",
            "  a.csv: line 2, field \"text\": expected a string that is not empty, found empty text; \
             data.empty_texts = \"drop\" leaves it out",
            "  b.csv: line 1: expected a column \"label\", found \"text\"; name the right one with --label-field",
        ];
        assert_eq!(error.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_names_no_files_is_refused() {
        let files = folder(&[("books.csv", BOOKS), ("README.md", "?"), ("more/train.csv", BOOKS)]);
        fs::create_dir(files.path().join("empty")).unwrap();
        for (path, expected) in [
            (
                "",
                ": expected files in .json, .jsonl, .csv, .tsv or .parquet, found \"README.md\", \"empty\", \"more\"; \
                 move the others, or name the files by a pattern, such as 'DIR/*.csv'",
            ),
            ("empty", "empty: expected files in the directory, found none"),
            ("*.tsv", "*.tsv: expected a pattern that matches files, found none"),
            (
                "***",
                "***: expected a pattern, found: wildcards are either regular `*` or recursive `**`",
            ),
            ("m*", "more: expected a readable file, found: is a directory (os error 21)"),
        ] {
            assert_eq!(read(&files, path).unwrap_err(), expected);
        }
    }

    #[test]
    fn a_name_that_two_files_have_is_no_domain() {
        let files = folder(&[("a/train.csv", BOOKS), ("b/train.csv", BOOKS)]);
        let error = read(&files, "*/train.csv").unwrap_err();
        assert!(error.contains("a/train.csv: line 1: expected a column \"domain\""), "{error}");
    }
}
