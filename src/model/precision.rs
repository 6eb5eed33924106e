//! The dtype of the matrix products.

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, TchError, Tensor};

use super::pass::Order;
use crate::torch_ext::{self, DropoutMask, composed};

/// The dtype of the matrix products of a forward and backward pass. Parameters, gradients, norms
/// and softmax stay in the parameters' own dtype.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// The parameters' own dtype.
    #[default]
    Fp32,
    /// bfloat16 operands and results, fp32 sums in between.
    Bf16,
}

impl Precision {
    /// The fastest precision that `device` has in hardware.
    pub fn fastest(device: Device) -> Self {
        if torch_ext::multiplies_bf16(device) { Self::Bf16 } else { Self::Fp32 }
    }

    /// `input · weightᵀ + bias`, for `input` `[rows, in]`, `weight` `[out, in]` and `bias` `[out]`;
    /// returns `[rows, out]` in the dtype of `input`.
    pub fn linear(
        self,
        input: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
    ) -> Result<Tensor, TchError> {
        match self {
            Self::Fp32 => torch_ext::linear(input, weight, Some(bias)),
            Self::Bf16 => {
                let product =
                    torch_ext::linear(&rounded(input)?, &rounded(weight)?, Some(&rounded(bias)?))?;
                rounded(&product)?.f_to_kind(input.kind())
            }
        }
    }

    /// `dropout(softmax(scale * queries · keysᵀ + mask)) · values`, in the dtype of `queries`; all but the mask are
    /// `[batch, heads, rows, head_dim]`, the mask `[batch, 1, 1, rows]` in float32. First order uses libtorch's fused kernels.
    pub fn attend(
        self,
        (queries, keys, values): (&Tensor, &Tensor, &Tensor),
        mask: &Tensor,
        scale: f64,
        (dropout, order): (Option<DropoutMask>, Order),
    ) -> Result<Tensor, TchError> {
        let operation = match order {
            Order::First => torch_ext::fused_attention,
            Order::Second => composed::attention,
        };
        let attend = |queries: &Tensor, keys: &Tensor, values: &Tensor| {
            let mask = mask.f_to_kind(queries.kind())?;
            let size = [queries.size()[0], 1, queries.size()[2], keys.size()[2]];
            let mask = mask.f_expand(size, false)?;
            operation((queries, keys, values), &mask, scale, dropout)
        };
        match self {
            Self::Fp32 => attend(queries, keys, values),
            Self::Bf16 => {
                let found = attend(&rounded(queries)?, &rounded(keys)?, &rounded(values)?)?;
                rounded(&found)?.f_to_kind(queries.kind())
            }
        }
    }
}

/// The values of `tensor` rounded to bfloat16.
///
/// A processor that cannot multiply them takes ten times as long as in fp32: there they go back to the wider dtype, in which
/// their products and sums are what the hardware's are, but for the order of the sums.
fn rounded(tensor: &Tensor) -> Result<Tensor, TchError> {
    let half = tensor.f_to_kind(Kind::BFloat16)?;
    let is_emulated = tensor.device() == Device::Cpu && !torch_ext::multiplies_bf16(Device::Cpu);
    if is_emulated { half.f_to_kind(Kind::Float) } else { Ok(half) }
}
