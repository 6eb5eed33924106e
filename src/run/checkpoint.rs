//! A checkpoint: a Hugging Face model directory that also holds the training state.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tch::TchError;

use super::directory::{Pointer, RunDirectory, checkpoint_name};
use super::environment::Provenance;
use super::manifest::{self, Damage, MANIFEST_FILE};
use crate::data::TextTokenizer;
use crate::files::atomic::write_directory;
use crate::model::pretrained;
use crate::optim::{Optimizer, OptimizerConfig, optimizer::moment_names};
use crate::params::file::{read_safetensors, read_tensors, write_safetensors};
use crate::params::{Layout, ModelFileError, ParamSet, Region, init};

/// The progress of a run. With the parameters and the optimizer it is all that resuming needs:
/// episodes, masks and draws are functions of their index.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Outer steps taken.
    pub step: u64,
    /// The outer steps that moved nothing, because none of their episodes was finite.
    #[serde(default)]
    pub skipped_steps: u64,
    /// Step of the best evaluation, with its macro F1.
    pub best: Option<(u64, f64)>,
    /// Evaluations since the best one.
    pub evaluations_since_best: u64,
    /// Step of the last evaluation, with its macro F1.
    pub last_evaluation: Option<(u64, f64)>,
    /// Step and macro F1 of every evaluation. A run of an older version lacks those before the best.
    #[serde(default)]
    pub evaluations: Vec<(u64, f64)>,
    /// Seconds of training, in all processes together.
    pub elapsed_s: f64,
}

impl Progress {
    /// Records the score of the meta-parameters at this step; returns whether it is the best so far.
    pub fn evaluated(&mut self, macro_f1: f64) -> bool {
        let is_best = self.best.is_none_or(|(_, best)| macro_f1 > best);
        if is_best {
            self.best = Some((self.step, macro_f1));
            self.evaluations_since_best = 0;
        } else {
            self.evaluations_since_best += 1;
        }
        self.last_evaluation = Some((self.step, macro_f1));
        self.evaluations.push((self.step, macro_f1));
        is_best
    }

    /// The steps of the `count` best evaluations; of equal ones the earlier.
    pub fn best_steps(&self, count: usize) -> Vec<u64> {
        let mut ranked = self.evaluations.clone();
        ranked.sort_by(|(_, left), (_, right)| right.total_cmp(left));
        ranked.iter().take(count).map(|(step, _)| *step).collect()
    }

    /// A pointer to the checkpoint of this step.
    pub fn pointer(&self) -> Pointer {
        let score = self.last_evaluation.filter(|(step, _)| *step == self.step);
        pointer(self.step, score.map(|(_, macro_f1)| macro_f1))
    }

    /// A pointer to the checkpoint of the best evaluation.
    pub fn best_pointer(&self) -> Option<Pointer> {
        self.best.map(|(step, macro_f1)| pointer(step, Some(macro_f1)))
    }
}

fn pointer(step: u64, macro_f1: Option<f64>) -> Pointer {
    Pointer { checkpoint: checkpoint_name(step), step, macro_f1 }
}

/// All that the outer loop changes.
#[derive(Debug)]
pub struct TrainingState {
    /// The meta-parameters.
    pub meta: ParamSet,
    /// Their exponential average, where one is kept.
    pub average: Option<ParamSet>,
    /// The outer optimizer.
    pub optimizer: Optimizer,
    /// The progress.
    pub progress: Progress,
}

impl TrainingState {
    /// The state before the first step, with an average where its decay is above 0.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn new(
        meta: ParamSet,
        optimizer: OptimizerConfig,
        average_decay: f64,
    ) -> Result<Self, TchError> {
        let average = (average_decay > 0.0).then(|| meta.deep_copy()).transpose()?;
        let optimizer = Optimizer::new(optimizer, &meta)?;
        Ok(Self { meta, average, optimizer, progress: Progress::default() })
    }

    /// The parameters that are evaluated and saved: the average, where one is kept.
    pub fn result(&self) -> &ParamSet {
        self.average.as_ref().unwrap_or(&self.meta)
    }

    /// Moves the average, where one is kept, towards the meta-parameters after a step. The decay rises to `decay` as more steps
    /// are taken, so that the start is forgotten.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn average(&mut self, decay: f64) -> Result<(), TchError> {
        let Some(average) = &mut self.average else { return Ok(()) };
        let num_steps = (self.progress.step + 1 - self.progress.skipped_steps) as f64;
        let decay = decay.min((1.0 + num_steps) / (10.0 + num_steps));
        average.scale(decay)?;
        average.add_scaled(&self.meta, 1.0 - decay)
    }
}

/// The files of a model directory, apart from its weights.
#[derive(Clone, Debug)]
pub struct ModelFiles {
    /// `config.json` of the model that training started from.
    pub config_json: Map<String, Value>,
    /// The labels.
    pub labels: Vec<String>,
    /// The tokenizer.
    pub tokenizer: TextTokenizer,
    /// Wordpieces to which texts are cut.
    pub max_length: usize,
    /// The resolved configuration of the run, as TOML.
    pub settings: String,
    /// The origin of its knowledge.
    pub provenance: Provenance,
}

/// The file of a checkpoint that holds the configuration it was made with.
pub const SETTINGS_FILE: &str = "metabert.toml";
/// The file of a checkpoint that names its training data.
const PROVENANCE_FILE: &str = "provenance.json";
const STATE_FILE: &str = "training_state.json";
const MOMENTS_FILE: &str = "training_state.safetensors";
/// The meta-parameters that belong to no model: learned step sizes.
const META_FILE: &str = "meta.safetensors";
/// Prefix of the meta-parameters in [`MOMENTS_FILE`], where the model holds their average.
const UNAVERAGED: &str = "meta.";

impl ModelFiles {
    /// Writes the model directory into `dir`, which exists.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn write(&self, dir: &Path, params: &ParamSet) -> Result<()> {
        let model = params.select(|slot| slot.region != Region::StepSizes);
        pretrained::save(dir, &model, &self.config_json, &self.labels, self.max_length)?;
        let others = params.select(|slot| slot.region == Region::StepSizes);
        if !others.tensors().is_empty() {
            write_safetensors(&dir.join(META_FILE), &[("", &others)])?;
        }
        self.tokenizer.save_into(dir, self.max_length)?;
        fs::write(dir.join(SETTINGS_FILE), &self.settings)?;
        let provenance = serde_json::to_vec_pretty(&self.provenance)?;
        Ok(fs::write(dir.join(PROVENANCE_FILE), provenance)?)
    }
}

/// Checks that a model directory is unaltered if metabert wrote it. `metabert.toml` or a manifest
/// marks those; a model from elsewhere has nothing to be verified by.
///
/// # Errors
/// The damaged files.
pub fn verify(dir: &Path) -> Result<(), Damage> {
    match [SETTINGS_FILE, MANIFEST_FILE].iter().any(|name| dir.join(name).exists()) {
        true => manifest::verify(dir),
        false => Ok(()),
    }
}

/// The origin of the knowledge of the checkpoint in `dir`, where it has a record of it.
pub fn provenance(dir: &Path) -> Option<Provenance> {
    let text = fs::read(dir.join(PROVENANCE_FILE)).ok()?;
    serde_json::from_slice(&text).ok()
}

/// The domains that the model in `dir` was trained on or chosen by, as far as it has a record of them, in order.
pub fn seen_domains(dir: &Path) -> Vec<String> {
    let names = provenance(dir);
    let names: BTreeSet<String> = names.iter().flat_map(Provenance::seen).cloned().collect();
    names.into_iter().collect()
}

/// Writes the checkpoint of `state` into `run`, complete or not at all.
///
/// # Errors
/// Any error of the file system.
pub fn save(run: &RunDirectory, state: &TrainingState, files: &ModelFiles) -> Result<()> {
    let path = run.checkpoint(state.progress.step);
    write_directory(&path, |dir| -> Result<()> {
        files.write(dir, state.result())?;
        let moments = state.optimizer.moments().map(|(name, it)| (format!("{name}."), it));
        let raw = state.average.as_ref().map(|_| (UNAVERAGED.to_owned(), &state.meta));
        let moments: Vec<(String, &ParamSet)> = moments.chain(raw).collect();
        let moments: Vec<(&str, &ParamSet)> =
            moments.iter().map(|(name, moment)| (name.as_str(), *moment)).collect();
        write_safetensors(&dir.join(MOMENTS_FILE), &moments)?;
        fs::write(dir.join(STATE_FILE), serde_json::to_vec_pretty(&state.progress)?)?;
        Ok(manifest::write(dir)?)
    })
    .with_context(|| format!("{}: cannot write the checkpoint", path.display()))
}

/// `model` with the meta-parameters of `layout` that belong to no model: from the checkpoint in `dir`, or with their first
/// values where it has none. Where `by_step` says that step sizes are counted by step, they may be there for another number of
/// steps.
///
/// # Errors
/// A malformed file, and too little memory.
pub fn with_meta_parameters(
    dir: &Path,
    model: ParamSet,
    layout: &Layout,
    by_step: bool,
) -> Result<ParamSet> {
    let layout = Arc::new(layout.select(|slot| slot.region == Region::StepSizes));
    if layout.slots().is_empty() {
        return Ok(model);
    }
    let path = dir.join(META_FILE);
    let mut stored = match path.exists() {
        true => read_tensors(&path)?,
        false => BTreeMap::new(),
    };
    let mut others = init::draw(&layout, 0)?;
    for (id, slot) in layout.ids().zip(layout.slots()) {
        let Some(tensor) = stored.remove(&slot.name) else { continue };
        let (found, expected) = (tensor.size(), &slot.shape);
        if found != *expected && !(by_step && found.len() == 1) {
            let problem = format!(
                "`{}`: expected {expected:?}, found {found:?}; meta.step_sizes is that of another training",
                slot.name
            );
            let problems = vec![problem];
            return Err(ModelFileError::Tensors { path, problems }.into());
        }
        others = others.with(id, tensor);
    }
    Ok(model.and(&others.to_device(model.device())?))
}

/// Reads the training state that [`save`] wrote, whose model and other meta-parameters are `result`.
///
/// # Errors
/// Missing or malformed files.
pub fn load(
    dir: &Path,
    result: ParamSet,
    optimizer: OptimizerConfig,
    average_decay: f64,
) -> Result<TrainingState> {
    let path = dir.join(STATE_FILE);
    let mut progress: Progress = fs::read(&path)
        .and_then(|text| serde_json::from_slice(&text).map_err(io::Error::from))
        .with_context(|| format!("{}: cannot resume from it", path.display()))?;
    if progress.evaluations.is_empty() {
        progress.evaluations.extend(progress.best);
    }
    let read = |prefix: &str| -> Result<ParamSet> {
        let found = read_safetensors(&dir.join(MOMENTS_FILE), prefix, result.layout())?;
        Ok(found.to_device(result.device())?)
    };
    let names = moment_names(&optimizer).iter();
    let moments = names.map(|name| read(&format!("{name}."))).collect::<Result<_>>()?;
    let steps_taken = progress.step.saturating_sub(progress.skipped_steps);
    let optimizer = Optimizer::restore(optimizer, steps_taken, moments);
    let (meta, average) = match average_decay > 0.0 {
        true => (read(UNAVERAGED)?, Some(result)),
        false => (result, None),
    };
    Ok(TrainingState { meta, average, optimizer, progress })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Init;

    #[test]
    fn the_best_evaluations_are_ranked_by_score_and_then_by_step() {
        let mut progress = Progress::default();
        let scores = [(10, 0.5), (20, 0.7), (30, 0.6), (40, 0.7), (50, 0.8)];
        let mut bests = Vec::new();
        for (step, macro_f1) in scores {
            progress.step = step;
            if progress.evaluated(macro_f1) {
                bests.push(step);
            }
        }
        assert_eq!(bests, [10, 20, 50]);
        assert_eq!(progress.best_steps(1), [50]);
        assert_eq!(progress.best_steps(3), [50, 20, 40]);
        assert_eq!(progress.best_steps(9), [50, 20, 40, 30, 10]);
        assert_eq!(progress.evaluations, scores);
        assert_eq!((progress.best, progress.evaluations_since_best), (Some((50, 0.8)), 0));
    }

    #[test]
    fn step_sizes_of_another_kind_are_refused_and_of_another_number_of_steps_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        let mut layout = Layout::default();
        layout.register("step_sizes.bias", Region::StepSizes, &[3], Init::Constant(0.5));
        let stored = init::draw(&Arc::new(layout), 0).unwrap();
        write_safetensors(&dir.path().join(META_FILE), &[("", &stored)]).unwrap();
        let mut layout = Layout::default();
        layout.register("step_sizes.bias", Region::StepSizes, &[4], Init::Constant(0.25));
        let model = || init::draw(&Arc::new(Layout::default()), 0).unwrap();
        let read = |by_step| with_meta_parameters(dir.path(), model(), &layout, by_step);
        let sizes = read(true).unwrap();
        assert_eq!(Vec::<f32>::try_from(&sizes.tensors()[0]).unwrap(), [0.5; 3]);
        let error = read(false).unwrap_err().to_string();
        assert!(error.contains("`step_sizes.bias`: expected [4], found [3]"), "{error}");
    }

    // Off by one bit, an equal score would count as a better one after resuming.
    #[test]
    fn scores_are_read_as_they_were_written() {
        for denominator in 1..400 {
            for numerator in 1..denominator {
                let mut progress = Progress::default();
                progress.evaluated(f64::from(numerator) / f64::from(denominator));
                let text = serde_json::to_vec_pretty(&progress).unwrap();
                let read: Progress = serde_json::from_slice(&text).unwrap();
                assert_eq!(read, progress);
            }
        }
    }

    #[test]
    fn a_pointer_has_the_score_of_its_own_step_only() {
        let mut progress = Progress { step: 10, ..Progress::default() };
        assert_eq!((progress.pointer(), progress.best_pointer()), (pointer(10, None), None));
        progress.evaluated(0.5);
        assert_eq!(progress.pointer(), pointer(10, Some(0.5)));
        progress.step = 11;
        assert_eq!(progress.pointer(), pointer(11, None));
        assert_eq!(progress.best_pointer(), Some(pointer(10, Some(0.5))));
    }
}
