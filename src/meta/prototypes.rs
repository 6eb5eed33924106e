//! Prototypes: the mean vectors of labels, and the head that answers with the nearest.

use tch::{TchError, Tensor};

use super::support::Embedded;
use crate::torch_ext;

/// The affine map whose logits are, but for a term that all labels share, `temperature` times minus the squared distance to
/// each of `prototypes` (`[labels, hidden]`): weight `2 t c`, bias `-t c.c` (Snell et al. 2017, eq. 8).
pub(super) fn nearest_prototype(
    prototypes: &Tensor,
    temperature: f64,
) -> Result<(Tensor, Tensor), TchError> {
    let squares = prototypes.f_square()?;
    let norms = squares.f_sum_dim_intlist([1].as_slice(), false, prototypes.kind())?;
    Ok((prototypes.f_mul_scalar(2.0 * temperature)?, norms.f_mul_scalar(-temperature)?))
}

impl Embedded {
    /// The weighted mean vector of each label, `[labels, hidden]`. Every label has an example. A text without a label counts
    /// for the label whose mean over the others is nearest: one step of k-means (Ren et al. 2018, "Meta-Learning for
    /// Semi-Supervised Few-Shot Classification").
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn prototypes(&self, num_labels: i64) -> Result<Tensor, TchError> {
        let kind = self.features.kind();
        let by_label =
            |labels: &Tensor| labels.f_one_hot(num_labels)?.f_transpose(0, 1)?.f_to_kind(kind);
        // As a product, whose order of additions is fixed on every device.
        let mean = |weights: &Tensor, features: &Tensor| {
            let sums = weights.f_sum_dim_intlist([1].as_slice(), true, kind)?;
            torch_ext::matmul(&weights.f_div(&sums)?, features)
        };
        let labelled = by_label(&self.labels)?.f_mul(&self.weights)?;
        let means = mean(&labelled, &self.features)?;
        let Some((unlabelled, weight)) = &self.unlabelled else { return Ok(means) };
        let (rows, terms) = nearest_prototype(&means, 1.0)?;
        let logits = torch_ext::linear(unlabelled, &rows, Some(&terms))?;
        let guessed = by_label(&logits.f_argmax(1, false)?)?.f_mul_scalar(*weight)?;
        mean(
            &Tensor::f_cat(&[labelled, guessed], 1)?,
            &Tensor::f_cat(&[&self.features, unlabelled], 0)?,
        )
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
            unlabelled: None,
        };
        let found = embedded.prototypes(2).unwrap();
        assert_eq!(Vec::<f64>::try_from(found.reshape([-1])).unwrap(), [3.0, 5.0, -0.5, 0.5]);
        assert_eq!(found.kind(), Kind::Double);
    }

    #[test]
    fn a_text_without_a_label_counts_where_the_nearest_prototype_is() {
        let unlabelled = Tensor::from_slice(&[0.0, 1.5, 0.5, 0.5, 3.0, 2.5]).view([3, 2]);
        let embedded = Embedded {
            features: Tensor::from_slice(&[3.0, 3.0, 0.0, 1.0]).view([2, 2]),
            labels: Tensor::from_slice(&[1_i64, 0]),
            weights: Tensor::from_slice(&[1.0, 2.0]),
            unlabelled: Some((unlabelled, 0.5)),
        };
        let found = embedded.prototypes(2).unwrap();
        let expected = [
            (0.5 * 0.0 + 0.5 * 0.5) / 3.0,
            (2.0 * 1.0 + 0.5 * 1.5 + 0.5 * 0.5) / 3.0,
            (3.0 + 0.5 * 3.0) / 1.5,
            (3.0 + 0.5 * 2.5) / 1.5,
        ];
        let found = Vec::<f64>::try_from(found.reshape([-1])).unwrap();
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }

    #[test]
    fn logits_of_prototypes_are_squared_distances() {
        let prototypes = Tensor::from_slice(&[1.0, 0.0, -0.5, 2.0]).view([2, 2]);
        let (weight, bias) = nearest_prototype(&prototypes, 3.0).unwrap();
        let text = Tensor::from_slice(&[0.25, 0.75]).view([1, 2]);
        let logits = text.matmul(&weight.transpose(0, 1)) + bias;
        let distance = |x: f64, y: f64| (0.25 - x).powi(2) + (0.75 - y).powi(2);
        let difference = logits.double_value(&[0, 0]) - logits.double_value(&[0, 1]);
        let expected = 3.0 * (distance(-0.5, 2.0) - distance(1.0, 0.0));
        assert!((difference - expected).abs() < 1e-12, "{difference}, {expected}");
    }
}
