//! The head that an adaptation starts from.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tch::TchError;

use super::Embedded;
use super::choice::named;
use super::prototypes::nearest_prototype;
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
