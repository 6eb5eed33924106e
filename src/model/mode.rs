//! Whether a forward pass drops, and from which seed.

use crate::seed;

/// Training or scoring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Dropout on; each site's mask comes from this seed and the site's number.
    Train {
        /// Seed of this one forward pass.
        dropout_seed: u64,
    },
    /// Dropout off.
    Eval,
}

impl Mode {
    /// Training mode for forward pass number `pass` of the stream `stream_seed`.
    pub fn train(stream_seed: u64, pass: u64) -> Self {
        Self::Train { dropout_seed: seed::mix(stream_seed, pass) }
    }

    /// The mask seed of dropout site number `site`, or `None` where nothing drops.
    pub fn site_seed(self, site: u64) -> Option<u64> {
        match self {
            Self::Train { dropout_seed } => Some(seed::mix(dropout_seed, site)),
            Self::Eval => None,
        }
    }
}
