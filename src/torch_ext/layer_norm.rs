//! Dropout, residual sum and layer norm in one.

use std::ffi::c_char;
use tch::{Device, TchError, Tensor};
use torch_sys::C_tensor;

use super::{DropoutMask, dropout};

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
    ) -> *mut c_char;
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
/// Any error of libtorch.
pub fn dropout_add_layer_norm(
    input: &Tensor,
    residual: Option<&Tensor>,
    norm: NormWeights,
    mask: Option<DropoutMask>,
) -> Result<Tensor, TchError> {
    let NormWeights { gain, bias, eps } = norm;
    if input.device() != Device::Cpu {
        let mut sum = match mask {
            Some(mask) => dropout(input, mask.p, mask.seed)?,
            None => input.shallow_clone(),
        };
        if let Some(residual) = residual {
            sum = sum.f_add(residual)?;
        }
        return sum.f_layer_norm(gain.size(), Some(gain), Some(bias), eps, true);
    }
    let (p, seed) = DropoutMask::parts(mask);
    super::new_tensor(|out| {
        // SAFETY: the tensors outlive the call, which only reads them.
        unsafe {
            metabert_dropout_add_layer_norm(
                out,
                input.as_ptr(),
                residual.map_or(std::ptr::null(), Tensor::as_ptr),
                gain.as_ptr(),
                bias.as_ptr(),
                eps,
                p,
                seed,
            )
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torch_ext::gradients;
    use crate::torch_ext::tests::normal;
    use tch::Kind;

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
        for with_residual in [true, false] {
            for mask in [None, Some(DropoutMask { p: 0.25, seed: 5 })] {
                let norm = NormWeights { gain: &gain, bias: &bias, eps: 1e-12 };
                let added = with_residual.then_some(&residual);
                let found = dropout_add_layer_norm(&input, added, norm, mask).unwrap();
                let mut sum = match mask {
                    Some(mask) => dropout(&input, mask.p, mask.seed).unwrap(),
                    None => input.shallow_clone(),
                };
                if with_residual {
                    sum = &sum + &residual;
                }
                let expected = sum.layer_norm([37], Some(&gain), Some(&bias), 1e-12, true);
                let worst = (&found - &expected).abs().max().double_value(&[]);
                assert!(worst < 1e-12, "value: differs by {worst:e}");
                let inputs: Vec<&Tensor> =
                    [&input, &gain, &bias].into_iter().chain(added).collect();
                let of = |out: &Tensor| {
                    gradients(&(out * out.sin()).sum(Kind::Double), &inputs, false).unwrap()
                };
                for (found, expected) in of(&found).iter().zip(&of(&expected)) {
                    let worst = (found - expected).abs().max().double_value(&[]);
                    assert!(worst < 1e-10, "gradient: differs by {worst:e}");
                }
            }
        }
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
}
