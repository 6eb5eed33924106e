//! Labelled texts as metabert writes them: in the form that [`Dataset::read`](super::Dataset::read) takes.

use std::io::{self, Write};

use serde::Serialize;

/// A labelled text with the names of its label and domain.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Written<'a> {
    pub(super) text: &'a str,
    pub(super) label: &'a str,
    pub(super) domain: &'a str,
}

/// Writes an array with a record a line: as easy to diff as JSONL.
///
/// # Errors
/// Any error of the file system.
pub(super) fn write_array<'a>(
    file: &mut impl Write,
    records: impl Iterator<Item = Written<'a>>,
) -> io::Result<()> {
    file.write_all(b"[")?;
    for (position, record) in records.enumerate() {
        file.write_all(if position == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut *file, &record)?;
    }
    file.write_all(b"\n]\n")
}

/// Writes JSONL.
///
/// # Errors
/// Any error of the file system.
pub(super) fn write_lines<'a>(
    file: &mut impl Write,
    mut records: impl Iterator<Item = Written<'a>>,
) -> io::Result<()> {
    records.try_for_each(|record| {
        serde_json::to_writer(&mut *file, &record)?;
        file.write_all(b"\n")
    })
}
