//! From an episode's examples to the batches that are computed on.

use tch::{Device, TchError};

use crate::data::batch::{AttentionLayout, Batch};
use crate::data::corpus::Corpus;
use crate::data::minibatch::minibatch;
use crate::data::{DomainId, EpisodeSampler, ExampleId};
use crate::meta::{InnerConfig, Task};
use crate::seed;

/// Cuts example lists into batches on one device.
#[derive(Clone, Copy)]
pub struct TaskBuilder<'a> {
    /// The tokenised texts.
    pub corpus: &'a Corpus,
    /// How a support set is visited.
    pub inner: &'a InnerConfig,
    /// Where the batches go.
    pub device: Device,
}

impl TaskBuilder<'_> {
    /// A batch of these examples, in their order.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn batch(&self, examples: &[ExampleId]) -> Result<Batch, TchError> {
        let layout = AttentionLayout::for_device(self.device);
        Batch::of_examples(self.corpus, examples, layout, self.device)
    }

    /// One batch for each adaptation step on `support`, in an order drawn from `order_seed`.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn support(&self, support: &[ExampleId], order_seed: u64) -> Result<Vec<Batch>, TchError> {
        let batch_size = self.inner.batch;
        (0..self.inner.num_steps(support.len()))
            .map(|step| self.batch(&minibatch(support, batch_size, order_seed, step)))
            .collect()
    }
}

/// Where the outer loop takes its tasks from: task `index` is a pure function of seed and index.
pub enum TaskSource {
    /// Episodes of the meta-train domains.
    Episodes(EpisodeSampler),
    /// Minibatches of all meta-train examples pooled.
    Pooled(Vec<ExampleId>),
}

/// A task and where it comes from.
pub struct SourcedTask {
    /// The domain; `None` for a pooled minibatch.
    pub domain: Option<DomainId>,
    /// The query examples, in the order of the query logits.
    pub query: Vec<ExampleId>,
    /// The batches.
    pub task: Task<Batch>,
}

impl TaskSource {
    /// Task number `index` of the run with this seed.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn task(
        &self,
        builder: &TaskBuilder,
        run_seed: u64,
        index: u64,
    ) -> Result<SourcedTask, TchError> {
        let dropout_seed = seed::derive(run_seed, "dropout", index);
        let (domain, support, query) = match self {
            Self::Episodes(sampler) => {
                let episode = sampler.episode(index);
                let order_seed = seed::derive(run_seed, "support order", index);
                let support = builder.support(&episode.support, order_seed)?;
                (Some(episode.domain), support, episode.query)
            }
            Self::Pooled(examples) => {
                let order_seed = seed::derive(run_seed, "pooled order", 0);
                let batch = minibatch(examples, builder.inner.batch, order_seed, index as usize);
                (None, Vec::new(), batch)
            }
        };
        let task = Task { support, query: builder.batch(&query)?, dropout_seed };
        Ok(SourcedTask { domain, query, task })
    }
}
