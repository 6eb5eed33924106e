//! The support set of a task, as its recipe reads it.

use tch::{TchError, Tensor};

/// The support set of a task, as its recipe reads it.
#[derive(Debug)]
pub struct Support<B> {
    /// Each example once, where a recipe wants that.
    pub whole: Whole<B>,
    /// What each gradient step is taken on, in order.
    pub steps: Steps<B>,
}

impl<B> Support<B> {
    /// A step on each of these batches, and nothing else to read.
    pub fn of_steps(batches: Vec<B>) -> Self {
        Self { whole: Whole::Unread, steps: Steps::Texts(batches) }
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
}

impl Embedded {
    /// The same vectors under another handle.
    pub(super) fn shallow_clone(&self) -> Self {
        let [features, labels, weights] =
            [&self.features, &self.labels, &self.weights].map(Tensor::shallow_clone);
        Self { features, labels, weights }
    }

    /// The weighted mean vector of each label, `[labels, hidden]`. Every label has an example.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn prototypes(&self, num_labels: i64) -> Result<Tensor, TchError> {
        // As a product, whose order of additions is fixed on every device.
        let of_label = self.labels.f_one_hot(num_labels)?.f_transpose(0, 1)?;
        let weights = of_label.f_to_kind(self.features.kind())?.f_mul(&self.weights)?;
        let sums = weights.f_sum_dim_intlist([1].as_slice(), true, weights.kind())?;
        weights.f_div(&sums)?.f_matmul(&self.features)
    }

    /// Some of the examples: `rows` `[batch]`, int64.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub(super) fn rows(&self, rows: &Tensor) -> Result<(Tensor, Tensor), TchError> {
        Ok((self.features.f_index_select(0, rows)?, self.labels.f_index_select(0, rows)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    #[test]
    fn a_prototype_is_the_weighted_mean_of_its_label() {
        let embedded = Embedded {
            features: Tensor::from_slice(&[1.0, 2.0, 3.0, 5.0, -1.0, 0.0]).view([3, 2]),
            labels: Tensor::from_slice(&[1_i64, 0, 1]),
            weights: Tensor::from_slice(&[1.0, 1.0, 3.0]),
        };
        let found = embedded.prototypes(2).unwrap();
        assert_eq!(Vec::<f64>::try_from(found.reshape([-1])).unwrap(), [3.0, 5.0, -0.5, 0.5]);
        assert_eq!(found.kind(), Kind::Double);
    }
}
