//! Whether a forward pass drops, and from which seed.

use crate::seed;
use crate::torch_ext::DropoutMask;

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

    /// The mask of dropout site number `site` with probability `p`, or `None` where nothing drops.
    pub fn mask(self, p: f64, site: u64) -> Option<DropoutMask> {
        match self {
            Self::Train { dropout_seed } if p > 0.0 => {
                Some(DropoutMask { p, seed: seed::mix(dropout_seed, site) })
            }
            _ => None,
        }
    }
}
