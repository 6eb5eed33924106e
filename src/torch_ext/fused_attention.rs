//! Self-attention over padded texts by libtorch's fused kernels, with reproducible dropout.

use std::ffi::c_char;
use tch::{TchError, Tensor};
use torch_sys::C_tensor;

use super::DropoutMask;

unsafe extern "C" {
    fn metabert_fused_attention(
        out: *mut *mut C_tensor,
        queries: *const C_tensor,
        keys: *const C_tensor,
        values: *const C_tensor,
        mask: *const C_tensor,
        scale: f64,
        p: f64,
        seed: u64,
    ) -> *const c_char;
}

/// Returns `dropout(softmax(scale * queries · keysᵀ + mask)) · values`, `[batch, heads, queries, head_dim]`.
///
/// Queries, keys and values are `[batch, heads, rows, head_dim]` of one dtype; `mask` has that dtype as well, and a size
/// of at least two dimensions that expands to `[batch, heads, queries, keys]`. libtorch picks the kernel: on CUDA flash
/// or memory-efficient attention, which never write the weights to memory; with dropout on the CPU, the plain products.
/// The dropout mask is a function of its seed, the device and the kernel.
///
/// # Errors
/// Shapes, dtypes or devices other than these; no heads, keys or columns; a negative or infinite scale; a probability
/// outside `0..1`; any error of libtorch.
pub fn fused_attention(
    (queries, keys, values): (&Tensor, &Tensor, &Tensor),
    mask: &Tensor,
    scale: f64,
    dropout: Option<DropoutMask>,
) -> Result<Tensor, TchError> {
    let (p, seed) = DropoutMask::parts(dropout);
    // SAFETY: the tensors outlive the call, which only reads them and makes a tensor of its own.
    unsafe {
        super::new_tensor(|out| {
            metabert_fused_attention(
                out,
                queries.as_ptr(),
                keys.as_ptr(),
                values.as_ptr(),
                mask.as_ptr(),
                scale,
                p,
                seed,
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torch_ext::gradients;
    use crate::torch_ext::tests::{DEFAULT_GENERATOR, fails};
    use std::sync::PoisonError;
    use std::thread;
    use tch::{Device, Kind};

    const SIZE: [i64; 4] = [3, 2, 9, 4];
    const OPTIONS: (Kind, Device) = (Kind::Float, Device::Cpu);

    /// Queries, keys and values of zeros, but for values of one: without dropout every output is one.
    fn uniform() -> [Tensor; 3] {
        let zeros = || Tensor::zeros(SIZE, OPTIONS).set_requires_grad(true);
        [zeros(), zeros(), Tensor::ones(SIZE, OPTIONS).set_requires_grad(true)]
    }

    fn attend([queries, keys, values]: &[Tensor; 3], dropout: Option<DropoutMask>) -> Tensor {
        let mask = Tensor::zeros([SIZE[0], 1, 1, SIZE[2]], OPTIONS);
        let mask = mask.expand([SIZE[0], 1, SIZE[2], SIZE[2]], false);
        fused_attention((queries, keys, values), &mask, 0.5, dropout).unwrap()
    }

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten(0, -1).try_into().unwrap()
    }

    #[test]
    fn one_seed_gives_one_mask_on_any_thread() {
        let _held = DEFAULT_GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |seed| values(&attend(&uniform(), Some(DropoutMask { p: 0.5, seed })));
        let expected: Vec<Vec<f32>> = (0..4).map(of).collect();
        assert_ne!(expected[0], expected[1]);
        thread::scope(|scope| {
            for (seed, expected) in (0..).zip(&expected) {
                scope.spawn(move || {
                    (0..200).for_each(|_| assert_eq!(of(seed), *expected, "seed {seed}"));
                });
            }
        });
    }

    #[test]
    fn dropout_keeps_the_mean_and_its_gradient_the_mask() {
        let _held = DEFAULT_GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
        let plain = attend(&uniform(), None);
        assert!(plain.allclose(&plain.ones_like(), 1e-6, 0.0, false));
        let runs = 400;
        let mean = (0..runs)
            .map(|seed| attend(&uniform(), Some(DropoutMask { p: 0.25, seed })).mean(Kind::Double))
            .map(|mean| mean.double_value(&[]))
            .sum::<f64>()
            / runs as f64;
        // Each run averages as many weights as there are rows of queries and keys.
        let weights = (runs as i64 * SIZE[0] * SIZE[1] * SIZE[2] * SIZE[2]) as f64;
        let bound = 5.0 * (0.25 / 0.75 / weights).sqrt();
        assert!((mean - 1.0).abs() < bound, "mean {mean}, bound {bound}");

        // The output is linear in the values: with the mask of the forward pass, and no other, its sum is the product of
        // values and gradient.
        let inputs = uniform();
        let sum = attend(&inputs, Some(DropoutMask { p: 0.25, seed: 3 })).sum(Kind::Float);
        let gradient = gradients(&sum, &[&inputs[2]], false).unwrap().remove(0);
        assert!(
            (sum.double_value(&[]) - gradient.sum(Kind::Double).double_value(&[])).abs() < 1e-3
        );
        assert!(gradient.std(false).double_value(&[]) > 0.1, "nothing was dropped");
    }

    #[test]
    fn parts_that_do_not_fit_are_an_error() {
        let zeros = |size: &[i64]| Tensor::zeros(size, OPTIONS);
        let attend = |queries: &Tensor, keys: &Tensor, values: &Tensor, mask: &[i64]| {
            fused_attention((queries, keys, values), &zeros(mask), 0.5, None)
        };
        let fits = zeros(&SIZE);
        for size in [[3, 2, 9, 5], [3, 1, 9, 4], [1, 2, 9, 4]] {
            fails(
                attend(&fits, &zeros(&size), &fits, &[9, 9]),
                "keys: expected the shape [3, 2, 9, 4]",
            );
            fails(attend(&fits, &fits, &zeros(&size), &[9, 9]), "values: expected the shape");
        }
        fails(attend(&fits, &fits, &zeros(&[3, 2, 8, 4]), &[9, 9]), "values: expected the shape");
        for size in [&[9][..], &[9, 8], &[2, 9], &[2, 1, 1, 9], &[1, 3, 2, 9, 9]] {
            fails(attend(&fits, &fits, &fits, size), "mask: expected a shape that expands to");
        }
        for size in [[3, 0, 9, 4], [3, 2, 0, 4], [3, 2, 9, 0]] {
            let empty = zeros(&size);
            fails(attend(&empty, &empty, &empty, &[1]), "expected heads, keys and columns");
        }
        fails(attend(&zeros(&[9, 4]), &fits, &fits, &[9, 9]), "[batch, heads, rows, head_dim]");
        let whole = fits.to_kind(Kind::Int64);
        fails(
            attend(&whole, &whole, &whole, &[9, 9]),
            "expected floating-point numbers, found Long",
        );
        let wide = fits.to_kind(Kind::Double);
        fails(attend(&wide, &wide, &wide, &[9, 9]), "mask: expected Double, found Float");
        fails(attend(&Tensor::new(), &fits, &fits, &[9, 9]), "queries: expected a dense tensor");
        let no_text = zeros(&[0, 2, 9, 4]);
        assert_eq!(attend(&no_text, &no_text, &no_text, &[9, 9]).unwrap().size(), [0, 2, 9, 4]);
        let no_query = zeros(&[3, 2, 0, 4]);
        assert_eq!(attend(&no_query, &fits, &fits, &[1, 9]).unwrap().size(), [3, 2, 0, 4]);
    }

    #[test]
    fn numbers_that_softmax_and_dropout_cannot_use_are_an_error() {
        let (fits, mask) = (Tensor::zeros(SIZE, OPTIONS), Tensor::zeros([9, 9], OPTIONS));
        let attend = |scale, p| {
            let dropout = Some(DropoutMask { p, seed: 1 });
            fused_attention((&fits, &fits, &fits), &mask, scale, dropout)
        };
        for p in [-0.1, 1.0, f64::NAN] {
            fails(attend(0.5, p), "a probability from 0 to below 1");
        }
        for scale in [-0.5, f64::NAN, f64::INFINITY] {
            fails(attend(scale, 0.0), "a finite scale of at least 0");
        }
    }
}
