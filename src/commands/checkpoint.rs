//! The model directory that an argument means, and the settings that it was made with.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::checks::{self, Invalid};
use crate::config::{Layer, RunConfig};
use crate::hub::{Cache, HubName, offline_variable};
use crate::model::weights::WEIGHTS_FILE;
use crate::run::RunDirectory;
use crate::run::checkpoint::{self, SETTINGS_FILE};
use crate::run::manifest::{self, MANIFEST_FILE};
use crate::run::recovery;

/// The path that an argument means: itself where there is something, or else the model of that name in the cache of the
/// Hugging Face Hub.
pub fn located(argument: &Path) -> Result<PathBuf, Invalid> {
    let name = argument.to_str().and_then(|text| text.parse::<HubName>().ok());
    let Some(name) = name.filter(|_| !argument.exists()) else { return Ok(argument.to_owned()) };
    let cache = Cache::from_environment();
    let snapshot = cache.snapshot(&name);
    // Other libraries fetch single files, such as those of a tokenizer.
    if let Some(snapshot) = snapshot.filter(|path| has_weights(path)) {
        return Ok(snapshot);
    }
    // One without an organisation is most likely the name of a directory.
    if !name.repository().contains('/') {
        return Ok(argument.to_owned());
    }
    let advice = match offline_variable() {
        Some(variable) => format!("without {variable} `metabert model fetch {name}` downloads one"),
        None => format!("`metabert model fetch {name}` downloads one"),
    };
    let expected = "a model directory, a run or the name of a model in the Hugging Face cache";
    let root = cache.root().display();
    Err(Invalid::at(argument, format!("expected {expected} ({root}), found none; {advice}")))
}

/// Whether a model's weights are in its directory, or in that of one of its modules.
fn has_weights(model: &Path) -> bool {
    let entries = fs::read_dir(model).into_iter().flatten().flatten();
    let has = |path: PathBuf| path.ends_with(WEIGHTS_FILE) || path.join(WEIGHTS_FILE).exists();
    entries.map(|entry| entry.path()).any(has)
}

/// The intact model directory that a `--checkpoint` argument means: itself, one of a run, or one in the cache of the Hugging
/// Face Hub.
pub fn intact_model(argument: &Path) -> Result<PathBuf> {
    let argument = &located(argument)?;
    let path = RunDirectory::resolve(argument)
        .map_err(|error| Invalid::at(argument, format!("cannot be read as a run: {error}")))?;
    if path == *argument {
        ensure_unaltered(&path)?;
    } else if let Err(damage) = manifest::verify(&path) {
        // Another checkpoint in its place would be another result.
        let intact = recovery::intact(&RunDirectory::at(argument)).unwrap_or_default();
        let names: Vec<String> = intact.iter().map(|path| path.display().to_string()).collect();
        let advice = match names.is_empty() {
            true => "no checkpoint of the run is intact".to_owned(),
            false => format!("name an intact one instead: {}", names.join(", ")),
        };
        return Err(Invalid(format!("{damage}; {advice}")).into());
    }
    Ok(path)
}

/// The intact model directory that `model.path` means: what training starts from.
pub fn starting_model(config: &RunConfig) -> Result<PathBuf> {
    let path = &config.model.path;
    let advice = "nothing; pass --model DIR";
    checks::require(!path.is_empty(), "model.path", "a model directory or a run", advice)?;
    intact_model(Path::new(path))
}

/// Refuses a model directory of metabert's whose files differ from those that were written.
pub fn ensure_unaltered(model: &Path) -> Result<(), Invalid> {
    checkpoint::verify(model).map_err(|damage| {
        Invalid(format!(
            "{damage}; restore it, or delete {SETTINGS_FILE} and {MANIFEST_FILE} there to use the \
             rest as a plain model"
        ))
    })
}

/// The model or run that the run of a checkpoint started from, as its settings record it.
pub fn recorded_start(checkpoint: &Path) -> Option<PathBuf> {
    let settings = Layer::from_file(&checkpoint.join(SETTINGS_FILE)).ok()?;
    let start = settings.table.get("model")?.get("path")?.as_str()?;
    (!start.is_empty()).then(|| start.into())
}

/// The settings that a checkpoint was made with, without those of the machine it was made on, its
/// devices and its files, and without the label sets of its domains: other files have others.
/// `None` for a model directory of another program.
pub fn stored_settings(checkpoint: &Path) -> Result<Option<Layer>> {
    let path = checkpoint.join(SETTINGS_FILE);
    if !path.exists() {
        return Ok(None);
    }
    let mut layer = Layer::from_file(&path)?;
    // All that its preset says is among the settings, but for what is left out here.
    for key in ["preset", "device", "threads", "workers", "precision", "seed", "model", "labels"] {
        layer.table.remove(key);
    }
    if let Some(data) = layer.table.get_mut("data").and_then(toml::Value::as_table_mut) {
        data.remove("path");
        // The names are those of the head, in config.json.
        data.remove("labels");
    }
    Ok(Some(layer))
}
