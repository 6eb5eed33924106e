//! The files that `train` writes before its first step, and those that each checkpoint gets.

use std::io;

use tch::Device;

use super::super::loading::{LoadedModel, precision};
use super::super::session::Session;
use crate::config::RunConfig;
use crate::data::{Dataset, Side, Split};
use crate::files::atomic::write_file;
use crate::hub::HubName;
use crate::model::ModelDirectory;
use crate::run::checkpoint::{self, ModelFiles};
use crate::run::environment::model_sha256;
use crate::run::{Environment, Machine, Provenance, RunDirectory};
use crate::torch_ext::TORCH_VERSION;

/// The inputs of a run and the machine that it runs on.
pub fn environment(
    Session { config, group, .. }: &Session,
    dataset: &Dataset,
    split: &Split,
    model: &ModelDirectory,
    device: Device,
) -> io::Result<Environment> {
    let names = |side| dataset.names_of(split.domains(side));
    Ok(Environment {
        provenance: Provenance {
            metabert: env!("CARGO_PKG_VERSION").to_owned(),
            dataset_sha256: dataset.sha256.clone(),
            meta_train: names(Side::MetaTrain),
            meta_dev: names(Side::MetaDev),
            low_resource: names(Side::LowResource),
            seen_before: checkpoint::seen_domains(model.path()),
        },
        machine: Machine {
            torch: TORCH_VERSION.to_owned(),
            device: format!("{device:?}"),
            precision: format!("{:?}", precision(config, device)).to_lowercase(),
            threads: tch::get_num_threads(),
            processes: group.size(),
        },
        model: HubName::of_snapshot(model.path()).map(|name| name.to_string()),
        model_sha256: model_sha256(model)?,
    })
}

/// Makes the run directory with its configuration. A resumed run has its `environment` already: only
/// its configuration is written.
pub fn prepare_directory(
    run: &RunDirectory,
    config: &RunConfig,
    environment: Option<&Environment>,
) -> io::Result<()> {
    if let Some(environment) = environment {
        run.remove()?;
        // First, since this file shows that --force may replace the directory.
        environment.write(run)?;
        run.create()?;
    }
    // Last: with this file the run has begun, and without it the directory counts as free.
    write_file(&run.config_file(), config.to_toml().as_bytes())
}

/// The files of every checkpoint beside its state.
pub fn model_files(model: &LoadedModel, config: &RunConfig, provenance: Provenance) -> ModelFiles {
    ModelFiles {
        config_json: model.directory.config_json().clone(),
        labels: model.labels.clone(),
        tokenizer: model.tokenizer.clone(),
        max_length: config.data.max_length,
        settings: config.to_toml(),
        provenance,
    }
}
