//! Checkpoints: a Hugging Face model directory with the training state beside it.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::directory::RunDirectory;
use super::environment::Provenance;
use crate::atomic::write_directory;
use crate::data::TextTokenizer;
use crate::model::tensor_file::{read_safetensors, write_safetensors};
use crate::model::{Layout, ParamSet, pretrained};
use crate::optim::{Optimizer, OptimizerConfig, optimizer::moment_names};

/// How far a run has come. Together with the parameters and the optimizer it is all that resuming
/// needs: episodes, masks and draws are functions of their index.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Outer steps taken.
    pub step: u64,
    /// Those of them that moved nothing, since no episode of theirs was finite.
    #[serde(default)]
    pub skipped_steps: u64,
    /// Step of the best evaluation, with its macro F1.
    pub best: Option<(u64, f64)>,
    /// Evaluations since the best one.
    pub evaluations_since_best: u64,
    /// Step of the last evaluation, with its macro F1.
    pub last_evaluation: Option<(u64, f64)>,
    /// Seconds of training, over all the processes that took part.
    pub elapsed_s: f64,
}

/// What the outer loop changes.
#[derive(Debug)]
pub struct TrainingState {
    /// The meta-parameters.
    pub meta: ParamSet,
    /// The outer optimizer.
    pub optimizer: Optimizer,
    /// How far the run has come.
    pub progress: Progress,
}

/// What every checkpoint of a run holds beside its state.
#[derive(Clone, Debug)]
pub struct ModelFiles {
    /// `config.json` of the model that training started from.
    pub config_json: Map<String, Value>,
    /// The labels.
    pub labels: Vec<String>,
    /// The tokenizer.
    pub tokenizer: TextTokenizer,
    /// The resolved configuration of the run, as TOML.
    pub settings: String,
    /// Where its knowledge comes from; absent for a model that no run made.
    pub provenance: Option<Provenance>,
}

/// The file of a checkpoint that holds the configuration it was made with.
pub const SETTINGS_FILE: &str = "metabert.toml";
/// The file of a checkpoint that says what it was trained on.
const PROVENANCE_FILE: &str = "provenance.json";
const STATE_FILE: &str = "training_state.json";
const MOMENTS_FILE: &str = "training_state.safetensors";

impl ModelFiles {
    /// Writes the model directory proper into `dir`, which exists.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn write(&self, dir: &Path, params: &ParamSet) -> Result<()> {
        pretrained::save(dir, params, &self.config_json, &self.labels)?;
        self.tokenizer.save_into(dir)?;
        fs::write(dir.join(SETTINGS_FILE), &self.settings)?;
        if let Some(provenance) = &self.provenance {
            fs::write(dir.join(PROVENANCE_FILE), serde_json::to_vec_pretty(provenance)?)?;
        }
        Ok(())
    }
}

/// What the checkpoint in `dir` was trained on; `None` where it does not say.
pub fn provenance(dir: &Path) -> Option<Provenance> {
    let text = fs::read(dir.join(PROVENANCE_FILE)).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Writes the checkpoint of `state` into its place in `run`, complete or not at all.
///
/// # Errors
/// Any error of the file system.
pub fn save(run: &RunDirectory, state: &TrainingState, files: &ModelFiles) -> Result<()> {
    let path = run.checkpoint(state.progress.step);
    write_directory(&path, |dir| -> Result<()> {
        files.write(dir, &state.meta)?;
        let moments: Vec<(String, &ParamSet)> =
            state.optimizer.moments().map(|(name, moment)| (format!("{name}."), moment)).collect();
        let moments: Vec<(&str, &ParamSet)> =
            moments.iter().map(|(name, moment)| (name.as_str(), *moment)).collect();
        write_safetensors(&dir.join(MOMENTS_FILE), &moments)?;
        fs::write(dir.join(STATE_FILE), serde_json::to_vec_pretty(&state.progress)?)?;
        Ok(())
    })
    .with_context(|| format!("{}: cannot write the checkpoint", path.display()))
}

/// Reads what [`save`] wrote beside the model, for parameters like `meta`.
///
/// # Errors
/// Missing or malformed files.
pub fn load(dir: &Path, meta: ParamSet, optimizer: OptimizerConfig) -> Result<TrainingState> {
    let path = dir.join(STATE_FILE);
    let progress: Progress = fs::read(&path)
        .and_then(|text| serde_json::from_slice(&text).map_err(io::Error::from))
        .with_context(|| format!("{}: cannot resume from it", path.display()))?;
    let layout: &Arc<Layout> = meta.layout();
    let moments = moment_names(&optimizer)
        .iter()
        .map(|name| {
            let prefix = format!("{name}.");
            let moment = read_safetensors(&dir.join(MOMENTS_FILE), &prefix, layout)?;
            Ok(moment.to_device(meta.device())?)
        })
        .collect::<Result<_>>()?;
    let steps_taken = progress.step.saturating_sub(progress.skipped_steps);
    let optimizer = Optimizer::restore(optimizer, steps_taken, moments);
    Ok(TrainingState { meta, optimizer, progress })
}
