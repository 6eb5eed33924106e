//! What `train` writes before its first step.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};
use tch::Device;

use super::{resume, settings};
use crate::config::RunConfig;
use crate::data::{Dataset, Side, Split};
use crate::files::atomic::write_file;
use crate::run::manifest::sha256_of;
use crate::run::{Environment, Machine, Provenance, RunDirectory};
use crate::torch_ext::TORCH_VERSION;
use crate::train::trainer::Part;

/// Where the knowledge of a run comes from.
pub fn provenance(dataset: &Dataset, split: &Split) -> Provenance {
    let names = |side| dataset.names_of(split.domains(side));
    Provenance {
        metabert: env!("CARGO_PKG_VERSION").to_owned(),
        dataset_sha256: dataset.sha256.clone(),
        meta_train: names(Side::MetaTrain),
        meta_dev: names(Side::MetaDev),
        low_resource: names(Side::LowResource),
    }
}

/// What is recorded of this process in the log of the run.
pub fn part(config: &RunConfig, device: Device) -> Part {
    let machine = Machine {
        torch: TORCH_VERSION.to_owned(),
        device: format!("{device:?}"),
        precision: format!("{:?}", settings::precision(config, device)).to_lowercase(),
        threads: tch::get_num_threads(),
    };
    Part { machine, settings: resume::changeable_settings(config) }
}

/// The SHA-256 of each file that training reads of a model directory.
pub fn model_sha256(model: &Path) -> Result<BTreeMap<String, String>> {
    let names = [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    ];
    let there = names.map(|name| (name, model.join(name))).into_iter();
    there
        .filter(|(_, path)| path.is_file())
        .map(|(name, path)| {
            let hash = sha256_of(&path).with_context(|| path.display().to_string())?;
            Ok((name.to_owned(), hash))
        })
        .collect()
}

/// Makes the run directory with its configuration; where the run goes on (there is no
/// `environment`), only the latter is renewed.
pub fn prepare_directory(
    run: &RunDirectory,
    config: &RunConfig,
    environment: Option<&Environment>,
) -> io::Result<()> {
    if let Some(environment) = environment {
        run.remove()?;
        // First, since by it a run is known that --force may replace.
        environment.write(run)?;
        run.create()?;
    }
    // Last: with it the run has begun, and without it the directory counts as free.
    write_file(&run.config_file(), config.to_toml().as_bytes())
}
