//! From the bytes of a file to its text: gzip, byte order mark, invalid UTF-8.
//!
//! Knows no record and no field.

use std::borrow::Cow;
use std::io::Read;

use super::problem::{Place, Problem};

/// How many times its size a file may decompress to. Labelled texts are at three to twenty; a file made to fill the
/// memory is at a thousand.
const MAX_RATIO: usize = 100;
/// What a file may decompress to however small it is.
const ALWAYS_DECOMPRESSED: usize = 64 << 20;

/// How many bytes a file may decompress to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    most: usize,
    fix: &'static str,
}

impl Limit {
    /// That of a file of this size. `fix` is what to do where a larger one is no mistake.
    pub(super) fn of_file(num_bytes: usize, fix: &'static str) -> Self {
        Self { most: num_bytes.saturating_mul(MAX_RATIO).max(ALWAYS_DECOMPRESSED), fix }
    }

    /// Requires that no more is decompressed.
    ///
    /// # Errors
    /// The limit, and what to do.
    pub(super) fn check(self, num_bytes: usize) -> Result<(), Problem> {
        let Self { most, fix } = self;
        if num_bytes <= most {
            return Ok(());
        }
        let expected =
            format!("at most {most} bytes of decompressed text, {MAX_RATIO} times its size");
        let problem = Problem::expected(Place::File, "", expected, "more");
        Err(problem.with_fix(format!("if it is no mistake, {fix} first")))
    }
}

/// The bytes of a file, decompressed if they are gzip.
///
/// # Errors
/// Damaged gzip, or gzip of far more than labelled texts take.
pub(super) fn decompressed(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Problem> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(Cow::Borrowed(bytes));
    }
    let limit = Limit::of_file(bytes.len(), "decompress it with gunzip");
    let mut decompressed = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes)
        .take(limit.most as u64 + 1)
        .read_to_end(&mut decompressed)
        .map_err(|error| {
            Problem::new(Place::File, "", format!("not a whole gzip file: {error}"))
        })?;
    limit.check(decompressed.len())?;
    Ok(Cow::Owned(decompressed))
}

/// The text of a file without its byte order mark, and where it was not UTF-8.
///
/// Invalid bytes are replaced, so that the other problems of the file are found as well.
pub(super) fn decoded(bytes: &[u8]) -> (Cow<'_, str>, impl Iterator<Item = InvalidByte>) {
    let mark = if bytes.starts_with("\u{feff}".as_bytes()) { '\u{feff}'.len_utf8() } else { 0 };
    let content = &bytes[mark..];
    let text = std::str::from_utf8(content)
        .map_or_else(|_| String::from_utf8_lossy(content), Cow::Borrowed);
    let has_invalid = matches!(text, Cow::Owned(_));
    let invalid = has_invalid.then(|| invalid_bytes(content, mark));
    (text, invalid.into_iter().flatten())
}

/// The first byte of a sequence that is not UTF-8.
pub(super) struct InvalidByte {
    /// Its offset in the decompressed file.
    pub(super) offset: usize,
    /// Its value.
    pub(super) byte: u8,
    /// The offset in the text of the character that replaces the sequence.
    pub(super) text_offset: usize,
}

fn invalid_bytes(content: &[u8], mut offset: usize) -> impl Iterator<Item = InvalidByte> {
    let mut text_offset = 0;
    content.utf8_chunks().filter_map(move |chunk| {
        offset += chunk.valid().len();
        text_offset += chunk.valid().len();
        let found = InvalidByte { offset, byte: *chunk.invalid().first()?, text_offset };
        offset += chunk.invalid().len();
        text_offset += char::REPLACEMENT_CHARACTER.len_utf8();
        Some(found)
    })
}
