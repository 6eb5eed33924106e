//! The fused operations once more, from libtorch's own: the same values to rounding and the same masks, slower, and
//! differentiable any number of times.

use tch::{TchError, Tensor};

use super::{DropoutMask, NormWeights, dropout};

/// [`dropout_add_layer_norm`](super::dropout_add_layer_norm) as operations of libtorch.
///
/// # Errors
/// Any error of libtorch.
pub fn dropout_add_layer_norm(
    input: &Tensor,
    residual: Option<&Tensor>,
    norm: NormWeights,
    mask: Option<DropoutMask>,
) -> Result<Tensor, TchError> {
    let dropped = drop_out(input, mask)?;
    let sum = match residual {
        Some(residual) => dropped.f_add(residual)?,
        None => dropped,
    };
    // Not libtorch's own layer norm, whose gradients of gain and bias depend on the number of threads on a CPU.
    let mean = |of: &Tensor| of.f_mean_dim([-1].as_slice(), true, of.kind());
    let centred = sum.f_sub(&mean(&sum)?)?;
    let variance = mean(&centred.f_square()?)?;
    let normed = centred.f_mul(&variance.f_add_scalar(norm.eps)?.f_rsqrt()?)?;
    normed.f_mul(norm.gain)?.f_add(norm.bias)
}

/// [`packed_attention`](super::packed_attention) as products of each text.
///
/// # Errors
/// A number of heads that does not divide `hidden`; lengths that do not sum to the number of tokens; any other error of
/// libtorch.
pub fn packed_attention(
    fused: &Tensor,
    queries: Option<&Tensor>,
    lengths: &[i64],
    num_heads: i64,
    scale: f64,
    mask: Option<DropoutMask>,
) -> Result<Tensor, TchError> {
    let by_head = |rows: &Tensor| rows.f_unflatten(1, [num_heads, -1])?.f_transpose(0, 1);
    let first_rows = queries.map(|queries| queries.f_split(1, 0)).transpose()?;
    let num_parts = if queries.is_some() { 2 } else { 3 };
    let (mut weights, mut values) = (Vec::new(), Vec::new());
    for (text, rows) in fused.f_split_with_sizes(lengths, 0)?.iter().enumerate() {
        let parts = rows.f_tensor_split(num_parts, 1)?;
        let asking = first_rows.as_ref().map_or(&parts[0], |rows| &rows[text]);
        let [.., keys, of_text] = parts.as_slice() else {
            unreachable!("a split into two or three parts")
        };
        weights.push(softmax_of_products(&by_head(asking)?, &by_head(keys)?, scale, None)?);
        values.push(by_head(of_text)?);
    }
    let weights = drop_out_counting_through(weights, mask)?;
    let contexts: Vec<Tensor> = weights
        .iter()
        .zip(&values)
        .map(|(weights, values)| weights.f_matmul(values)?.f_transpose(0, 1)?.f_flatten(1, 2))
        .collect::<Result<_, _>>()?;
    Tensor::f_cat(&contexts, 0)
}

/// [`fused_attention`](super::fused_attention()) as two products. The dropout mask is another function of its seed.
///
/// # Errors
/// Any error of libtorch.
pub fn attention(
    (queries, keys, values): (&Tensor, &Tensor, &Tensor),
    mask: &Tensor,
    scale: f64,
    dropout: Option<DropoutMask>,
) -> Result<Tensor, TchError> {
    let weights = softmax_of_products(queries, keys, scale, Some(mask))?;
    drop_out(&weights, dropout)?.f_matmul(values)
}

/// `softmax(scale * queries · keysᵀ + mask)`, `[.., queries, keys]`.
fn softmax_of_products(
    queries: &Tensor,
    keys: &Tensor,
    scale: f64,
    mask: Option<&Tensor>,
) -> Result<Tensor, TchError> {
    let scores = queries.f_matmul(&keys.f_transpose(-2, -1)?)?.f_mul_scalar(scale)?;
    let scores = match mask {
        Some(mask) => scores.f_add(mask)?,
        None => scores,
    };
    scores.f_softmax(-1, queries.kind())
}

/// Dropout of several tensors under one mask, which counts their elements through.
fn drop_out_counting_through(
    tensors: Vec<Tensor>,
    mask: Option<DropoutMask>,
) -> Result<Vec<Tensor>, TchError> {
    if mask.is_none() {
        return Ok(tensors);
    }
    let flat: Vec<Tensor> =
        tensors.iter().map(|tensor| tensor.f_reshape([-1])).collect::<Result<_, _>>()?;
    let counts: Vec<i64> = tensors.iter().map(|tensor| tensor.numel() as i64).collect();
    let dropped = drop_out(&Tensor::f_cat(&flat, 0)?, mask)?.f_split_with_sizes(counts, 0)?;
    dropped.iter().zip(&tensors).map(|(flat, tensor)| flat.f_view_as(tensor)).collect()
}

fn drop_out(input: &Tensor, mask: Option<DropoutMask>) -> Result<Tensor, TchError> {
    match mask {
        Some(mask) => dropout(input, mask.p, mask.seed),
        None => Ok(input.shallow_clone()),
    }
}
