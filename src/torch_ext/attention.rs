//! Self-attention over texts packed end to end, on the CPU.

use std::ffi::c_char;
use tch::{TchError, Tensor};
use torch_sys::C_tensor;

use super::DropoutMask;
use super::instruction_set::InstructionSet;

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
        isa: InstructionSet,
    ) -> *const c_char;
}

/// Returns `dropout(softmax(scale * Q Kᵀ)) V` of each text and head, `[queries, hidden]`: every token attends to the
/// tokens of its own text, of which text `t` has `lengths[t]`.
///
/// `fused` holds queries, keys and values side by side, `[tokens, 3 * hidden]`; with `queries` given, one row for each text
/// (`[texts, hidden]`), only those attend, and `fused` holds keys and values, `[tokens, 2 * hidden]`. float32 or float64 on
/// the CPU. Results do not depend on the number of threads. The backward pass cannot itself be differentiated.
///
/// # Errors
/// Shapes, dtypes or devices other than these; a number of heads that does not divide `hidden`; a text without tokens;
/// lengths that do not sum to the number of tokens; a negative or infinite scale; a probability outside `0..1`; dropout of
/// more than 2^32 weights; any error of libtorch.
pub fn packed_attention(
    fused: &Tensor,
    queries: Option<&Tensor>,
    lengths: &[i64],
    num_heads: i64,
    scale: f64,
    dropout: Option<DropoutMask>,
) -> Result<Tensor, TchError> {
    let (p, seed) = DropoutMask::parts(dropout);
    let isa = InstructionSet::current()?;
    // SAFETY: the tensors and `lengths` outlive the call, which only reads them and makes a tensor of its own.
    unsafe {
        super::new_tensor(|out| {
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
                isa,
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torch_ext::instruction_set::tests::with_each_instruction_set;
    use crate::torch_ext::tests::{assert_near, fails, normal};
    use crate::torch_ext::{composed, gradients};
    use tch::{Device, Kind};

    const LENGTHS: [i64; 3] = [5, 1, 37];
    const HEADS: i64 = 6;
    const HIDDEN: i64 = 24;

    fn random(rows: i64, columns: i64, seed: i64) -> Tensor {
        normal(&[rows, columns], seed).set_requires_grad(true)
    }

    #[test]
    fn values_and_gradients_are_those_of_composed_attention() {
        let tokens = LENGTHS.iter().sum();
        let apart = random(3, HIDDEN, 2);
        let agrees = |queries: Option<&Tensor>, mask| {
            let fused = random(tokens, HIDDEN * if queries.is_some() { 2 } else { 3 }, 1);
            let attend = || packed_attention(&fused, queries, &LENGTHS, HEADS, 0.3, mask).unwrap();
            let found = attend();
            let expected =
                composed::packed_attention(&fused, queries, &LENGTHS, HEADS, 0.3, mask).unwrap();
            assert_near(&found, &expected, 1e-12);
            let unrecorded = tch::no_grad(attend);
            assert!(unrecorded.equal(&found.detach()), "without a graph it is another result");
            let inputs: Vec<&Tensor> = std::iter::once(&fused).chain(queries).collect();
            let of = |context: &Tensor| {
                gradients(&(context * context.cos()).sum(Kind::Double), &inputs, false).unwrap()
            };
            for (found, expected) in of(&found).iter().zip(&of(&expected)) {
                assert_near(found, expected, 1e-12);
            }
        };
        with_each_instruction_set(|| {
            for mask in [None, Some(DropoutMask { p: 0.3, seed: 9 })] {
                agrees(None, mask);
                agrees(Some(&apart), mask);
            }
        });
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
    fn lengths_that_do_not_fit_are_an_error() {
        let fused = random(9, 72, 1);
        for (lengths, expected) in [
            (vec![4, 4], "lengths that sum to 9, found 8"),
            (vec![], "lengths that sum to 9, found 0"),
            (vec![5, 5], "lengths that sum to 9, found a larger sum"),
            (vec![i64::MAX, i64::MAX, 11], "found a larger sum"),
            (vec![9, 0], "at least one token, found a length of 0"),
            (vec![10, -1], "found a larger sum"),
            (vec![-1, 10], "at least one token, found a length of -1"),
        ] {
            fails(packed_attention(&fused, None, &lengths, HEADS, 1.0, None), expected);
        }
    }

    /// A text of no tokens has nothing to attend to: its softmax would read past the scores.
    #[test]
    fn an_empty_text_is_an_error_and_no_text_is_not() {
        let (queries, keys_values) = (random(2, 4, 1), random(3, 8, 2));
        let found = packed_attention(&keys_values, Some(&queries), &[3, 0], 2, 1.0, None);
        fails(found, "at least one token, found a length of 0");
        let found = packed_attention(&random(0, 12, 1), None, &[], 2, 1.0, None).unwrap();
        assert_eq!(found.size(), [0, 4]);
    }

    #[test]
    fn queries_are_one_row_for_each_text_like_the_keys() {
        let keys_values = random(5, 8, 2);
        let attend =
            |queries: &Tensor| packed_attention(&keys_values, Some(queries), &[3, 2], 2, 1.0, None);
        for rows in [0, 1, 3, 7] {
            fails(attend(&random(rows, 4, 1)), "queries: expected the shape [2, 4]");
        }
        for columns in [0, 3, 5] {
            fails(attend(&random(2, columns, 1)), "queries: expected the shape [2, 4]");
        }
        fails(attend(&random(2, 4, 1).to_kind(Kind::Float)), "queries: expected Double, found");
        fails(attend(&Tensor::new()), "queries: expected a dense tensor");
        assert!(attend(&random(2, 4, 1)).is_ok());
    }

    #[test]
    fn heads_divide_the_hidden_size() {
        for heads in [0, -1, 5, 48, i64::MIN, i64::MAX] {
            let found = packed_attention(&random(9, 72, 1), None, &[9], heads, 1.0, None);
            fails(found, "heads that divides the hidden size 24");
        }
        fails(packed_attention(&random(9, 0, 1), None, &[9], 1, 1.0, None), "hidden size 0");
        fails(
            packed_attention(&random(9, 71, 1), None, &[9], 1, 1.0, None),
            "[tokens, 3 * hidden]",
        );
        let flat = normal(&[72], 1);
        fails(packed_attention(&flat, None, &[72], 1, 1.0, None), "[tokens, 3 * hidden]");
    }

    #[test]
    fn scales_that_softmax_cannot_use_are_an_error() {
        for scale in [-0.1, f64::NAN, f64::INFINITY, 1e300] {
            let found = packed_attention(&random(9, 72, 1), None, &[9], HEADS, scale, None);
            fails(found, "expected a finite scale of at least 0");
        }
    }

    /// Without memory: all rows are the same one.
    #[test]
    fn masks_never_wrap_and_counts_never_overflow() {
        let wide = |tokens: i64| {
            Tensor::zeros([1, 3], (Kind::Float, Device::Cpu)).expand([tokens, 3], false)
        };
        let mask = Some(DropoutMask { p: 0.1, seed: 1 });
        let found = packed_attention(&wide((1 << 16) + 1), None, &[(1 << 16) + 1], 1, 1.0, mask);
        fails(found, "at most 2^32 elements, found 4295098369");
        let found = packed_attention(&wide(1 << 40), None, &[1 << 40], 1, 1.0, None);
        fails(found, "fewer than 2^63 attention weights");
    }

    #[test]
    fn rows_cut_out_of_a_larger_matrix_are_those_rows() {
        let large = random(12, 72, 5).detach();
        let fused = large.narrow(0, 3, 9);
        let found = packed_attention(&fused, None, &[4, 5], HEADS, 0.3, None).unwrap();
        let copied = packed_attention(&fused.copy(), None, &[4, 5], HEADS, 0.3, None).unwrap();
        assert!(found.equal(&copied));
    }

    #[test]
    fn inputs_that_change_before_the_backward_pass_are_an_error() {
        let fused = random(9, 72, 1);
        let context = packed_attention(&(&fused * 1.0), None, &[9], HEADS, 0.3, None).unwrap();
        assert!(gradients(&context.sum(Kind::Double), &[&fused], false).is_ok());
        let mut product = &fused * 1.0;
        let context = packed_attention(&product, None, &[9], HEADS, 0.3, None).unwrap();
        let _ = product.g_add_(&normal(&[9, 72], 2));
        let found = gradients(&context.sum(Kind::Double), &[&fused], false);
        fails(found, "modified by an inplace operation");
    }

    #[test]
    fn a_diverged_model_has_diverged_attention() {
        let fused = random(9, 72, 1).to_kind(Kind::Float).detach();
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let spoilt = fused.copy();
            let _ = spoilt.narrow(0, 4, 1).fill_(number);
            with_each_instruction_set(|| {
                let found = packed_attention(&spoilt, None, &[3, 6], HEADS, 0.3, None).unwrap();
                let is_finite = |first, rows| found.narrow(0, first, rows).isfinite().all();
                assert_eq!(is_finite(0, 3).int64_value(&[]), 1, "the other text");
                assert_eq!(is_finite(3, 6).any().int64_value(&[]), 0, "{number}");
            });
        }
    }
}
