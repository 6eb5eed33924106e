//! What every command with settings begins with: its configuration, a console, and the machine.

use std::path::{Path, PathBuf};
use std::slice;

use anyhow::Result;
use tch::Device;

use super::checkpoint;
use super::group::{self, share_cores};
use super::loading::LoadedModel;
use super::output::print_result;
use crate::cli::{RanksArgs, SharedArgs};
use crate::config::{Layer, RunConfig};
use crate::data::{Corpus, Dataset};
use crate::eval::{Evaluator, SafeguardConfig};
use crate::machine::device::{self, DeviceError};
use crate::machine::{Workers, observe};
use crate::meta::{Algorithm, Recipe, Tasks};
use crate::model::Classifier;
use crate::ranks::{Executor, Group};
use crate::run::console::Console;
use crate::tasks::{HeadRows, TaskBuilder};
use crate::torch_ext::NoCuda;

/// The validated settings of a command, and where it reports progress.
pub struct Session {
    /// The settings.
    pub config: RunConfig,
    /// The console.
    pub console: Console,
    /// The processes that share the work.
    pub group: Group,
}

impl Session {
    /// Lays the settings on the command line over `stored` ones and validates the sum. `None` where
    /// `--print-config` asked for nothing but that.
    pub fn begin(shared: &SharedArgs, stored: Option<Layer>) -> Result<Option<Self>> {
        let config = settings(stored, &shared.layers()?)?;
        config.validate()?;
        Self::with(config, shared)
    }

    fn with(config: RunConfig, shared: &SharedArgs) -> Result<Option<Self>> {
        if shared.print_config {
            print_result(&config.to_toml())?;
            return Ok(None);
        }
        let console = Console::new(shared.quiet, shared.verbose);
        Ok(Some(Self { config, console, group: Group::alone() }))
    }

    /// The same over the settings of a checkpoint, in all processes that `ranks` asks for, with the path of the checkpoint. `None`
    /// also in a process that has only started others.
    pub fn of_checkpoint(
        shared: &SharedArgs,
        ranks: &RanksArgs,
        argument: &Path,
    ) -> Result<Option<(Self, PathBuf)>> {
        let Some(group) = group::join(ranks, shared.print_config)? else { return Ok(None) };
        let path = checkpoint::intact_model(argument)?;
        let session = Self::with(settings_of_checkpoint(&path, &shared.layers()?)?, shared)?;
        Ok(session.map(|session| (session.of_group(group, ranks), path)))
    }

    /// The same as one of the processes of `group`, whose first one alone prints.
    pub fn of_group(mut self, group: Group, ranks: &RanksArgs) -> Self {
        if !group.is_lead() {
            self.console = Console::new(true, 0);
        }
        if ranks.gpus.is_some() {
            self.config.device = "cuda".to_owned();
        }
        Self { group, ..self }
    }

    /// Sets the number of threads and picks the device; says once why `auto` is not CUDA.
    pub fn select_device(&self) -> Result<Device> {
        let asked = self.config.threads;
        share_cores(&self.group, asked)?;
        if asked > 0 {
            let threads = device::set_threads(asked);
            if threads < asked {
                let cores = "the cores of this machine";
                self.console
                    .line(&format!("warning: threads: using {threads}, {cores}, not {asked}"));
            }
        }
        let selected = device::select(&self.config.device, self.group.local_rank());
        if let Ok((_, Some(NoCuda::NoGpu { detail })))
        | Err(DeviceError::NoCuda { reason: NoCuda::NoGpu { detail }, .. }) = &selected
        {
            self.console.detail(detail);
        }
        let (device, reason) = selected?;
        if let Some(reason) = reason {
            self.console.line(&format!("computing on the CPU: {reason}"));
        }
        let threads = tch::get_num_threads();
        self.console.detail(&format!("device {device:?}, {threads} CPU threads"));
        Ok(device)
    }

    /// Tokenises a dataset for a model, and says how many texts were truncated.
    pub fn tokenise(&self, dataset: &Dataset, model: &LoadedModel) -> Result<Corpus> {
        let _span = tracing::trace_span!("tokenise").entered();
        let max_length = self.config.data.max_length;
        let corpus = Corpus::new(dataset, &model.tokenizer, max_length)?;
        let (name, num_texts) = (dataset.path.display(), corpus.len());
        self.console
            .detail(&format!("{name}: {num_texts} texts, {} wordpieces", corpus.num_tokens()));
        if corpus.num_truncated() > 0 {
            let truncated = format!("truncated {} of {num_texts} texts", corpus.num_truncated());
            self.console.line(&format!("{name}: {truncated} to {max_length} wordpieces"));
        }
        Ok(corpus)
    }

    /// How many adaptations of a model run at once, whose meta-gradients reach through `num_traced_steps`: as many as asked for,
    /// or the fastest.
    pub fn workers(
        &self,
        classifier: &Classifier,
        device: Device,
        num_traced_steps: usize,
    ) -> Workers {
        let num_parameters = classifier.layout().num_parameters();
        match self.config.workers {
            0 => Workers::fastest(device, num_parameters, num_traced_steps),
            count => Workers::new(count, device),
        }
    }

    /// Who computes independent jobs with a model: all processes, each with its workers.
    ///
    /// # Errors
    /// Lost processes.
    pub fn executor(&self, classifier: &Classifier, device: Device) -> Result<Executor<'_>> {
        Ok(Executor::over(&self.group, self.workers(classifier, device, 0))?)
    }

    /// An evaluator that adapts `model`, whose head has the labels in `head_rows`, to texts of `corpus` as `recipe` and
    /// `safeguard` say. Progress bars follow its forward passes.
    ///
    /// # Errors
    /// Lost processes.
    pub fn evaluator<'a>(
        &'a self,
        model: &'a LoadedModel,
        head_rows: &'a HeadRows,
        corpus: &'a Corpus,
        recipe: &'a Recipe,
        safeguard: SafeguardConfig,
    ) -> Result<Evaluator<'a>> {
        observe(None, self.console.on_forward());
        let (classifier, device) = (&model.classifier, model.params.device());
        Ok(Evaluator {
            builder: TaskBuilder { classifier, recipe, corpus, device },
            head_rows,
            // Episodes train weights that are good after adapting, and not before.
            is_classifier: recipe.trains_on(Tasks::Pooled) && model.has_own_head,
            run_seed: self.config.seed,
            safeguard,
            executor: self.executor(classifier, device)?,
        })
    }
}

/// The settings of a checkpoint under those `given`, valid for adapting it. What is given says how to adapt, and nothing about
/// the algorithm that the checkpoint was trained with.
pub fn settings_of_checkpoint(path: &Path, given: &[Layer]) -> Result<RunConfig> {
    let stored = checkpoint::stored_settings(path)?;
    let trained = stored.as_ref().map(|stored| RunConfig::from_layers(slice::from_ref(stored)));
    let algo = trained.transpose()?.map_or(Algorithm::None, |trained| trained.train.algo);
    let mut config = settings(stored, given)?;
    config.train.algo = algo;
    config.validate_adaptation()?;
    Ok(config)
}

/// The sum of stored settings and `given` ones, which win.
fn settings(stored: Option<Layer>, given: &[Layer]) -> Result<RunConfig> {
    let layers: Vec<Layer> = stored.into_iter().chain(given.iter().cloned()).collect();
    Ok(RunConfig::from_layers(&layers)?)
}
