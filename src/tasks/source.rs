//! Where the outer loop takes its tasks from: task `index` is a pure function of seed and index.

use tch::TchError;

use super::builder::{TaskBuilder, Touched};
use super::head_rows::HeadRows;
use crate::data::batch::Batch;
use crate::data::{EpisodeSampler, ExampleId, LabelSet, Minibatches};
use crate::meta::{HeadStart, Support, Task};
use crate::params::ParamSet;
use crate::seed;

/// The examples that tasks are drawn from.
pub enum Source {
    /// Episodes of the meta-train domains.
    Episodes(EpisodeSampler),
    /// Minibatches of all meta-train examples pooled, with these labels.
    Pooled(Minibatches, LabelSet),
}

impl Source {
    /// Minibatches of `batch` of `examples`, in the order of the run with this seed.
    pub fn pooled(examples: Vec<ExampleId>, labels: LabelSet, batch: usize, run_seed: u64) -> Self {
        let order_seed = seed::derive(run_seed, "pooled order", 0);
        Self::Pooled(Minibatches::new(examples, batch, order_seed), labels)
    }
}

/// The tasks of a run.
pub struct TextTasks<'a> {
    /// Cuts examples into batches.
    pub builder: TaskBuilder<'a>,
    /// The examples.
    pub source: Source,
    /// Where the head of the meta-parameters has the labels.
    pub head_rows: HeadRows,
    /// Names of all domains of the dataset, by id.
    pub domain_names: &'a [String],
    /// Seed of the run.
    pub run_seed: u64,
}

impl TextTasks<'_> {
    /// Adaptation steps of a task; the most where tasks differ.
    pub fn num_support_steps(&self) -> usize {
        match &self.source {
            Source::Episodes(sampler) => self.builder.recipe.visit.num_steps(sampler.num_support()),
            Source::Pooled(..) => 0,
        }
    }

    /// The wordpieces in the texts of task number `index`.
    pub fn num_wordpieces(&self, index: u64) -> u64 {
        let examples = match &self.source {
            Source::Episodes(sampler) => {
                let episode = sampler.episode(index);
                [episode.support, episode.query].concat()
            }
            Source::Pooled(minibatches, _) => minibatches.minibatch(index as usize),
        };
        let lengths = examples.iter().map(|&id| self.builder.corpus.tokens_of(id).len() as u64);
        lengths.sum()
    }

    /// Task number `index`, for meta-parameters like `meta`.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn task(&self, meta: &ParamSet, index: u64) -> Result<Task<Batch>, TchError> {
        let _span = tracing::trace_span!("collate").entered();
        let Self { builder, run_seed, head_rows, .. } = self;
        let dropout_seed = seed::derive(*run_seed, "dropout", index);
        let head = builder.classifier.head();
        match &self.source {
            Source::Episodes(sampler) => {
                let episode = sampler.episode(index);
                let labels = &episode.labels;
                let examples = [episode.support.as_slice(), &episode.query].concat();
                let Touched { view, wordpieces } = builder.touched(meta, &examples, labels)?;
                let wordpieces = wordpieces.as_ref();
                let order_seed = seed::derive(*run_seed, "support order", index);
                Ok(Task {
                    index,
                    domain: Some(self.domain_names[episode.domain as usize].clone()),
                    support: builder.support(
                        &episode.support,
                        labels,
                        wordpieces,
                        None,
                        order_seed,
                    )?,
                    query: builder.batch(&episode.query, labels, wordpieces)?,
                    view: head_rows.see(view, meta, head, labels, builder.recipe.head)?,
                    dropout_seed,
                })
            }
            Source::Pooled(minibatches, labels) => {
                let query = minibatches.minibatch(index as usize);
                let Touched { view, wordpieces } = builder.touched(meta, &query, labels)?;
                Ok(Task {
                    index,
                    domain: None,
                    support: Support::of_steps(Vec::new()),
                    query: builder.batch(&query, labels, wordpieces.as_ref())?,
                    view: head_rows.see(view, meta, head, labels, HeadStart::Meta)?,
                    dropout_seed,
                })
            }
        }
    }
}
