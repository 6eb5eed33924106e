//! The dtype of the matrix products.

use serde::{Deserialize, Serialize};
use tch::{Kind, TchError, Tensor};

/// The dtype of the matrix products of a forward and backward pass. Parameters, gradients, norms
/// and softmax stay in the parameters' own dtype.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// The parameters' own dtype.
    #[default]
    Fp32,
    /// bfloat16 operands, fp32 accumulation inside the kernels.
    Bf16,
}

impl Precision {
    /// `input · weightᵀ + bias`, for `input` `[.., in]`, `weight` `[out, in]` and `bias` `[out]`;
    /// returns `[.., out]` in the dtype of `input`.
    pub fn linear(
        self,
        input: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
    ) -> Result<Tensor, TchError> {
        match self {
            Self::Fp32 => input.f_linear(weight, Some(bias)),
            Self::Bf16 => {
                let half = |tensor: &Tensor| tensor.f_to_kind(Kind::BFloat16);
                half(input)?.f_linear(&half(weight)?, Some(half(bias)?))?.f_to_kind(input.kind())
            }
        }
    }

    /// `a · b`, in the dtype of `a`.
    pub fn matmul(self, a: &Tensor, b: &Tensor) -> Result<Tensor, TchError> {
        match self {
            Self::Fp32 => a.f_matmul(b),
            Self::Bf16 => {
                let half = |tensor: &Tensor| tensor.f_to_kind(Kind::BFloat16);
                half(a)?.f_matmul(&half(b)?)?.f_to_kind(a.kind())
            }
        }
    }
}
