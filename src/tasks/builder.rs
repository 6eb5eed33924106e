//! Cuts lists of examples into batches, over the part of the model that they touch.

use tch::{Device, TchError};

use crate::data::batch::{AttentionLayout, Batch};
use crate::data::{Corpus, ExampleId, Minibatches, TokenSubset};
use crate::meta::Recipe;
use crate::model::Classifier;
use crate::params::{ParamSet, TaskView};

/// Cuts lists of examples into batches on one device, and adapts to them.
#[derive(Clone, Copy)]
pub struct TaskBuilder<'a> {
    /// The model.
    pub classifier: &'a Classifier,
    /// How a support set is visited, and which rows that leaves alone.
    pub recipe: &'a Recipe,
    /// The tokenised texts.
    pub corpus: &'a Corpus,
    /// Where the batches go.
    pub device: Device,
}

/// The part of the parameters that some examples touch, with their wordpieces as that part numbers them.
pub struct Touched {
    /// The part.
    pub view: TaskView,
    /// The wordpieces by their row in the view; `None` where the view has the whole table.
    pub wordpieces: Option<TokenSubset>,
}

impl TaskBuilder<'_> {
    /// The part of the parameters that `examples` touch, if adapting that part alone gives the same result; else all.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn touched(&self, examples: &[ExampleId]) -> Result<Touched, TchError> {
        let layout = self.classifier.layout();
        if !self.recipe.leaves_unseen_rows() {
            return Ok(Touched { view: TaskView::whole(layout), wordpieces: None });
        }
        let texts = examples.iter().map(|&example| self.corpus.tokens_of(example));
        let wordpieces = TokenSubset::of(texts);
        let table = self.classifier.bert().word_embeddings();
        let view = TaskView::of_rows(layout, table, wordpieces.ids(), self.device)?;
        Ok(Touched { view, wordpieces: Some(wordpieces) })
    }

    /// A batch of these examples, in their order, with the ids or the row numbers of their wordpieces.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn batch(
        &self,
        examples: &[ExampleId],
        wordpieces: Option<&TokenSubset>,
    ) -> Result<Batch, TchError> {
        let layout = AttentionLayout::for_device(self.device);
        let labels: Vec<u32> = examples.iter().map(|&id| self.corpus.label_of(id)).collect();
        let texts = examples.iter().map(|&id| self.corpus.tokens_of(id));
        let renumbered: Vec<Vec<u32>>;
        let texts: Vec<&[u32]> = match wordpieces {
            Some(wordpieces) => {
                renumbered = texts.map(|text| wordpieces.renumber(text)).collect();
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
        wordpieces: Option<&TokenSubset>,
        order_seed: u64,
    ) -> Result<Vec<Batch>, TchError> {
        let visit = self.recipe.visit;
        let minibatches = Minibatches::new(support.to_vec(), visit.batch, order_seed);
        (0..visit.num_steps(support.len()))
            .map(|step| self.batch(&minibatches.minibatch(step), wordpieces))
            .collect()
    }

    /// A copy of `start` adapted to `support`. The order of the minibatches and the dropout masks come from `seed`.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn adapt(
        &self,
        start: &ParamSet,
        support: &[ExampleId],
        seed: u64,
    ) -> Result<ParamSet, TchError> {
        let Touched { view, wordpieces } = self.touched(support)?;
        let batches = self.support(support, wordpieces.as_ref(), seed)?;
        let adapted = self.recipe.adapt(self.classifier, &view.gather(start)?, &batches, seed)?;
        view.expand(start, &adapted.weights)
    }
}
