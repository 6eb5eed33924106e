//! Whether the names of labels are worth reading.

use tch::{Kind, TchError, Tensor};

use super::prototypes::nearest_prototype;
use super::support::Embedded;
use crate::torch_ext;

/// Whether `names` (`[labels, hidden]`) belong to the labels that the labelled texts give them: whether a guess from the
/// distances of each name to the prototypes of the texts gives its label a higher likelihood, in the mean, than a guess at random.
///
/// "card arrival" lies near the texts of its label. A number, a code or a key lies anywhere, and what it would add to
/// a prototype is noise. The distances are scaled to unit variance, so that the encoder's own scale does not matter.
///
/// # Errors
/// Any error of libtorch.
pub fn names_belong(texts: &Embedded, names: &Tensor) -> Result<bool, TchError> {
    tch::no_grad(|| {
        let num_labels = names.size()[0];
        let (rows, terms) = nearest_prototype(&texts.prototypes(num_labels)?, 1.0)?;
        let scores = torch_ext::linear(names, &rows, Some(&terms))?.f_to_kind(Kind::Double)?;
        let centred = scores.f_sub(&scores.f_mean_dim([1].as_slice(), true, Kind::Double)?)?;
        let scaled = centred.f_div(&centred.f_square()?.f_mean(Kind::Double)?.f_sqrt()?)?;
        let own = scaled.f_log_softmax(1, Kind::Double)?.f_diagonal(0, 0, 1)?;
        // Where all scores are alike this is not a number, and no more than chance.
        let likelihood = own.f_mean(Kind::Double)?.f_double_value(&[])?;
        Ok(likelihood > -(num_labels as f64).ln())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two texts of each of four labels, on the axes, the second one three times as far out.
    fn texts(scale: f64) -> Embedded {
        let axes = Tensor::eye(4, (Kind::Double, tch::Device::Cpu)) * scale;
        let labels = Tensor::arange(4, (Kind::Int64, tch::Device::Cpu));
        Embedded {
            features: Tensor::cat(&[&axes, &(&axes * 3.0)], 0),
            labels: Tensor::cat(&[&labels, &labels], 0),
            weights: Tensor::ones([8], (Kind::Double, tch::Device::Cpu)),
            unlabelled: None,
        }
    }

    /// A name on the axis of each of these labels.
    fn names(of_labels: [i64; 4]) -> Tensor {
        let axes = Tensor::eye(4, (Kind::Double, tch::Device::Cpu));
        axes.index_select(0, &Tensor::from_slice(&of_labels))
    }

    #[test]
    fn names_belong_where_they_lie_near_the_texts_of_their_labels() {
        for scale in [1.0, 100.0] {
            for (of_labels, expected) in [
                ([0, 1, 2, 3], true),
                // Three of four are enough.
                ([0, 1, 2, 2], true),
                ([1, 2, 3, 0], false),
                ([3, 1, 0, 2], false),
                ([2, 2, 2, 2], false),
            ] {
                let found = names_belong(&texts(scale), &names(of_labels)).unwrap();
                assert_eq!(found, expected, "{of_labels:?}, texts {scale} long");
            }
        }
    }

    #[test]
    fn names_that_are_all_alike_do_not_belong() {
        for name in [0.0, 0.5] {
            let names = Tensor::full([4, 4], name, (Kind::Double, tch::Device::Cpu));
            assert!(!names_belong(&texts(1.0), &names).unwrap(), "{name}");
        }
    }
}
