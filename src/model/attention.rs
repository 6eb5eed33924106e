//! Scaled dot-product self-attention over a batch of texts packed end to end.
//!
//! Two layouts give the same numbers: one small product for each text (no padded element is ever computed; best on a
//! CPU), or one large product padded to the longest text (fewest kernel launches; best on a GPU). The batch says which.

use tch::{TchError, Tensor};

use super::pass::{Order, Pass};
use super::precision::Precision;
use crate::data::batch::{Batch, Padding};
use crate::torch_ext::{self, DropoutMask, composed};

/// Which rows of the packed hidden states a layer computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Every token.
    All,
    /// The first token of each text only: enough for a classifier that reads `[CLS]`.
    First,
}

/// Queries, keys and values of all heads.
#[derive(Debug)]
pub enum Projected {
    /// Of every token, side by side: `[tokens, 3 * hidden]`.
    All(Tensor),
    /// For [`Rows::First`].
    First {
        /// Queries of the first tokens, `[batch, hidden]`.
        queries: Tensor,
        /// Keys and values of every token, side by side: `[tokens, 2 * hidden]`.
        keys_values: Tensor,
    },
}

/// What attention needs beside its inputs.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// Number of heads.
    pub num_heads: i64,
    /// Size of a hidden state, all heads together.
    pub hidden: i64,
    /// Probability of dropping an attention weight in training.
    pub dropout: f64,
    /// Dtype of the matrix products of the padded layout.
    pub precision: Precision,
}

impl Attention {
    /// Attends from the queries to the keys and values of the same text. Returns the context, one row `[.., hidden]` for
    /// each query. `site` numbers the dropout site.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn forward(
        &self,
        projected: &Projected,
        batch: &Batch,
        pass: Pass,
        site: u64,
    ) -> Result<Tensor, TchError> {
        let mask = pass.mask(self.dropout, site);
        if let Some(padding) = &batch.padding {
            return self.padded(projected, padding, (mask, pass.order));
        }
        let (fused, queries) = match projected {
            Projected::All(fused) => (fused, None),
            Projected::First { queries, keys_values } => (keys_values, Some(queries)),
        };
        let attend = match pass.order {
            Order::First => torch_ext::packed_attention,
            Order::Second => composed::packed_attention,
        };
        attend(fused, queries, &batch.lengths, self.num_heads, self.scale(), mask)
    }

    fn scale(&self) -> f64 {
        ((self.hidden / self.num_heads) as f64).sqrt().recip()
    }

    fn padded(
        &self,
        projected: &Projected,
        padding: &Padding,
        dropout: (Option<DropoutMask>, Order),
    ) -> Result<Tensor, TchError> {
        let heads = |tensor: &Tensor| -> Result<Tensor, TchError> {
            let head_dim = self.hidden / self.num_heads;
            tensor.f_view([padding.num_texts, -1, self.num_heads, head_dim])?.f_transpose(1, 2)
        };
        // Padding before splitting moves every row once.
        let parts = |fused: &Tensor| -> Result<Vec<Tensor>, TchError> {
            let padded = fused.f_index_select(0, &padding.packed_row)?;
            let parts = padded.f_split(self.hidden, 1)?;
            parts.iter().map(|part| heads(&part.f_contiguous()?)).collect()
        };
        let (queries, keys_values) = match projected {
            Projected::All(fused) => {
                let mut parts = parts(fused)?;
                (parts.remove(0), parts)
            }
            Projected::First { queries, keys_values } => (heads(queries)?, parts(keys_values)?),
        };
        let [keys, values] = keys_values.as_slice() else {
            unreachable!("a row holds keys and values, and queries before them or apart")
        };
        let parts = (&queries, keys, values);
        let context = self.precision.attend(parts, &padding.mask, self.scale(), dropout)?;
        let context = context.f_transpose(1, 2)?.f_reshape([-1, self.hidden])?;
        match projected {
            Projected::All(_) => context.f_index_select(0, &padding.padded_row),
            Projected::First { .. } => Ok(context),
        }
    }
}
