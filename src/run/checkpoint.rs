//! Checkpoints: a Hugging Face model directory with the training state beside it.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::directory::{Pointer, RunDirectory, checkpoint_name};
use super::environment::Provenance;
use super::manifest;
use crate::data::TextTokenizer;
use crate::files::atomic::write_directory;
use crate::model::pretrained;
use crate::optim::{Optimizer, OptimizerConfig, optimizer::moment_names};
use crate::params::file::{read_safetensors, write_safetensors};
use crate::params::{Layout, ParamSet};

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
    /// Step and macro F1 of every evaluation; of a run that an earlier version began, of the best
    /// and the later ones.
    #[serde(default)]
    pub evaluations: Vec<(u64, f64)>,
    /// Seconds of training, over all the processes that took part.
    pub elapsed_s: f64,
}

impl Progress {
    /// Takes in the score of the meta-parameters as they are; returns whether none was better.
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

    /// The steps of the `count` best evaluations, of equal ones the earlier.
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
/// The file of a checkpoint that names its training data.
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
        Ok(manifest::write(dir)?)
    })
    .with_context(|| format!("{}: cannot write the checkpoint", path.display()))
}

/// Reads what [`save`] wrote beside the model, for parameters like `meta`.
///
/// # Errors
/// Missing or malformed files.
pub fn load(dir: &Path, meta: ParamSet, optimizer: OptimizerConfig) -> Result<TrainingState> {
    let path = dir.join(STATE_FILE);
    let mut progress: Progress = fs::read(&path)
        .and_then(|text| serde_json::from_slice(&text).map_err(io::Error::from))
        .with_context(|| format!("{}: cannot resume from it", path.display()))?;
    if progress.evaluations.is_empty() {
        progress.evaluations.extend(progress.best);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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

    // Off by one bit, an equal score would look better after resuming.
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
