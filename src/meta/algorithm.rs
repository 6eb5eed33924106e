//! The choice of algorithm, and what each has to provide.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};
use tch::TchError;

use super::inner_loop::{InnerConfig, InnerLoop};
use super::maml::Fomaml;
use super::reptile::Reptile;
use super::transfer::Transfer;
use super::{EpisodeOutcome, Learner, Task};
use crate::params::ParamSet;

/// A way to turn an episode into a meta-gradient.
pub trait MetaAlgorithm<L: Learner>: Send + Sync {
    /// What `task` contributes to an outer step at the meta-parameters `meta`, which must be
    /// without gradient history.
    ///
    /// # Errors
    /// Any error of libtorch.
    fn meta_gradient(
        &self,
        learner: &L,
        meta: &ParamSet,
        task: &Task<L::Batch>,
    ) -> Result<EpisodeOutcome, TchError>;
}

/// The algorithms by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// First-order MAML (Finn et al. 2017).
    #[default]
    Fomaml,
    /// Reptile (Nichol et al. 2018).
    Reptile,
    /// Plain training on the pooled high-resource domains.
    Transfer,
    /// No meta-training: the pretrained encoder with a fresh head.
    None,
}

impl Display for Algorithm {
    /// Its name in the configuration.
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        self.serialize(formatter)
    }
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 4] = [Self::Fomaml, Self::Reptile, Self::Transfer, Self::None];

    /// Whether its outer steps are made of episodes with a support and a query set.
    pub fn is_episodic(self) -> bool {
        matches!(self, Self::Fomaml | Self::Reptile)
    }

    /// The algorithm with the inner loop of `config`; `None` for the one that never steps.
    pub fn build<L: Learner>(self, config: &InnerConfig) -> Option<Box<dyn MetaAlgorithm<L>>> {
        let inner_loop = InnerLoop::new(config);
        match self {
            Self::Fomaml => {
                Some(Box::new(Fomaml { inner_loop, query_dropout: config.query_dropout }))
            }
            Self::Reptile => Some(Box::new(Reptile { inner_loop })),
            Self::Transfer => Some(Box::new(Transfer)),
            Self::None => None,
        }
    }
}
