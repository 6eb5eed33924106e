//! From an episode's examples to the batches and weights that are computed on.

use tch::{Device, TchError};

use super::learner::TextLearner;
use crate::data::batch::{AttentionLayout, Batch};
use crate::data::{Corpus, DomainId, EpisodeSampler, ExampleId, Minibatches, TokenSubset};
use crate::meta::{EpisodeOutcome, InnerConfig, MetaAlgorithm, Task};
use crate::model::Classifier;
use crate::params::{CompactTable, ParamSet};
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
    /// The wordpieces of `examples`, if adapting their embedding rows alone gives the same result: with weight decay every
    /// row moves.
    pub fn tokens(&self, examples: &[ExampleId]) -> Option<TokenSubset> {
        let texts = examples.iter().map(|&example| self.corpus.tokens_of(example));
        (self.inner.weight_decay == 0.0).then(|| TokenSubset::of(texts))
    }

    /// A batch of these examples, in their order; with `tokens`, of their numbers there.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn batch(
        &self,
        examples: &[ExampleId],
        tokens: Option<&TokenSubset>,
    ) -> Result<Batch, TchError> {
        let layout = AttentionLayout::for_device(self.device);
        let labels: Vec<u32> = examples.iter().map(|&id| self.corpus.label_of(id)).collect();
        let texts = examples.iter().map(|&id| self.corpus.tokens_of(id));
        let renumbered: Vec<Vec<u32>>;
        let texts: Vec<&[u32]> = match tokens {
            Some(tokens) => {
                renumbered = texts.map(|text| tokens.renumber(text)).collect();
                renumbered.iter().map(Vec::as_slice).collect()
            }
            None => texts.collect(),
        };
        Batch::pack(&texts, &labels, layout, self.device)
    }

    /// One batch for each adaptation step on `support`, in an order drawn from `order_seed`.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn support(
        &self,
        support: &[ExampleId],
        tokens: Option<&TokenSubset>,
        order_seed: u64,
    ) -> Result<Vec<Batch>, TchError> {
        let minibatches = Minibatches::new(support.to_vec(), self.inner.batch, order_seed);
        (0..self.inner.num_steps(support.len()))
            .map(|step| self.batch(&minibatches.minibatch(step), tokens))
            .collect()
    }

    /// The embedding rows of `tokens`.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn compact_table(
        &self,
        classifier: &Classifier,
        tokens: &TokenSubset,
    ) -> Result<CompactTable, TchError> {
        let slot = classifier.bert().word_embeddings();
        CompactTable::new(classifier.layout(), slot, tokens.ids(), self.device)
    }
}

/// Where the outer loop takes its tasks from: task `index` is a pure function of seed and index.
pub enum TaskSource {
    /// Episodes of the meta-train domains.
    Episodes(EpisodeSampler),
    /// Minibatches of all meta-train examples pooled.
    Pooled(Minibatches),
}

/// A task and where it comes from.
pub struct SourcedTask {
    /// The domain; `None` for a pooled minibatch.
    pub domain: Option<DomainId>,
    /// The query examples, in the order of the query logits.
    pub query: Vec<ExampleId>,
    /// The batches.
    pub task: Task<Batch>,
    /// What the batches number their tokens by; `None` where they hold token ids.
    pub tokens: Option<TokenSubset>,
}

impl TaskSource {
    /// Minibatches of `examples` for the run with this seed.
    pub fn pooled(examples: Vec<ExampleId>, inner: &InnerConfig, run_seed: u64) -> Self {
        let order_seed = seed::derive(run_seed, "pooled order", 0);
        Self::Pooled(Minibatches::new(examples, inner.batch, order_seed))
    }

    /// Adaptation steps of a task.
    pub fn num_support_steps(&self, builder: &TaskBuilder) -> usize {
        match self {
            Self::Episodes(sampler) => builder.inner.num_steps(sampler.num_support()),
            Self::Pooled(_) => 0,
        }
    }

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
                (Some(episode.domain), episode.support, episode.query)
            }
            Self::Pooled(minibatches) => (None, Vec::new(), minibatches.minibatch(index as usize)),
        };
        let tokens = builder.tokens(&[support.as_slice(), &query].concat());
        let support = match self {
            Self::Episodes(_) => {
                let order_seed = seed::derive(run_seed, "support order", index);
                builder.support(&support, tokens.as_ref(), order_seed)?
            }
            Self::Pooled(_) => Vec::new(),
        };
        let query_batch = builder.batch(&query, tokens.as_ref())?;
        let task = Task { support, query: query_batch, dropout_seed };
        Ok(SourcedTask { domain, query, task, tokens })
    }
}

/// What a task contributes to an outer step.
pub struct Contribution {
    /// The domain; `None` for a pooled minibatch.
    pub domain: Option<DomainId>,
    /// The query examples, in the order of the query logits.
    pub query: Vec<ExampleId>,
    /// Losses, logits and meta-gradient; the latter has the rows of `table` only, where there is one.
    pub outcome: EpisodeOutcome,
    table: Option<CompactTable>,
}

impl SourcedTask {
    /// The task's contribution at the meta-parameters `meta`.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn contribution<'a>(
        self,
        builder: &TaskBuilder,
        algorithm: &dyn MetaAlgorithm<TextLearner<'a>>,
        learner: &TextLearner<'a>,
        meta: &ParamSet,
    ) -> Result<Contribution, TchError> {
        let Self { domain, query, task, tokens } = self;
        let table = tokens
            .map(|tokens| builder.compact_table(learner.classifier(), &tokens))
            .transpose()?;
        let compact = table.as_ref().map(|table| table.gather(meta)).transpose()?;
        let start = compact.as_ref().unwrap_or(meta);
        learner.turn_to(None);
        let outcome = algorithm.meta_gradient(learner, start, &task)?;
        Ok(Contribution { domain, query, outcome, table })
    }
}

impl Contribution {
    /// Adds `factor` times the meta-gradient to `sum`.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn add_to(&self, sum: &mut ParamSet, factor: f64) -> Result<(), TchError> {
        match &self.table {
            Some(table) => table.add_scaled(sum, &self.outcome.gradient, factor),
            None => sum.add_scaled(&self.outcome.gradient, factor),
        }
    }
}
