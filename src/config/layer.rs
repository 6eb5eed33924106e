//! One source of settings. Does not know which keys exist.

use std::io;
use std::path::Path;

use toml::{Table, Value};

use super::error::ConfigError;
use crate::files::limited;

/// The largest file.
const MAX_FILE_MIB: u64 = 16;
/// How much of an assignment appears in messages.
const MAX_NAME_CHARS: usize = 200;
/// The deepest key, as in a file: dropping far deeper tables would overflow the stack.
const MAX_KEY_PARTS: usize = 80;

/// One source of settings: a name for error messages, and the keys that it sets.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Its name in error messages.
    pub source_name: String,
    /// The keys that it sets.
    pub table: Table,
}

impl Layer {
    /// The layer of a configuration file.
    ///
    /// # Errors
    /// An unreadable file, or one that is not TOML.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        Ok(Self::with_text(path)?.0)
    }

    /// The same with the text of the file.
    ///
    /// # Errors
    /// As [`Layer::from_file`].
    pub fn with_text(path: &Path) -> Result<(Self, String), ConfigError> {
        let source_name = path.display().to_string();
        let text = limited::read(path, MAX_FILE_MIB)
            .and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other))
            .map_err(|error| ConfigError::Unreadable {
                source_name: source_name.clone(),
                reason: error.to_string(),
            })?;
        let table = text.parse::<Table>().map_err(|error| ConfigError::Malformed {
            source_name: source_name.clone(),
            reason: error.to_string().trim_end().replace('\n', "\n  "),
        })?;
        Ok((Self { source_name, table }, text))
    }

    /// The layer of one `--set key=value`; a value that is not TOML is a string.
    ///
    /// # Errors
    /// No `=`, or a key that is empty or too deep.
    pub fn from_assignment(assignment: &str) -> Result<Self, ConfigError> {
        let source_name = match assignment.char_indices().nth(MAX_NAME_CHARS) {
            Some((end, _)) => format!("--set {}...", &assignment[..end]),
            None => format!("--set {assignment}"),
        };
        let (key, value) = assignment
            .split_once('=')
            .filter(|(key, _)| !key.trim().is_empty())
            .ok_or_else(|| ConfigError::Malformed {
                source_name: source_name.clone(),
                reason: "expected key=value, such as inner.lr=1e-4".into(),
            })?;
        let num_parts = key.split('.').count();
        if num_parts > MAX_KEY_PARTS {
            let reason = format!("expected a key such as inner.lr, found one of {num_parts} parts");
            return Err(ConfigError::Malformed { source_name, reason });
        }
        let value = match format!("value = {value}").parse::<Table>() {
            Ok(mut table) if table.len() == 1 => {
                table.remove("value").expect("the only key of the table")
            }
            _ => Value::String(value.to_owned()),
        };
        Ok(Self { source_name, table: nested(key.trim(), value) })
    }

    /// Whether it sets `key`, such as `inner.lr`.
    pub fn sets(&self, key: &str) -> bool {
        let mut parts = key.split('.');
        let first = parts.next().and_then(|part| self.table.get(part));
        parts.try_fold(first, |value, part| Some(value?.get(part))).flatten().is_some()
    }

    /// The layer of one key, set by `source_name`.
    pub fn of_key(source_name: &str, key: &str, value: Value) -> Self {
        Self { source_name: source_name.to_owned(), table: nested(key, value) }
    }
}

fn nested(key: &str, value: Value) -> Table {
    let mut parts = key.split('.').rev();
    let last = parts.next().expect("splitting yields at least one part");
    let innermost = Table::from_iter([(last.to_owned(), value)]);
    parts.fold(innermost, |table, part| Table::from_iter([(part.to_owned(), Value::Table(table))]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_too_many_parts_is_refused() {
        let error = Layer::from_assignment(&format!("{}b=1", "a.".repeat(60_000))).unwrap_err();
        assert!(error.to_string().ends_with("such as inner.lr, found one of 60001 parts"));
    }
}
