//! Scaled dot-product self-attention over a batch of texts packed end to end.
//!
//! Two layouts give the same numbers: one small product for each text (no padded element is ever
//! computed; best on a CPU), or one large product padded to the longest text (fewest kernel
//! launches; best on a GPU). The batch says which.

use tch::{Kind, TchError, Tensor};

use super::mode::Mode;
use super::precision::Precision;
use crate::data::batch::{Batch, Padding};
use crate::seed;
use crate::torch_ext;

/// Which rows of the packed hidden states a layer computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Every token.
    All,
    /// The first token of each text only: enough for a classifier that reads `[CLS]`.
    First,
}

/// What attention needs beside its inputs.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// Number of heads.
    pub num_heads: i64,
    /// Probability of dropping an attention weight in training.
    pub dropout: f64,
    /// Dtype of the matrix products.
    pub precision: Precision,
}

impl Attention {
    /// Attends from `queries` to the keys and values of the same text. `keys` and `values` are
    /// `[tokens, hidden]`; `queries` is the same for [`Rows::All`] and `[batch, hidden]` for
    /// [`Rows::First`]. Returns the context, shaped like `queries`. `site` numbers the dropout site.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn forward(
        &self,
        (queries, keys, values): (&Tensor, &Tensor, &Tensor),
        batch: &Batch,
        rows: Rows,
        mode: Mode,
        site: u64,
    ) -> Result<Tensor, TchError> {
        let hidden = *queries.size().last().expect("queries have a hidden dimension");
        let scaled = queries.f_mul_scalar(((hidden / self.num_heads) as f64).sqrt().recip())?;
        match &batch.padding {
            None => self.per_text((&scaled, keys, values), batch, rows, mode, site),
            Some(padding) => self.padded((&scaled, keys, values), padding, rows, mode, site),
        }
    }

    fn per_text(
        &self,
        (queries, keys, values): (&Tensor, &Tensor, &Tensor),
        batch: &Batch,
        rows: Rows,
        mode: Mode,
        site: u64,
    ) -> Result<Tensor, TchError> {
        let hidden = keys.size()[1];
        // Splitting, unlike narrowing text by text, has a backward pass of one concatenation.
        let query_lengths = match rows {
            Rows::All => batch.lengths.clone(),
            Rows::First => vec![1; batch.lengths.len()],
        };
        let queries = queries.f_split_with_sizes(&query_lengths, 0)?;
        let keys = keys.f_split_with_sizes(&batch.lengths, 0)?;
        let values = values.f_split_with_sizes(&batch.lengths, 0)?;
        let heads = |tensor: &Tensor| -> Result<Tensor, TchError> {
            tensor.f_view([-1, self.num_heads, hidden / self.num_heads])?.f_transpose(0, 1)
        };
        let mut contexts = Vec::with_capacity(queries.len());
        for (text, ((query, key), value)) in queries.iter().zip(&keys).zip(&values).enumerate() {
            let seed = mode.site_seed(site).map(|seed| seed::mix(seed, text as u64));
            let scores = self.precision.matmul(&heads(query)?, &heads(key)?.f_transpose(1, 2)?)?;
            let context = self.weigh(&scores, &heads(value)?, seed)?;
            contexts.push(context.f_transpose(0, 1)?.f_reshape([-1, hidden])?);
        }
        Tensor::f_cat(&contexts, 0)
    }

    fn padded(
        &self,
        (queries, keys, values): (&Tensor, &Tensor, &Tensor),
        padding: &Padding,
        rows: Rows,
        mode: Mode,
        site: u64,
    ) -> Result<Tensor, TchError> {
        let hidden = keys.size()[1];
        let heads = |tensor: &Tensor| -> Result<Tensor, TchError> {
            tensor
                .f_view([padding.num_texts, -1, self.num_heads, hidden / self.num_heads])?
                .f_transpose(1, 2)
        };
        let pad = |tensor: &Tensor| tensor.f_index_select(0, &padding.packed_row);
        let queries = match rows {
            Rows::All => heads(&pad(queries)?)?,
            Rows::First => heads(queries)?,
        };
        let scores = self.precision.matmul(&queries, &heads(&pad(keys)?)?.f_transpose(2, 3)?)?;
        let scores = scores.f_add(&padding.mask.f_to_kind(scores.kind())?)?;
        let context = self.weigh(&scores, &heads(&pad(values)?)?, mode.site_seed(site))?;
        let context = context.f_transpose(1, 2)?.f_reshape([-1, hidden])?;
        match rows {
            Rows::All => context.f_index_select(0, &padding.padded_row),
            Rows::First => Ok(context),
        }
    }

    /// `dropout(softmax(scores)) · values` for `scores` `[.., queries, keys]` and `values`
    /// `[.., keys, head_dim]`.
    fn weigh(
        &self,
        scores: &Tensor,
        values: &Tensor,
        seed: Option<u64>,
    ) -> Result<Tensor, TchError> {
        let mut weights = scores.f_softmax(-1, None::<Kind>)?;
        if let Some(seed) = seed {
            weights = torch_ext::dropout(&weights, self.dropout, seed)?;
        }
        self.precision.matmul(&weights, values)
    }
}
