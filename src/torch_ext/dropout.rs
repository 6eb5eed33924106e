//! Dropout whose mask depends on a seed and the element's position only.

use std::ffi::c_char;
use tch::{TchError, Tensor};
use torch_sys::C_tensor;

unsafe extern "C" {
    fn metabert_dropout(
        out: *mut *mut C_tensor,
        input: *const C_tensor,
        p: f64,
        seed: u64,
    ) -> *mut c_char;
}

/// Which elements a dropout zeroes: each with probability `p`, by a hash of `seed` and its position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DropoutMask {
    /// Probability of zeroing an element.
    pub p: f64,
    /// Seed of the mask.
    pub seed: u64,
}

impl DropoutMask {
    /// Probability and seed, with a probability of 0 where nothing drops.
    pub(super) fn parts(mask: Option<Self>) -> (f64, u64) {
        mask.map_or((0.0, 0), |mask| (mask.p, mask.seed))
    }
}

/// Returns `input` with each element zeroed with probability `p` and the rest scaled by
/// `1 / (1 - p)`; same shape and dtype (float32 or float64 on the CPU).
///
/// On the CPU the mask is a counter-based hash of (`seed`, position): the same for any number of
/// threads, and several times cheaper than libtorch's serial generator. On CUDA libtorch's own
/// counter-based generator draws it, seeded by `seed`: the mask is as reproducible, but another.
///
/// # Errors
/// Any error of libtorch, and more than 2^32 elements on the CPU.
pub fn dropout(input: &Tensor, p: f64, seed: u64) -> Result<Tensor, TchError> {
    if p <= 0.0 {
        return Ok(input.shallow_clone());
    }
    super::new_tensor(|out| {
        // SAFETY: `input` outlives the call.
        unsafe { metabert_dropout(out, input.as_ptr(), p, seed) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    fn ones(count: i64) -> Tensor {
        Tensor::ones([count], (Kind::Float, Device::Cpu))
    }

    #[test]
    fn drops_the_given_share_and_keeps_the_mean() {
        let count = 1_000_000;
        for p in [0.1, 0.5] {
            let dropped = dropout(&ones(count), p, 7).unwrap();
            let share = 1.0 - dropped.count_nonzero(0).double_value(&[]) / count as f64;
            // Five standard deviations of a binomial share.
            let bound = 5.0 * (p * (1.0 - p) / count as f64).sqrt();
            assert!((share - p).abs() < bound, "share {share}, p {p}, bound {bound}");
            assert_eq!(dropped.max().double_value(&[]) as f32, (1.0 / (1.0 - p)) as f32);
        }
    }

    #[test]
    fn masks_of_two_seeds_are_independent() {
        let count = 1_000_000;
        for (a, b) in [(1, 2), (1, 1 << 32), (7, 8), (0, u64::MAX)] {
            let both =
                dropout(&ones(count), 0.5, a).unwrap() * dropout(&ones(count), 0.5, b).unwrap();
            let share = both.count_nonzero(0).double_value(&[]) / count as f64;
            assert!((share - 0.25).abs() < 0.0025, "seeds {a} and {b} keep {share} in common");
        }
    }

    #[test]
    fn neighbouring_positions_are_independent() {
        let count = 1_000_000;
        let kept = dropout(&ones(count), 0.5, 3).unwrap();
        for lag in [1, 2, 16, 384, 4096] {
            let pairs = kept.narrow(0, 0, count - lag) * kept.narrow(0, lag, count - lag);
            let share = pairs.count_nonzero(0).double_value(&[]) / (count - lag) as f64;
            assert!((share - 0.25).abs() < 0.0025, "lag {lag}: {share}");
        }
    }

    #[test]
    fn the_gradient_has_the_mask_of_the_value() {
        let x = ones(4096).set_requires_grad(true);
        let y = dropout(&x, 0.3, 11).unwrap();
        let gradient = crate::torch_ext::gradients(&y.sum(Kind::Float), &[&x], false).unwrap();
        assert_eq!(gradient[0].ne_tensor(&y).any().int64_value(&[]), 0);
    }

    #[test]
    fn the_mask_does_not_depend_on_the_number_of_threads() {
        let run = || dropout(&ones(300_000), 0.1, 5).unwrap();
        let [one, two] = crate::torch_ext::tests::with_threads([1, 2], run);
        assert!(one.equal(&two));
    }
}
