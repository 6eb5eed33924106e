//! Cuts lists of examples into batches, over the part of the model that they touch.

use tch::{Device, TchError, Tensor};

use super::vectors::Vectors;
use crate::data::batch::{AttentionLayout, Batch};
use crate::data::{Corpus, ExampleId, LabelSet, Minibatches, TokenSubset};
use crate::meta::step_rule::step_sizes_of;
use crate::meta::{Adapted, HeadStart, Recipe, Steps, Support, Whole};
use crate::model::Classifier;
use crate::params::{ParamSet, Region, Rows, TaskView};

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

/// Wordpieces in one piece of a support set that is embedded.
const TOKENS_OF_PIECE: usize = 4_096;

impl TaskBuilder<'_> {
    /// The part of `params` that texts of `examples`, and names of `labels` where they are read, touch, if adapting that part
    /// alone gives the same result; else all.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn touched(
        &self,
        params: &ParamSet,
        examples: &[ExampleId],
        labels: &LabelSet,
    ) -> Result<Touched, TchError> {
        let layout = params.layout();
        let view = TaskView::whole(layout);
        if !self.recipe.leaves_unseen_rows() {
            return Ok(Touched { view, wordpieces: None });
        }
        let texts = examples.iter().map(|&example| self.corpus.tokens_of(example));
        let wordpieces = TokenSubset::of(texts.chain(self.names_of(labels)));
        let rows: Vec<i64> = wordpieces.ids().iter().map(|&id| i64::from(id)).collect();
        let table = self.classifier.bert().word_embeddings();
        let mut view = view.with_rows(table, Rows::distinct(&rows, self.device)?);
        if let Some(sizes) = step_sizes_of(layout, table) {
            view = view.with_rows(sizes, Rows::distinct(&rows, self.device)?);
        }
        Ok(Touched { view, wordpieces: Some(wordpieces) })
    }

    /// A batch of these examples, in their order, with the ids or the row numbers of their wordpieces, and with their labels
    /// as `labels` numbers them.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn batch(
        &self,
        examples: &[ExampleId],
        labels: &LabelSet,
        wordpieces: Option<&TokenSubset>,
    ) -> Result<Batch, TchError> {
        let text = |&id: &ExampleId| (self.corpus.tokens_of(id), self.number_of(id, labels));
        self.pack(&examples.iter().map(text).collect::<Vec<_>>(), wordpieces)
    }

    /// The support set as the recipe reads it, with its minibatches in an order drawn from `order_seed`. Texts that `vectors`
    /// has are not embedded again, and names of labels that do not belong to the texts are then left out.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn support(
        &self,
        support: &[ExampleId],
        labels: &LabelSet,
        wordpieces: Option<&TokenSubset>,
        vectors: Option<&Vectors>,
        order_seed: u64,
    ) -> Result<Support<Batch>, TchError> {
        let mut texts = self.texts(support, labels);
        if self.leaves_names_out(support, labels, vectors)? {
            texts.truncate(support.len());
        }
        let whole = match vectors {
            _ if !self.recipe.reads_whole() => Whole::Unread,
            Some(vectors) => {
                let (numbers, with_names) =
                    (self.numbers(support, labels), texts.len() > support.len());
                Whole::Embedded(vectors.embedded(support, &numbers, with_names, self.recipe)?)
            }
            None => Whole::Texts(self.pieces(&texts, support.len(), wordpieces)?),
        };
        let visit = self.recipe.visit;
        let all: Vec<u32> = (0..texts.len() as u32).collect();
        let minibatches = Minibatches::new(all, visit.batch_of(texts.len()), order_seed);
        let steps = (0..visit.num_steps(support.len())).map(|step| minibatches.minibatch(step));
        let steps = if self.recipe.steps_on_vectors() {
            let rows = |rows: Vec<u32>| {
                let rows: Vec<i64> = rows.into_iter().map(i64::from).collect();
                Tensor::f_from_slice(&rows)?.f_to_device(self.device)
            };
            Steps::Rows(steps.map(rows).collect::<Result<_, _>>()?)
        } else {
            let batch = |positions: Vec<u32>| {
                let chosen = positions.iter().map(|&position| texts[position as usize]);
                self.pack(&chosen.collect::<Vec<_>>(), wordpieces)
            };
            Steps::Texts(steps.map(batch).collect::<Result<_, _>>()?)
        };
        let numbers: Vec<u32> = texts.iter().map(|(_, number)| *number).collect();
        let label_weights = self.recipe.class_weights.of(&numbers, labels.ids().len());
        let label_weights = label_weights
            .map(|it| Tensor::f_from_slice(&it)?.f_to_device(self.device))
            .transpose()?;
        Ok(Support { whole, steps, label_weights })
    }

    /// `theta`, whose head has the rows of `labels`, adapted to `support`; without step sizes. The order of the minibatches and
    /// the dropout masks come from `seed`.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn adapt(
        &self,
        theta: &ParamSet,
        support: &[ExampleId],
        labels: &LabelSet,
        vectors: Option<&Vectors>,
        seed: u64,
    ) -> Result<Adapted, TchError> {
        let Touched { view, wordpieces } = match self.recipe.moves_encoder() {
            true => self.touched(theta, support, labels)?,
            // Nothing of the tables would come back changed.
            false => Touched { view: TaskView::whole(theta.layout()), wordpieces: None },
        };
        let wordpieces = wordpieces.as_ref();
        let batches = self.support(support, labels, wordpieces, vectors, seed)?;
        let adapted = self.recipe.adapt(self.classifier, &view.gather(theta)?, &batches, seed)?;
        let model = |weights: &ParamSet| {
            let all = view.expand(theta, weights, |slot| slot.region == Region::Embeddings)?;
            Ok::<_, TchError>(all.select(|slot| slot.region != Region::StepSizes))
        };
        let Adapted { start, weights, losses } = adapted;
        Ok(Adapted { start: model(&start)?, weights: model(&weights)?, losses })
    }

    /// Whether the recipe reads the names of `labels` and they do not belong to the texts of `support`, whose `vectors` are known.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn leaves_names_out(
        &self,
        support: &[ExampleId],
        labels: &LabelSet,
        vectors: Option<&Vectors>,
    ) -> Result<bool, TchError> {
        match vectors {
            Some(vectors) if self.recipe.head == HeadStart::LabelNames => {
                Ok(!vectors.names_belong(support, &self.numbers(support, labels))?)
            }
            _ => Ok(false),
        }
    }

    fn number_of(&self, example: ExampleId, labels: &LabelSet) -> u32 {
        labels.number_of(self.corpus.label_of(example))
    }

    fn numbers(&self, examples: &[ExampleId], labels: &LabelSet) -> Vec<u32> {
        examples.iter().map(|&example| self.number_of(example, labels)).collect()
    }

    /// The names of `labels`, where the recipe reads them.
    fn names_of<'a>(&'a self, labels: &'a LabelSet) -> impl Iterator<Item = &'a [u32]> {
        let are_read = self.recipe.head == HeadStart::LabelNames;
        labels.ids().iter().filter(move |_| are_read).map(|&label| self.corpus.name_of(label))
    }

    /// The texts that are adapted to, each with the number of its label: those of `support`, and after them the names of the
    /// labels, where these are read.
    fn texts<'a>(&'a self, support: &[ExampleId], labels: &'a LabelSet) -> Vec<(&'a [u32], u32)> {
        let of_example = |&id: &ExampleId| (self.corpus.tokens_of(id), self.number_of(id, labels));
        support.iter().map(of_example).chain(self.names_of(labels).zip(0..)).collect()
    }

    fn pack(
        &self,
        texts: &[(&[u32], u32)],
        wordpieces: Option<&TokenSubset>,
    ) -> Result<Batch, TchError> {
        let layout = AttentionLayout::for_device(self.device);
        let labels: Vec<u32> = texts.iter().map(|(_, label)| *label).collect();
        let renumbered: Vec<Vec<u32>>;
        let texts: Vec<&[u32]> = match wordpieces {
            Some(wordpieces) => {
                renumbered = texts.iter().map(|(text, _)| wordpieces.renumber(text)).collect();
                renumbered.iter().map(Vec::as_slice).collect()
            }
            None => texts.iter().map(|(text, _)| *text).collect(),
        };
        Batch::pack(&texts, &labels, layout, self.device)
    }

    /// `texts` in pieces of limited size, each with the weight of its texts in a prototype; the first `num_support` are no names.
    fn pieces(
        &self,
        texts: &[(&[u32], u32)],
        num_support: usize,
        wordpieces: Option<&TokenSubset>,
    ) -> Result<Vec<(Batch, f64)>, TchError> {
        let (support, names) = texts.split_at(num_support);
        let mut pieces = Vec::new();
        for (mut rest, weight) in [(support, 1.0), (names, self.recipe.name_weight)] {
            while !rest.is_empty() {
                let lengths = rest.iter().scan(0, |sum, (text, _)| {
                    *sum += text.len();
                    Some(*sum)
                });
                let count = lengths.take_while(|&sum| sum <= TOKENS_OF_PIECE).count().max(1);
                let (piece, others) = rest.split_at(count);
                pieces.push((self.pack(piece, wordpieces)?, weight));
                rest = others;
            }
        }
        Ok(pieces)
    }
}
