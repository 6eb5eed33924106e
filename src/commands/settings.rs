//! From arguments to a validated configuration and a device.

use std::path::{Path, PathBuf};

use anyhow::Result;
use tch::Device;

use super::{InputError, print_result};
use crate::cli::SharedArgs;
use crate::config::{Layer, PrecisionChoice, RunConfig};
use crate::device::DeviceError;
use crate::model::Precision;
use crate::run::RunDirectory;
use crate::run::checkpoint::SETTINGS_FILE;
use crate::run::console::Console;
use crate::run::manifest::{self, MANIFEST_FILE};
use crate::run::recovery;
use crate::torch_ext::NoCuda;
use crate::train::Workers;

/// Adds up `base`, `--config`, `--set` and flags, and validates the sum. `None` where
/// `--print-config` has been answered.
pub fn configure(
    shared: &SharedArgs,
    base: Option<Layer>,
    flags: Vec<Layer>,
) -> Result<Option<RunConfig>> {
    let mut layers: Vec<Layer> = base.into_iter().collect();
    layers.extend(shared.layers()?);
    layers.extend(flags);
    let config = RunConfig::from_layers(&layers)?;
    config.validate()?;
    if shared.print_config {
        print_result(&config.to_toml())?;
        return Ok(None);
    }
    Ok(Some(config))
}

/// The settings a checkpoint was made with, but for those of the machine it was made on: where it
/// computed, and where its files were.
pub fn stored_settings(checkpoint: &Path) -> Result<Option<Layer>> {
    let path = checkpoint.join(SETTINGS_FILE);
    if !path.exists() {
        return Ok(None);
    }
    let mut layer = Layer::from_file(&path)?;
    for key in ["device", "threads", "workers", "precision", "seed", "model"] {
        layer.table.remove(key);
    }
    if let Some(data) = layer.table.get_mut("data").and_then(toml::Value::as_table_mut) {
        data.remove("path");
    }
    Ok(Some(layer))
}

/// The model directory that a `--checkpoint` argument means, unaltered if it says what it was.
pub fn resolve_checkpoint(argument: &Path) -> Result<PathBuf> {
    let path = RunDirectory::resolve(argument).map_err(|error| {
        InputError(format!("{}: cannot be read as a run: {error}", argument.display()))
    })?;
    if path == argument {
        ensure_unaltered(&path)?;
    } else if let Err(damage) = recovery::verify(&path) {
        // Another checkpoint in its place would be another result.
        let intact = recovery::intact(&RunDirectory::at(argument)).unwrap_or_default();
        let names: Vec<String> = intact.iter().map(|path| path.display().to_string()).collect();
        let advice = match names.is_empty() {
            true => "no checkpoint of the run is intact".to_owned(),
            false => format!("name an intact one instead: {}", names.join(", ")),
        };
        return Err(InputError(format!("{damage}; {advice}")).into());
    }
    Ok(path)
}

/// Refuses a model directory whose files are not those that its manifest lists.
pub fn ensure_unaltered(model: &Path) -> Result<(), InputError> {
    manifest::verify(model).map_err(|damage| {
        InputError(format!(
            "{damage}; restore it, or delete {MANIFEST_FILE} there to use it as it is"
        ))
    })
}

/// Sets the number of threads and picks the device; says why `auto` is not CUDA.
pub fn select_device(config: &RunConfig, console: &Console) -> Result<Device> {
    if config.threads > 0 {
        // More threads than cores only wait for each other, and thousands bring a machine down.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = config.threads.min(cores);
        if threads < config.threads {
            let asked = config.threads;
            console
                .line(&format!("warning: threads: using {threads}, the cores here, not {asked}"));
        }
        tch::set_num_threads(threads as i32);
        // The tokenizer's pool; it can only be set once, which is here.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    }
    let selected = crate::device::select(&config.device);
    if let Ok((_, Some(NoCuda::NoGpu { detail })))
    | Err(DeviceError::NoCuda { reason: NoCuda::NoGpu { detail }, .. }) = &selected
    {
        console.detail(detail);
    }
    let (device, reason) = selected?;
    if let Some(reason) = reason {
        console.line(&format!("computing on the CPU: {reason}"));
    }
    console.detail(&format!("device {device:?}, {} CPU threads", tch::get_num_threads()));
    Ok(device)
}

/// The dtype of the matrix products on `device`.
pub fn precision(config: &RunConfig, device: Device) -> Precision {
    match config.precision {
        PrecisionChoice::Auto => Precision::fastest(device),
        PrecisionChoice::Fp32 => Precision::Fp32,
        PrecisionChoice::Bf16 => Precision::Bf16,
    }
}

/// How many adaptations of a model of `num_parameters` run at once: as many as asked for, or the fastest.
///
/// On a CPU small products on one thread each beat large ones on all of them, as far as memory goes; a GPU is filled by one.
pub fn workers(config: &RunConfig, device: Device, num_parameters: i64) -> Workers {
    if config.workers > 0 || device != Device::Cpu {
        return Workers::new(config.workers, device);
    }
    let num_threads = tch::get_num_threads().max(1) as u64;
    // Weights, gradients and two moments, with as much again for what a backward pass keeps.
    let needed_mib = (8 * 4 * num_parameters as u64) >> 20;
    let available = crate::device::available_memory_mib();
    let fitting = available.map_or(num_threads, |mib| mib / 2 / needed_mib.max(1));
    Workers::new(num_threads.min(fitting) as usize, device)
}
