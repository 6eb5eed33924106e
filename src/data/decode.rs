//! From the bytes of a file to its text: gzip, byte order mark, invalid UTF-8.
//!
//! Knows no field; it knows records only to name the one that an invalid byte stands in.

use std::borrow::Cow;
use std::io::Read;

use super::form::Form;
use super::problem::{Place, Problem, Problems};

/// How many times its size a gzip file may decompress to. Labelled texts are at three to twenty; a file made to fill the
/// memory is at a thousand.
const MAX_RATIO: usize = 100;
/// What a gzip file may decompress to however small it is.
const ALWAYS_DECOMPRESSED: usize = 64 << 20;

/// Decompresses gzip, and returns the text with its byte order mark removed.
///
/// Invalid UTF-8 is reported and replaced, so that the other problems of the file are found as well.
pub(super) fn decode<'a>(bytes: &'a [u8], problems: &mut Problems) -> Cow<'a, str> {
    let is_gzip = bytes.starts_with(&[0x1f, 0x8b]);
    let bytes = if is_gzip {
        match decompress(bytes) {
            Ok(decompressed) => Cow::Owned(decompressed),
            Err(problem) => {
                problems.push(problem);
                return Cow::Borrowed("");
            }
        }
    } else {
        Cow::Borrowed(bytes)
    };
    if std::str::from_utf8(&bytes).is_err() {
        report_invalid_utf8(&bytes, is_gzip, problems);
    }
    let text = match bytes {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Cow::Owned(text),
            Err(error) => Cow::Owned(String::from_utf8_lossy(error.as_bytes()).into_owned()),
        },
    };
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Cow::Owned(mut text) => {
            if text.starts_with('\u{feff}') {
                text.drain(..'\u{feff}'.len_utf8());
            }
            Cow::Owned(text)
        }
    }
}

fn decompress(bytes: &[u8]) -> Result<Vec<u8>, Problem> {
    let most = bytes.len().saturating_mul(MAX_RATIO).max(ALWAYS_DECOMPRESSED);
    let mut decompressed = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes)
        .take(most as u64 + 1)
        .read_to_end(&mut decompressed)
        .map_err(|error| Problem::new(Place::File, "", format!("not a whole gzip file: {error}")))?;
    if decompressed.len() > most {
        let expected =
            format!("at most {most} bytes of decompressed text, {MAX_RATIO} times its size");
        let problem = Problem::expected(Place::File, "", expected, "more");
        return Err(problem.with_fix("if it is no mistake, decompress it with gunzip first"));
    }
    Ok(decompressed)
}

fn report_invalid_utf8(bytes: &[u8], is_gzip: bool, problems: &mut Problems) {
    let mut places = Places::new(bytes);
    let mut offset = 0;
    for chunk in bytes.utf8_chunks() {
        offset += chunk.valid().len();
        if let Some(first) = chunk.invalid().first() {
            let after = if is_gzip { " of the decompressed file" } else { "" };
            problems.push_with(|| {
                let message =
                    format!("invalid UTF-8 at byte offset {offset}{after}: 0x{first:02x}");
                Problem::new(places.of(offset), "", message).with_fix("save the file as UTF-8")
            });
        }
        offset += chunk.invalid().len();
    }
}

/// Finds the record around a byte of a file that cannot be parsed; asked in file order.
struct Places<'a> {
    bytes: &'a [u8],
    position: usize,
    /// How many brackets are open around a record; `None` for a record a line.
    record_depth: Option<usize>,
    depth: usize,
    is_in_string: bool,
    is_escaped: bool,
    num_records: usize,
    num_lines: usize,
}

impl<'a> Places<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_start_matches('\u{feff}').trim_ascii_start();
        let record_depth =
            match (text.as_bytes().first(), text.starts_with('{').then(|| Form::of(text))) {
                (Some(b'['), _) => Some(1),
                (_, Some(Form::Wrapped)) => Some(2),
                _ => None,
            };
        Self {
            bytes,
            position: 0,
            record_depth,
            depth: 0,
            is_in_string: false,
            is_escaped: false,
            num_records: 0,
            num_lines: 1,
        }
    }

    fn of(&mut self, offset: usize) -> Place {
        for &byte in &self.bytes[self.position..offset] {
            match byte {
                b'\n' => self.num_lines += 1,
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.is_in_string => self.is_escaped = true,
                b'"' => self.is_in_string = !self.is_in_string,
                _ if self.is_in_string => {}
                b'[' | b'{' => {
                    if byte == b'{' && Some(self.depth) == self.record_depth {
                        self.num_records += 1;
                    }
                    self.depth += 1;
                }
                b']' | b'}' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        self.position = offset;
        match self.record_depth {
            None => Place::Line(self.num_lines),
            Some(_) if self.num_records == 0 => Place::File,
            Some(_) => Place::Record(self.num_records),
        }
    }
}
