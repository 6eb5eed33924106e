//! Self-attention over texts packed end to end, on the CPU.

use std::ffi::c_char;
use tch::{TchError, Tensor};
use torch_sys::C_tensor;

use super::DropoutMask;

unsafe extern "C" {
    fn metabert_packed_attention(
        out: *mut *mut C_tensor,
        fused: *const C_tensor,
        queries: *const C_tensor,
        lengths: *const i64,
        num_texts: usize,
        num_heads: i64,
        scale: f64,
        p: f64,
        seed: u64,
    ) -> *mut c_char;
}

/// Returns `dropout(softmax(scale * Q Kᵀ)) V` of each text and head, `[queries, hidden]`: every token attends to the
/// tokens of its own text, of which text `t` has `lengths[t]`.
///
/// `fused` holds queries, keys and values side by side, `[tokens, 3 * hidden]`; with `queries` given, one row for each text
/// (`[texts, hidden]`), only those attend, and `fused` holds keys and values, `[tokens, 2 * hidden]`. float32 or float64 on
/// the CPU. Results do not depend on the number of threads. The backward pass cannot itself be differentiated.
///
/// # Errors
/// Any error of libtorch, and lengths that do not sum to the number of tokens.
pub fn packed_attention(
    fused: &Tensor,
    queries: Option<&Tensor>,
    lengths: &[i64],
    num_heads: i64,
    scale: f64,
    dropout: Option<DropoutMask>,
) -> Result<Tensor, TchError> {
    let (p, seed) = DropoutMask::parts(dropout);
    super::new_tensor(|out| {
        // SAFETY: the tensors and `lengths` outlive the call, which only reads them.
        unsafe {
            metabert_packed_attention(
                out,
                fused.as_ptr(),
                queries.map_or(std::ptr::null(), Tensor::as_ptr),
                lengths.as_ptr(),
                lengths.len(),
                num_heads,
                scale,
                p,
                seed,
            )
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torch_ext::tests::normal;
    use crate::torch_ext::{dropout, gradients};
    use tch::Kind;

    const LENGTHS: [i64; 3] = [5, 1, 37];
    const HEADS: i64 = 6;
    const HIDDEN: i64 = 24;

    fn random(rows: i64, columns: i64, seed: i64) -> Tensor {
        normal(&[rows, columns], seed).set_requires_grad(true)
    }

    /// The same from libtorch's own operations, text by text.
    fn plain(fused: &Tensor, queries: Option<&Tensor>, mask: Option<DropoutMask>) -> Tensor {
        let heads = |tensor: &Tensor| tensor.view([-1, HEADS, HIDDEN / HEADS]).transpose(0, 1);
        let keys_column = if queries.is_some() { 0 } else { HIDDEN };
        let (mut row, mut contexts) = (0, Vec::new());
        let mut weights_of_texts = Vec::new();
        for (text, &length) in (0..).zip(&LENGTHS) {
            let part = |column| {
                heads(&fused.narrow(0, row, length).narrow(1, column, HIDDEN).contiguous())
            };
            let asking = match queries {
                Some(queries) => heads(&queries.narrow(0, text, 1)),
                None => part(0),
            };
            let scores = asking.matmul(&part(keys_column).transpose(1, 2)) * 0.3;
            weights_of_texts.push((scores.softmax(-1, Kind::Double), part(keys_column + HIDDEN)));
            row += length;
        }
        // The mask counts the weights of all texts through; heads are cut into groups, which keeps that order.
        let flat: Vec<Tensor> = weights_of_texts.iter().map(|(w, _)| w.reshape([-1])).collect();
        let flat = Tensor::cat(&flat, 0);
        let dropped = match mask {
            Some(mask) => dropout(&flat, mask.p, mask.seed).unwrap(),
            None => flat,
        };
        let mut first = 0;
        for (weights, values) in &weights_of_texts {
            let count = weights.numel() as i64;
            let kept = dropped.narrow(0, first, count).view(weights.size().as_slice());
            contexts.push(kept.matmul(values).transpose(0, 1).reshape([-1, HIDDEN]));
            first += count;
        }
        Tensor::cat(&contexts, 0)
    }

    fn assert_near(found: &Tensor, expected: &Tensor, what: &str) {
        let worst = (found - expected).abs().max().double_value(&[]);
        assert!(worst < 1e-12, "{what}: differs by {worst:e}");
    }

    #[test]
    fn values_and_gradients_are_those_of_plain_attention() {
        let tokens = LENGTHS.iter().sum();
        let apart = random(3, HIDDEN, 2);
        for queries in [None, Some(&apart)] {
            for mask in [None, Some(DropoutMask { p: 0.3, seed: 9 })] {
                let fused = random(tokens, HIDDEN * if queries.is_some() { 2 } else { 3 }, 1);
                let found = packed_attention(&fused, queries, &LENGTHS, HEADS, 0.3, mask).unwrap();
                let expected = plain(&fused, queries, mask);
                assert_near(&found, &expected, "context");
                let unrecorded = tch::no_grad(|| {
                    packed_attention(&fused, queries, &LENGTHS, HEADS, 0.3, mask).unwrap()
                });
                assert!(unrecorded.equal(&found.detach()), "without a graph it is another result");
                let inputs: Vec<&Tensor> = std::iter::once(&fused).chain(queries).collect();
                let of = |context: &Tensor| {
                    gradients(&(context * context.cos()).sum(Kind::Double), &inputs, false).unwrap()
                };
                for (found, expected) in of(&found).iter().zip(&of(&expected)) {
                    assert_near(found, expected, "gradient");
                }
            }
        }
    }

    #[test]
    fn the_result_does_not_depend_on_the_number_of_threads() {
        let tokens = LENGTHS.iter().sum();
        let fused =
            random(tokens, HIDDEN * 3, 3).to_kind(Kind::Float).detach().set_requires_grad(true);
        let run = || {
            let mask = Some(DropoutMask { p: 0.1, seed: 4 });
            let context = packed_attention(&fused, None, &LENGTHS, HEADS, 0.3, mask).unwrap();
            let gradient = gradients(&context.square().sum(Kind::Float), &[&fused], false).unwrap();
            (context.detach(), gradient[0].shallow_clone())
        };
        let [one, four] = crate::torch_ext::tests::with_threads([1, 4], run);
        assert!(one.0.equal(&four.0) && one.1.equal(&four.1));
    }

    #[test]
    fn wrong_lengths_are_an_error() {
        let error = packed_attention(&random(9, 72, 1), None, &[4, 4], HEADS, 1.0, None);
        assert!(error.unwrap_err().to_string().contains("lengths sum to 8"));
    }
}
