//! Dropout whose mask depends on a seed and the element's position only.

use std::ffi::c_char;
use tch::{TchError, Tensor};
use torch_sys::C_tensor;

use super::instruction_set::InstructionSet;

unsafe extern "C" {
    fn metabert_dropout(
        out: *mut *mut C_tensor,
        input: *const C_tensor,
        p: f64,
        seed: u64,
        isa: InstructionSet,
    ) -> *const c_char;
}

/// The elements that a dropout zeroes: each with probability `p`, by a hash of `seed` and its position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DropoutMask {
    /// Probability of zeroing an element, from 0 to below 1.
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
/// A probability outside `0..1`; another dtype, or more than 2^32 elements, on the CPU; any error of libtorch.
pub fn dropout(input: &Tensor, p: f64, seed: u64) -> Result<Tensor, TchError> {
    if p == 0.0 {
        return Ok(input.shallow_clone());
    }
    let isa = InstructionSet::current()?;
    // SAFETY: `input` outlives the call, which makes a tensor of its own.
    unsafe { super::new_tensor(|out| metabert_dropout(out, input.as_ptr(), p, seed, isa)) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::torch_ext::instruction_set::tests::with_each_instruction_set;
    use crate::torch_ext::tests::fails;
    use tch::{Device, Kind};

    /// The factors of a mask, from its definition: a hash of 32 bits against a bound.
    pub(in crate::torch_ext) fn mask(size: &[i64], DropoutMask { p, seed }: DropoutMask) -> Tensor {
        let (low, high) = (seed as u32, (seed >> 32) as u32);
        let kept = |position: u32| {
            let mut x = position.wrapping_add(low);
            x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
            x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
            x = (x ^ (x >> 16) ^ high).wrapping_mul(0x9e37_79b1);
            x = (x ^ (x >> 15)).wrapping_mul(0x85eb_ca77);
            if x ^ (x >> 13) >= (p * 2f64.powi(32)) as u32 { 1.0 / (1.0 - p) } else { 0.0 }
        };
        let count = size.iter().product::<i64>() as u32;
        Tensor::from_slice(&(0..count).map(kept).collect::<Vec<f64>>()).view(size)
    }

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

    #[test]
    fn every_instruction_set_draws_the_mask_of_the_definition() {
        for count in [1, 15, 16, 17, 1_000, 70_001] {
            for (p, seed) in [(0.1, 7), (0.9, u64::MAX), (1e-12, 3), (1.0 - 1e-12, 1 << 40)] {
                let expected = mask(&[count], DropoutMask { p, seed }).to_kind(Kind::Float);
                with_each_instruction_set(|| {
                    let found = dropout(&ones(count), p, seed).unwrap();
                    assert!(found.equal(&expected), "{count} elements, p {p}, seed {seed}");
                });
            }
        }
    }

    #[test]
    fn probabilities_are_from_0_to_below_1() {
        for p in [-0.1, 1.0, 1.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            fails(dropout(&ones(3), p, 1), "expected a probability from 0 to below 1");
        }
        assert!(dropout(&ones(3), 0.0, 1).unwrap().equal(&ones(3)));
    }

    /// Without memory: all elements are the same one.
    #[test]
    fn a_mask_never_repeats_itself() {
        let wide = ones(1).expand([1 << 16, (1 << 16) + 1], false);
        fails(dropout(&wide, 0.1, 1), "at most 2^32 elements, found 4295032832");
    }
}
