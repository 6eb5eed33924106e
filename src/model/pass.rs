//! What a forward pass depends on beside the weights and the batch: which dropout masks it draws, and how often its result
//! will be differentiated.

use crate::seed;
use crate::torch_ext::DropoutMask;

/// One forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// Seed of this one pass: each dropout site's mask comes from it and the site's number. `None` drops nothing.
    pub dropout: Option<u64>,
    /// How often the result can be differentiated.
    pub order: Order,
}

/// How often the result of a forward pass can be differentiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Once: fused operations, whose gradients have no gradient.
    First,
    /// Gradients of gradients as well: the same values, to rounding, from libtorch's own operations.
    Second,
}

impl Pass {
    /// A pass that drops nothing.
    pub fn eval() -> Self {
        Self { dropout: None, order: Order::First }
    }

    /// Pass number `pass_number` of the stream `stream_seed`, with dropout.
    pub fn train(stream_seed: u64, pass_number: u64) -> Self {
        Self { dropout: Some(seed::mix(stream_seed, pass_number)), order: Order::First }
    }

    /// The same pass, to be differentiated this often.
    pub fn with_order(self, order: Order) -> Self {
        Self { order, ..self }
    }

    /// The mask of dropout site number `site` with probability `p`, or `None` where nothing drops.
    pub fn mask(self, p: f64, site: u64) -> Option<DropoutMask> {
        let seed = self.dropout.filter(|_| p > 0.0)?;
        Some(DropoutMask { p, seed: seed::mix(seed, site) })
    }
}
