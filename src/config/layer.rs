//! One source of configuration, and how sources are laid over each other.

use std::io;
use std::path::Path;

use toml::{Table, Value};

use super::{ConfigError, RunConfig};
use crate::files::limited;

/// The names of the presets.
pub const PRESETS: [&str; 2] = ["reference-fomaml", "reference-reptile"];

/// The largest file.
const MAX_FILE_MIB: u64 = 16;
/// How much of an assignment names it in messages.
const MAX_NAME_CHARS: usize = 200;
/// As deep as a key in a file may be; dropping far deeper tables would overflow the stack.
const MAX_KEY_PARTS: usize = 80;

/// One source of configuration: a name for error messages, and the keys it sets.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Named in error messages.
    pub source_name: String,
    /// The keys it sets.
    pub table: Table,
}

impl Layer {
    /// The layer of a configuration file.
    ///
    /// # Errors
    /// An unreadable file, or one that is not TOML.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
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
        Ok(Self { source_name, table })
    }

    /// The layer of one `--set key=value`; the value is TOML, or else a string.
    ///
    /// # Errors
    /// No `=`, or a key that is empty or nested too deep.
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

    /// The layer of a named flag.
    pub fn from_flag(flag: &str, key: &str, value: impl Into<Value>) -> Self {
        Self { source_name: format!("--{flag}"), table: nested(key, value.into()) }
    }

    /// The layer of a preset that another layer names.
    ///
    /// # Errors
    /// An unknown name.
    pub fn from_preset(name: &str, named_by: &str) -> Result<Self, ConfigError> {
        let algo = match name {
            "reference-fomaml" => "fomaml",
            "reference-reptile" => "reptile",
            _ => {
                return Err(ConfigError::Malformed {
                    source_name: named_by.to_owned(),
                    reason: format!(
                        "preset: expected one of {}, found \"{name}\"",
                        PRESETS.join(", ")
                    ),
                });
            }
        };
        // The settings of the reference implementation (mailong25/meta-learning-bert): its "inner
        // update steps" are epochs, its outer optimizer is Adam for both algorithms, and the query
        // loss is computed with dropout still on.
        let text = format!(
            r#"
            preset = "{name}"
            [data]
            max_length = 256
            [episode]
            support = 80
            query = 20
            domain_law = "size"
            example_law = "uniform"
            [inner]
            optimizer = "adam"
            lr = 5e-5
            epochs = 10
            steps = 0
            batch = 12
            query_dropout = true
            [train]
            algo = "{algo}"
            steps = 1250
            meta_batch = 2
            [outer]
            optimizer = "adam"
            lr = 5e-5
            schedule = "constant"
            clip_norm = 0.0
            [evaluate]
            inner_epochs = 40
            "#
        );
        let table = text.parse().expect("presets are valid TOML");
        Ok(Self { source_name: format!("preset {name}"), table })
    }
}

fn nested(key: &str, value: Value) -> Table {
    let mut parts = key.split('.').rev();
    let last = parts.next().expect("splitting yields at least one part");
    let innermost = Table::from_iter([(last.to_owned(), value)]);
    parts.fold(innermost, |table, part| Table::from_iter([(part.to_owned(), Value::Table(table))]))
}

/// Lays `overlay` over `target`; `known` holds every key there is.
pub(super) fn merge(
    target: &mut Table,
    overlay: &Table,
    known: &Table,
    prefix: &str,
    source_name: &str,
) -> Result<(), ConfigError> {
    for (key, value) in overlay {
        let path = format!("{prefix}{key}");
        match (known.get(key), value) {
            (Some(Value::Table(known)), Value::Table(overlay)) => {
                let Some(Value::Table(target)) = target.get_mut(key) else {
                    unreachable!("the merged table has every section of the defaults")
                };
                merge(target, overlay, known, &format!("{path}."), source_name)?;
            }
            (Some(Value::Table(_)), _) => {
                return Err(ConfigError::Malformed {
                    source_name: source_name.to_owned(),
                    reason: format!("expected `{path}` to be a section, found {value}"),
                });
            }
            (Some(Value::Float(_)), Value::Integer(integer)) => {
                target.insert(key.clone(), Value::Float(*integer as f64));
            }
            (Some(_), value) => {
                target.insert(key.clone(), value.clone());
            }
            (None, _) => {
                return Err(ConfigError::UnknownKey {
                    source_name: source_name.to_owned(),
                    nearest: nearest_key(&path),
                    key: path,
                });
            }
        }
    }
    Ok(())
}

fn nearest_key(unknown: &str) -> String {
    let defaults = Table::try_from(RunConfig::default()).expect("defaults serialise");
    let mut keys = Vec::new();
    collect_keys(&defaults, "", &mut keys);
    // A key in the wrong section, or in none, is nearer to its namesake than spelling tells.
    let last = |key: &str| key.rsplit('.').next().unwrap_or(key).to_owned();
    keys.into_iter()
        .min_by_key(|key| {
            let whole = strsim::osa_distance(unknown, key);
            2 * strsim::osa_distance(&last(unknown), &last(key)) + whole
        })
        .expect("there are keys")
}

fn collect_keys(table: &Table, prefix: &str, keys: &mut Vec<String>) {
    for (key, value) in table {
        let path = format!("{prefix}{key}");
        if let Value::Table(section) = value {
            collect_keys(section, &format!("{path}."), keys);
        }
        keys.push(path);
    }
}
