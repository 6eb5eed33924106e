//! Where a run starts: at its beginning, or at a checkpoint.

use anyhow::{Context, Result};

use super::checkpoint::{self, Progress, TrainingState};
use super::console::Console;
use super::directory::{RunDirectory, Which};
use super::manifest;
use super::recovery::{self, NoneIntact, Recovery};
use crate::model::{Classifier, ModelDirectory};
use crate::optim::OptimizerConfig;
use crate::params::ParamSet;

/// Where a run starts.
pub enum StartingPoint {
    /// The pretrained model.
    Beginning,
    /// An intact checkpoint of the run.
    Checkpoint(Recovery),
}

impl StartingPoint {
    /// The newest intact checkpoint of `run`, with a warning for each damaged one after it.
    ///
    /// # Errors
    /// [`NoneIntact`] where there were checkpoints.
    pub fn of(run: &RunDirectory, console: &Console) -> Result<Self, NoneIntact> {
        let Some(found) = recovery::newest_intact(run)? else { return Ok(Self::Beginning) };
        for problem in &found.problems {
            let from = found.checkpoint.display();
            console.line(&format!("warning: {problem}; resuming from {from}"));
        }
        Ok(Self::Checkpoint(found))
    }

    /// The state to train from; a checkpoint replaces the `first` meta-parameters. The run's pointers to
    /// later checkpoints are taken back.
    ///
    /// # Errors
    /// An unreadable checkpoint, and any error of libtorch.
    pub fn state(
        self,
        run: &RunDirectory,
        (optimizer, average_decay): (OptimizerConfig, f64),
        classifier: &Classifier,
        first: ParamSet,
        console: &Console,
    ) -> Result<TrainingState> {
        let Self::Checkpoint(Recovery { checkpoint: dir, .. }) = self else {
            return TrainingState::new(first, optimizer, average_decay)
                .context("cannot make the state of the outer optimizer");
        };
        let (device, layout) = (first.device(), first.layout().clone());
        drop(first);
        let weights = ModelDirectory::open(&dir)?.read_weights()?;
        let (model, _) = weights.load(classifier, 0)?;
        let model = model.to_device(device)?;
        let result = checkpoint::with_meta_parameters(&dir, model, &layout, false)?;
        let state = checkpoint::load(&dir, result, optimizer, average_decay)?;
        recovery::restore_pointers(run, &state.progress)?;
        warn_of_lost_best(run, &state.progress, console);
        Ok(state)
    }
}

/// Training no longer needs the best checkpoint so far, but it is the result of the run.
fn warn_of_lost_best(run: &RunDirectory, progress: &Progress, console: &Console) {
    let best = run.pointer(Which::Best).ok().flatten();
    let Some(best) = best.filter(|best| best.step != progress.step) else { return };
    if let Err(damage) = manifest::verify(&run.checkpoints().join(best.checkpoint)) {
        console.line(&format!(
            "warning: {damage}; it is the best so far: other commands refuse this run until \
             training finds a better one"
        ));
    }
}
