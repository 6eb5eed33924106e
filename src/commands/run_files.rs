//! What `train` writes before its first step.

use anyhow::Result;
use tch::Device;

use super::{settings, texts};
use crate::atomic::write_file;
use crate::config::RunConfig;
use crate::data::{Dataset, Side, Split};
use crate::run::{Environment, Provenance, RunDirectory};
use crate::torch_ext::TORCH_VERSION;

/// Where the knowledge of a run comes from.
pub fn provenance(dataset: &Dataset, split: &Split) -> Provenance {
    let names = |side| texts::names(dataset, split.domains(side));
    Provenance {
        metabert: env!("CARGO_PKG_VERSION").to_owned(),
        dataset_sha256: dataset.sha256.clone(),
        meta_train: names(Side::MetaTrain),
        meta_dev: names(Side::MetaDev),
        low_resource: names(Side::LowResource),
    }
}

/// Makes the run directory with its configuration; on resuming, only the latter is renewed.
pub fn prepare_directory(
    run: &RunDirectory,
    config: &RunConfig,
    provenance: &Provenance,
    device: Device,
    resume: bool,
) -> Result<()> {
    if !resume {
        if run.path().exists() {
            run.remove()?;
        }
        run.create()?;
        let environment = Environment {
            provenance: provenance.clone(),
            torch: TORCH_VERSION.to_owned(),
            device: format!("{device:?}"),
            precision: format!("{:?}", settings::precision(config, device)).to_lowercase(),
            threads: tch::get_num_threads(),
        };
        environment.write(run)?;
    }
    Ok(write_file(&run.config_file(), config.to_toml().as_bytes())?)
}
