//! Where the outer loop takes its tasks from: task `index` is a pure function of seed and index.

use tch::TchError;

use super::builder::{TaskBuilder, Touched};
use crate::data::batch::Batch;
use crate::data::{EpisodeSampler, ExampleId, Minibatches};
use crate::meta::Task;
use crate::seed;

/// The examples that tasks are drawn from.
pub enum Source {
    /// Episodes of the meta-train domains.
    Episodes(EpisodeSampler),
    /// Minibatches of all meta-train examples pooled.
    Pooled(Minibatches),
}

impl Source {
    /// Minibatches of `batch` of `examples`, in the order of the run with this seed.
    pub fn pooled(examples: Vec<ExampleId>, batch: usize, run_seed: u64) -> Self {
        Self::Pooled(Minibatches::new(examples, batch, seed::derive(run_seed, "pooled order", 0)))
    }
}

/// The tasks of a run.
pub struct TextTasks<'a> {
    /// Cuts examples into batches.
    pub builder: TaskBuilder<'a>,
    /// The examples.
    pub source: Source,
    /// Names of all domains of the dataset, by id.
    pub domain_names: &'a [String],
    /// Seed of the run.
    pub run_seed: u64,
}

impl TextTasks<'_> {
    /// Adaptation steps of a task.
    pub fn num_support_steps(&self) -> usize {
        match &self.source {
            Source::Episodes(sampler) => self.builder.recipe.visit.num_steps(sampler.num_support()),
            Source::Pooled(_) => 0,
        }
    }

    /// Task number `index`.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn task(&self, index: u64) -> Result<Task<Batch>, TchError> {
        let _span = tracing::trace_span!("collate").entered();
        let Self { builder, run_seed, .. } = *self;
        let dropout_seed = seed::derive(run_seed, "dropout", index);
        match &self.source {
            Source::Episodes(sampler) => {
                let episode = sampler.episode(index);
                let examples = [episode.support.as_slice(), &episode.query].concat();
                let Touched { view, wordpieces } = builder.touched(&examples)?;
                let wordpieces = wordpieces.as_ref();
                let order_seed = seed::derive(run_seed, "support order", index);
                Ok(Task {
                    index,
                    domain: Some(self.domain_names[episode.domain as usize].clone()),
                    support: builder.support(&episode.support, wordpieces, order_seed)?,
                    query: builder.batch(&episode.query, wordpieces)?,
                    view,
                    dropout_seed,
                })
            }
            Source::Pooled(minibatches) => {
                let query = minibatches.minibatch(index as usize);
                let Touched { view, wordpieces } = builder.touched(&query)?;
                let query = builder.batch(&query, wordpieces.as_ref())?;
                Ok(Task { index, domain: None, view, support: Vec::new(), query, dropout_seed })
            }
        }
    }
}
