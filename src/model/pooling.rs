//! From the hidden states of a text to the one vector that the head reads.

use std::fmt::{self, Display, Formatter};

use tch::{TchError, Tensor};

use super::attention::Rows;
use super::bert::Linear;
use super::config::BertConfig;
use super::precision::Precision;
use crate::data::batch::Batch;
use crate::params::{Layout, ParamSet, Region};
use crate::torch_ext;

/// The vector of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The first token's hidden state through an affine map and tanh (Devlin et al. 2019), as `BertForSequenceClassification`
    /// has it.
    Cls,
    /// The mean of all tokens' hidden states, scaled to length 1: what sentence encoders are trained for (Reimers & Gurevych
    /// 2019).
    Mean,
}

impl Pooling {
    /// The pooling of a classifier with this layout: only that of the first token has parameters.
    pub fn of(layout: &Layout) -> Self {
        let has_pooler = layout.slots().iter().any(|slot| slot.region == Region::Pooler);
        if has_pooler { Self::Cls } else { Self::Mean }
    }
}

impl Display for Pooling {
    /// Its name in the configuration.
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Cls => "cls",
            Self::Mean => "mean",
        })
    }
}

/// A pooling with the slots of its parameters.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pooler {
    Cls(Linear),
    Mean,
}

impl Pooler {
    pub(super) fn register(layout: &mut Layout, config: &BertConfig, pooling: Pooling) -> Self {
        match pooling {
            Pooling::Cls => {
                let (hidden, std) = (config.hidden_size, config.initializer_range);
                let name = (Region::Pooler, "bert.pooler.dense");
                Self::Cls(Linear::register(layout, name, (hidden, hidden), std))
            }
            Pooling::Mean => Self::Mean,
        }
    }

    /// The hidden states that [`forward`](Self::forward) reads.
    pub(super) fn rows(&self) -> Rows {
        match self {
            Self::Cls(_) => Rows::First,
            Self::Mean => Rows::All,
        }
    }

    /// The vectors of the texts, `[batch, hidden]`, of the hidden states of [`rows`](Self::rows).
    pub(super) fn forward(
        &self,
        params: &ParamSet,
        hidden: &Tensor,
        batch: &Batch,
        precision: Precision,
    ) -> Result<Tensor, TchError> {
        match self {
            Self::Cls(linear) => linear.forward(params, hidden, precision)?.f_tanh(),
            Self::Mean => unit(&means(hidden, batch)?),
        }
    }
}

/// The mean of each text's rows, `[batch, hidden]` of `[tokens, hidden]`.
///
/// A product with the `[batch, tokens]` matrix of shares: its sums and those of its gradients have a fixed order, where adding
/// rows by index has none on a GPU. It costs a thousandth of the encoder.
fn means(hidden: &Tensor, batch: &Batch) -> Result<Tensor, TchError> {
    let (num_tokens, num_texts) = (batch.num_tokens(), batch.lengths.len() as i64);
    let options = (batch.first_rows.kind(), batch.first_rows.device());
    let rows = Tensor::f_arange(num_tokens, options)?;
    let end = Tensor::f_full([1], num_tokens, options)?;
    let later = batch.first_rows.f_narrow(0, 1, num_texts - 1)?;
    let firsts = batch.first_rows.f_unsqueeze(1)?;
    let ends = Tensor::f_cat(&[later, end], 0)?.f_unsqueeze(1)?;
    let is_own = rows.f_ge_tensor(&firsts)?.f_logical_and(&rows.f_lt_tensor(&ends)?)?;
    let shares = is_own.f_to_kind(hidden.kind())?.f_div(&ends.f_sub(&firsts)?)?;
    torch_ext::matmul(&shares, hidden)
}

/// Rows scaled to length 1, as `torch.nn.functional.normalize` does.
fn unit(rows: &Tensor) -> Result<Tensor, TchError> {
    let lengths = rows.f_norm_scalaropt_dim(2.0, 1, true)?.f_clamp_min(1e-12)?;
    rows.f_div(&lengths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::batch::AttentionLayout;
    use tch::Device;

    #[test]
    fn every_text_has_the_mean_of_its_own_rows_at_length_1() {
        let texts: [&[u32]; 3] = [&[2, 5, 3], &[2], &[2, 3]];
        let batch = Batch::pack(&texts, &[0; 3], AttentionLayout::PerText, Device::Cpu).unwrap();
        let rows = [[1.0, 2.0], [3.0, 2.0], [5.0, 8.0], [0.0, -7.0], [0.5, 1.0], [1.5, 1.0]];
        let rows = Tensor::from_slice2(&rows);
        let found = means(&rows, &batch).unwrap();
        let expected = Tensor::from_slice2(&[[3.0, 4.0], [0.0, -7.0], [1.0, 1.0]]);
        assert!(found.allclose(&expected, 1e-12, 0.0, false), "{found}");
        let found = unit(&found).unwrap();
        let half = 0.5_f64.sqrt();
        let expected = Tensor::from_slice2(&[[0.6, 0.8], [0.0, -1.0], [half, half]]);
        assert!(found.allclose(&expected, 1e-12, 0.0, false), "{found}");
    }
}
