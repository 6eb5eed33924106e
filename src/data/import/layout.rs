//! How the files of benchmarks are found and read, and what is said where one is not as it should be.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use crate::data::intake::problem::quote;
use crate::data::intake::{DataError, Place, Problem};

/// What was expected at a place in a file, and what was found.
pub(super) fn wrong(
    path: &Path,
    place: Place,
    expected: impl Display,
    found: impl Display,
) -> DataError {
    DataError::single(path, Problem::expected(place, "", expected, found))
}

/// The bytes of a file.
pub(super) fn content(path: &Path) -> Result<Vec<u8>, DataError> {
    let unreadable = |error: std::io::Error| {
        wrong(path, Place::File, "a readable file", error.to_string().to_lowercase())
    };
    fs::read(path).map_err(unreadable)
}

/// What a directory holds, in the order of the names, hidden names left out.
pub(super) fn entries(directory: &Path) -> Result<Vec<PathBuf>, DataError> {
    let unreadable = |error: std::io::Error| {
        wrong(directory, Place::File, "a readable directory", error.to_string().to_lowercase())
    };
    let entries = fs::read_dir(directory).map_err(unreadable)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()).map_err(unreadable));
    let mut paths = paths.collect::<Result<Vec<_>, _>>()?;
    paths.retain(|path| !name_of(path).starts_with('.'));
    paths.sort();
    Ok(paths)
}

/// The last part of a path.
pub(super) fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The lines of a file with their numbers, blank ones left out. Only a line feed ends a line.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let lines = bytes.split(|&byte| byte == b'\n');
    let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    (1..).zip(lines).filter(|(_, line)| !line.trim_ascii().is_empty())
}

/// The sentiment that a file writes as one of two words.
pub(super) fn sentiment(
    word: &str,
    positive: &str,
    negative: &str,
) -> Result<&'static str, (String, String)> {
    match word.trim() {
        word if word == positive => Ok("positive"),
        word if word == negative => Ok("negative"),
        other => Err((format!("the label {positive} or {negative}"), quote(other))),
    }
}
