//! The head that an adaptation starts from.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tch::{TchError, Tensor};

use super::Embedded;
use super::choice::named;
use crate::model::classifier::Head;
use crate::params::ParamSet;

/// The head that an adaptation starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadStart {
    /// The rows of the meta-parameters that belong to the task's labels.
    Meta,
    /// One row of the meta-parameters for every label.
    Shared,
    /// Zeros.
    Zeros,
    /// The mean vector of each label's support texts.
    Prototypes,
    /// The same, where a label's name counts as support texts.
    LabelNames,
}

impl HeadStart {
    const ALL: [Self; 5] =
        [Self::Meta, Self::Shared, Self::Zeros, Self::Prototypes, Self::LabelNames];

    /// Whether it is made of the support set.
    pub fn is_made_of_support(self) -> bool {
        matches!(self, Self::Prototypes | Self::LabelNames)
    }

    /// `theta` with the head that an adaptation starts from; `support` where it is made of that.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub(super) fn of(
        self,
        theta: &ParamSet,
        head: Head,
        support: Option<&Embedded>,
        temperature: f64,
    ) -> Result<ParamSet, TchError> {
        let (weight, bias) = match (self, support) {
            (Self::Prototypes | Self::LabelNames, Some(support)) => {
                let num_labels = theta.get(head.weight).size()[0];
                nearest_prototype(&support.prototypes(num_labels)?, temperature)?
            }
            (Self::Zeros, _) => {
                let zeros = |slot| theta.get(slot).f_zeros_like()?.f_detach();
                (zeros(head.weight)?, zeros(head.bias)?)
            }
            _ => return Ok(theta.shallow_clone()),
        };
        Ok(theta.with(head.weight, weight).with(head.bias, bias))
    }
}

/// The affine map whose logits are, but for a term that all labels share, `temperature` times minus the squared distance to
/// each of `prototypes` (`[labels, hidden]`): weight `2 t c`, bias `-t c.c` (Snell et al. 2017, eq. 8).
fn nearest_prototype(prototypes: &Tensor, temperature: f64) -> Result<(Tensor, Tensor), TchError> {
    let squares = prototypes.f_square()?;
    let norms = squares.f_sum_dim_intlist([1].as_slice(), false, prototypes.kind())?;
    Ok((prototypes.f_mul_scalar(2.0 * temperature)?, norms.f_mul_scalar(-temperature)?))
}

impl Display for HeadStart {
    /// Its name in the configuration.
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        self.serialize(formatter)
    }
}

impl FromStr for HeadStart {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        named(&Self::ALL, word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
