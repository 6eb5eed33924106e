//! The support set of a task, as its recipe reads it.

use tch::{TchError, Tensor};

/// The support set of a task, as its recipe reads it.
#[derive(Debug)]
pub struct Support<B> {
    /// Each example once, where a recipe wants that.
    pub whole: Whole<B>,
    /// What each gradient step is taken on, in order.
    pub steps: Steps<B>,
    /// How much a text of each label counts in the loss of a step, `[labels]`, float; `None` where all count alike.
    pub label_weights: Option<Tensor>,
}

impl<B> Support<B> {
    /// A step on each of these batches, and nothing else to read.
    pub fn of_steps(batches: Vec<B>) -> Self {
        Self { whole: Whole::Unread, steps: Steps::Texts(batches), label_weights: None }
    }
}

/// Each example of a support set once.
#[derive(Debug)]
pub enum Whole<B> {
    /// Nothing: the recipe does not ask for it.
    Unread,
    /// Texts to be embedded, in pieces, each with the weight of its texts in a prototype.
    Texts(Vec<(B, f64)>),
    /// The vectors of texts that are embedded already, by the weights that the adaptation starts from.
    Embedded(Embedded),
}

/// What gradient steps are taken on.
#[derive(Debug)]
pub enum Steps<B> {
    /// A batch a step.
    Texts(Vec<B>),
    /// Rows of the embedded support set, `[batch]`, int64: the encoder does not move.
    Rows(Vec<Tensor>),
}

impl<B> Steps<B> {
    /// The number of gradient steps.
    pub fn len(&self) -> usize {
        match self {
            Self::Texts(batches) => batches.len(),
            Self::Rows(rows) => rows.len(),
        }
    }

    /// Whether no step is taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Labelled vectors.
#[derive(Debug)]
pub struct Embedded {
    /// `[examples, hidden]`.
    pub features: Tensor,
    /// `[examples]`, int64.
    pub labels: Tensor,
    /// How much each counts in the mean of its label, `[examples]`, in the dtype of the features.
    pub weights: Tensor,
    /// Vectors of texts without labels, `[texts, hidden]`, and how much each counts in the mean of the label that it is guessed to
    /// have.
    pub unlabelled: Option<(Tensor, f64)>,
}

impl Embedded {
    /// The same vectors under another handle.
    pub(super) fn shallow_clone(&self) -> Self {
        let [features, labels, weights] =
            [&self.features, &self.labels, &self.weights].map(Tensor::shallow_clone);
        let unlabelled = self.unlabelled.as_ref();
        let unlabelled = unlabelled.map(|(features, weight)| (features.shallow_clone(), *weight));
        Self { features, labels, weights, unlabelled }
    }

    /// Some of the examples: `rows` `[batch]`, int64.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub(super) fn rows(&self, rows: &Tensor) -> Result<(Tensor, Tensor), TchError> {
        Ok((self.features.f_index_select(0, rows)?, self.labels.f_index_select(0, rows)?))
    }
}
