//! `metabert config`.

use std::path::Path;

use anyhow::Result;

use super::output::{print_json, print_result};
use crate::checks::Invalid;
use crate::cli::{DiffArgs, ShowArgs};
use crate::config::{Layer, PRESET_NAMES, PRESETS, RunConfig};
use crate::run::RunDirectory;
use crate::run::checkpoint::SETTINGS_FILE;
use crate::table::{Align, Table};

/// The name of the built-in settings.
const DEFAULTS: &str = "defaults";

/// Runs `config list`.
pub fn list() -> Result<()> {
    let mut table = Table::new([(Align::Left, "name"), (Align::Left, "for")]);
    for (name, text) in PRESETS {
        let first = text.lines().next().unwrap_or_default().trim_start_matches("# ");
        table.push(vec![name.to_owned(), first.to_owned()]);
    }
    print_result(&table.to_string())
}

/// Runs `config show`.
pub fn show(args: &ShowArgs) -> Result<()> {
    let source = Source::of(&args.source)?;
    match args.all {
        true => print_result(&source.resolved()?.to_toml()),
        false => print_result(&source.text),
    }
}

/// Runs `config diff`.
pub fn diff(args: &DiffArgs) -> Result<()> {
    let resolved = |name: &str| -> Result<RunConfig> { Source::of(name)?.resolved() };
    let differing = RunConfig::differing(&[resolved(&args.left)?, resolved(&args.right)?]);
    if args.json {
        return print_json(&differing);
    }
    let header = ["setting", &args.left, &args.right];
    let mut table = Table::new(header.map(|title| (Align::Left, title)));
    for (key, values) in differing {
        table.push([key].into_iter().chain(values.iter().map(ToString::to_string)).collect());
    }
    print_result(&table.to_string())
}

/// Settings that an argument names.
struct Source {
    layer: Layer,
    /// The same as TOML, with the comments of a file.
    text: String,
}

impl Source {
    fn of(argument: &str) -> Result<Self> {
        if argument == DEFAULTS {
            let text = RunConfig::default().to_toml();
            let table = text.parse().expect("a configuration is TOML");
            return Ok(Self { layer: Layer { source_name: DEFAULTS.to_owned(), table }, text });
        }
        if let Some((name, text)) = PRESETS.iter().find(|(name, _)| *name == argument) {
            let layer = Layer::of_key(argument, "preset", (*name).into());
            return Ok(Self { layer, text: (*text).to_owned() });
        }
        let path = Path::new(argument);
        let run = RunDirectory::at(path).config_file();
        let files = [path.to_owned(), run, path.join(SETTINGS_FILE)];
        let Some(file) = files.iter().find(|file| file.is_file()) else {
            let names = PRESET_NAMES.join(", ");
            let expected = format!(
                "{DEFAULTS}, {names}, a TOML file, or a run or model directory of metabert"
            );
            return Err(Invalid(format!("{argument}: expected {expected}, found none")).into());
        };
        let (layer, text) = Layer::with_text(file)?;
        Ok(Self { layer, text })
    }

    fn resolved(self) -> Result<RunConfig> {
        Ok(RunConfig::from_layers(&[self.layer])?)
    }
}
