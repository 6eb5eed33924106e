//! Dropout, residual sum and layer norm in one.

use std::ffi::c_char;
use tch::{TchError, Tensor};
use torch_sys::C_tensor;

use super::DropoutMask;
use super::instruction_set::InstructionSet;

unsafe extern "C" {
    fn metabert_dropout_add_layer_norm(
        out: *mut *mut C_tensor,
        input: *const C_tensor,
        residual: *const C_tensor,
        gain: *const C_tensor,
        bias: *const C_tensor,
        eps: f64,
        p: f64,
        seed: u64,
        isa: InstructionSet,
    ) -> *const c_char;
}

/// Gain, bias and epsilon of a layer norm.
#[derive(Clone, Copy, Debug)]
pub struct NormWeights<'a> {
    /// Gain, `[hidden]`.
    pub gain: &'a Tensor,
    /// Bias, `[hidden]`.
    pub bias: &'a Tensor,
    /// Added to the variance.
    pub eps: f64,
}

/// Returns `layer_norm(dropout(input) + residual)`, normalised over the last dimension (Ba et al. 2016); same shape and
/// dtype as `input`, `[.., hidden]`, float32 or float64.
///
/// On the CPU this is one pass over memory each way, whose sums do not depend on the number of threads, and whose backward
/// pass cannot itself be differentiated. Elsewhere it is made of libtorch's own operations.
///
/// # Errors
/// A residual, gain or bias of another shape, dtype or device than `input` asks for; no columns; a probability outside
/// `0..1`; dropout of more than 2^32 elements on the CPU; any error of libtorch.
pub fn dropout_add_layer_norm(
    input: &Tensor,
    residual: Option<&Tensor>,
    norm: NormWeights,
    mask: Option<DropoutMask>,
) -> Result<Tensor, TchError> {
    let NormWeights { gain, bias, eps } = norm;
    let (p, seed) = DropoutMask::parts(mask);
    let isa = InstructionSet::current()?;
    // SAFETY: the tensors outlive the call, which only reads them and makes a tensor of its own.
    unsafe {
        super::new_tensor(|out| {
            metabert_dropout_add_layer_norm(
                out,
                input.as_ptr(),
                residual.map_or(std::ptr::null(), Tensor::as_ptr),
                gain.as_ptr(),
                bias.as_ptr(),
                eps,
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

    fn random(shape: &[i64], kind: Kind, seed: i64) -> Tensor {
        let drawn = normal(shape, seed) * 2.0 + 0.5;
        drawn.to_kind(kind).set_requires_grad(true)
    }

    #[test]
    fn values_and_gradients_are_those_of_the_three_operations() {
        // More rows than one chunk, and a width that no vector register divides.
        let (input, residual) =
            (random(&[150, 37], Kind::Double, 1), random(&[150, 37], Kind::Double, 2));
        let (gain, bias) = (random(&[37], Kind::Double, 3), random(&[37], Kind::Double, 4));
        let agrees = |added: Option<&Tensor>, mask: Option<DropoutMask>| {
            let norm = NormWeights { gain: &gain, bias: &bias, eps: 1e-12 };
            let found = dropout_add_layer_norm(&input, added, norm, mask).unwrap();
            let expected = composed::dropout_add_layer_norm(&input, added, norm, mask).unwrap();
            assert_near(&found, &expected, 1e-12);
            let inputs: Vec<&Tensor> = [&input, &gain, &bias].into_iter().chain(added).collect();
            let of = |out: &Tensor| {
                gradients(&(out * out.sin()).sum(Kind::Double), &inputs, false).unwrap()
            };
            for (found, expected) in of(&found).iter().zip(&of(&expected)) {
                assert_near(found, expected, 1e-10);
            }
        };
        with_each_instruction_set(|| {
            for mask in [None, Some(DropoutMask { p: 0.25, seed: 5 })] {
                agrees(None, mask);
                agrees(Some(&residual), mask);
                // Its gradient is the sum of both.
                agrees(Some(&input), mask);
            }
        });
    }

    #[test]
    fn the_result_does_not_depend_on_the_number_of_threads() {
        let (input, residual) =
            (random(&[1_000, 48], Kind::Float, 1), random(&[1_000, 48], Kind::Float, 2));
        let (gain, bias) = (random(&[48], Kind::Float, 3), random(&[48], Kind::Float, 4));
        let run = || {
            let norm = NormWeights { gain: &gain, bias: &bias, eps: 1e-12 };
            let mask = Some(DropoutMask { p: 0.1, seed: 6 });
            let out = dropout_add_layer_norm(&input, Some(&residual), norm, mask).unwrap();
            let inputs = [&input, &residual, &gain, &bias];
            let found = gradients(&out.square().sum(Kind::Float), &inputs, false).unwrap();
            (out.detach(), found)
        };
        let [one, four] = crate::torch_ext::tests::with_threads([1, 4], run);
        assert!(one.0.equal(&four.0), "value");
        for (one, four) in one.1.iter().zip(&four.1) {
            assert!(one.equal(four), "gradient");
        }
    }

    #[test]
    fn a_second_derivative_is_refused() {
        let input = random(&[4, 8], Kind::Double, 1);
        let weight = random(&[8], Kind::Double, 2);
        let norm = NormWeights { gain: &weight, bias: &weight, eps: 1e-12 };
        let out = dropout_add_layer_norm(&input, None, norm, None).unwrap();
        let error = gradients(&out.sum(Kind::Double), &[&input], true).unwrap_err();
        assert!(error.to_string().contains("no second derivative"), "{error}");
    }

    #[test]
    fn residual_gain_and_bias_fit_the_input() {
        let of = |size: &[i64]| random(size, Kind::Float, 1);
        let (input, fits) = (of(&[4, 8]), of(&[8]));
        let norm = |residual: Option<&Tensor>, gain: &Tensor, bias: &Tensor| {
            dropout_add_layer_norm(&input, residual, NormWeights { gain, bias, eps: 1e-12 }, None)
        };
        // libtorch would spread the first three over the rows; the others end before the input does.
        for size in [&[8][..], &[1, 8], &[4, 1], &[3, 8], &[32], &[0, 8], &[4, 8, 1]] {
            let found = norm(Some(&of(size)), &fits, &fits);
            fails(found, "residual: expected the shape [4, 8], found");
        }
        for size in [&[][..], &[0], &[1], &[4], &[16], &[1, 8]] {
            fails(norm(None, &of(size), &fits), "gain: expected the shape [8], found");
            fails(norm(None, &fits, &of(size)), "bias: expected the shape [8], found");
        }
        let (wide, whole) = (fits.to_kind(Kind::Double), fits.to_kind(Kind::Int64));
        fails(norm(None, &wide, &fits), "gain: expected Float, found Double");
        fails(norm(None, &fits, &whole), "bias: expected Float, found Long");
        fails(norm(Some(&input.to_kind(Kind::Half)), &fits, &fits), "residual: expected Float");
        fails(norm(None, &Tensor::new(), &fits), "gain: expected a dense tensor");
        assert!(norm(Some(&input), &fits, &fits).is_ok());
    }

    #[test]
    fn an_input_has_columns() {
        let norm = |size: &[i64], columns: i64| {
            let weight = random(&[columns], Kind::Float, 1);
            let norm = NormWeights { gain: &weight, bias: &weight, eps: 1e-12 };
            dropout_add_layer_norm(&random(size, Kind::Float, 1), None, norm, None)
        };
        fails(norm(&[4, 0], 0), "expected [.., hidden], found [4, 0]");
        fails(norm(&[], 1), "expected [.., hidden], found []");
        assert_eq!(norm(&[0, 3], 3).unwrap().size(), [0, 3]);
    }

    #[test]
    fn dropout_in_a_norm_has_the_limits_of_dropout() {
        let one = Tensor::zeros([1], (Kind::Float, Device::Cpu));
        let norm = NormWeights { gain: &one, bias: &one, eps: 1e-12 };
        for p in [-0.1, 1.0, f64::NAN] {
            let mask = Some(DropoutMask { p, seed: 1 });
            fails(
                dropout_add_layer_norm(&one, None, norm, mask),
                "a probability from 0 to below 1",
            );
        }
        // Without memory: all elements are the same one.
        let wide = one.expand([(1 << 32) + 1, 1], false);
        let mask = Some(DropoutMask { p: 0.1, seed: 1 });
        fails(dropout_add_layer_norm(&wide, None, norm, mask), "at most 2^32 elements");
    }
}
