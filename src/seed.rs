//! Derives every random stream of a run from (run seed, purpose, index), without any state.
//!
//! The bits are those of ChaCha8, a published cipher. The ways from bits to integers, unit numbers
//! and shuffles are written out here, because those of the `rand` crates may change with their
//! version. Normal numbers, the first values of weights, do come from `rand_distr`. Tests pin every
//! stream (`tests/suite/numerics/random_streams.rs`), so that no upgrade changes one unnoticed.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};

/// The seed of one purpose: the first eight bytes (little-endian) of a SHA-256 of the three values.
///
/// `purpose` names the use of the numbers (`"dropout"`, `"meta-train episodes"`), `index` one of a series.
pub fn derive(run_seed: u64, purpose: &str, index: u64) -> u64 {
    let digest = digest(run_seed, purpose, index);
    u64::from_le_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
}

/// A seed for the `index`-th use of a derived seed, different for each index: one output of SplitMix64
/// (Steele et al. 2014). It is for the inside of a step, where a digest for each use would cost time.
pub fn mix(seed: u64, index: u64) -> u64 {
    let state = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// The random stream of one purpose. Its key is the whole digest that [`derive()`] takes eight bytes of.
pub fn rng(run_seed: u64, purpose: &str, index: u64) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(digest(run_seed, purpose, index))
}

/// A uniform integer in `0..bound`, without bias.
///
/// # Panics
/// If `bound` is zero.
pub fn below(rng: &mut ChaCha8Rng, bound: usize) -> usize {
    assert!(bound > 0, "there is no random number below zero");
    let bound = bound as u64;
    // Lemire 2019, algorithm 5: the high half of a 128-bit product, rejecting the short first interval.
    let threshold = bound.wrapping_neg() % bound;
    loop {
        let product = u128::from(rng.next_u64()) * u128::from(bound);
        if product as u64 >= threshold {
            return (product >> 64) as usize;
        }
    }
}

/// A uniform number in `[0, 1)` with 53 random bits.
pub fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Puts a uniform sample of `count` items, in random order, at the front of `items`.
///
/// # Panics
/// If there are fewer than `count` items.
pub fn shuffle_front<T>(rng: &mut ChaCha8Rng, items: &mut [T], count: usize) {
    assert!(count <= items.len(), "cannot take {count} items of {}", items.len());
    for position in 0..count {
        let chosen = position + below(rng, items.len() - position);
        items.swap(position, chosen);
    }
}

/// Shuffles all `items`.
pub fn shuffle<T>(rng: &mut ChaCha8Rng, items: &mut [T]) {
    shuffle_front(rng, items, items.len());
}

fn digest(run_seed: u64, purpose: &str, index: u64) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(b"metabert seed 1");
    hasher.update(run_seed.to_le_bytes());
    // The length separates two purposes of which one begins with the other.
    hasher.update((purpose.len() as u64).to_le_bytes());
    hasher.update(purpose.as_bytes());
    hasher.update(index.to_le_bytes());
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    // The expected numbers of the next four tests: python3 tests/fixtures/make_random_streams.py

    #[test]
    fn derived_seeds_never_change() {
        assert_eq!(derive(0, "", 0), 4_559_066_054_064_858_367);
        assert_eq!(derive(42, "episodes", 7), 10_809_240_358_806_394_941);
        assert_eq!(derive(u64::MAX, "dropout/\u{e9}", u64::MAX), 3_020_825_915_870_763_116);
    }

    // 20 numbers take more than the eight 64-bit words of a first block.
    #[test]
    fn bounded_numbers_never_change() {
        let mut rng = rng(42, "episodes", 7);
        let drawn: Vec<usize> = (0..20).map(|_| below(&mut rng, 1000)).collect();
        let expected = [
            171, 580, 709, 957, 824, 178, 945, 780, 699, 605, 339, 579, 880, 416, 756, 553, 100,
            543, 72, 925,
        ];
        assert_eq!(drawn, expected);
    }

    #[test]
    fn unit_numbers_never_change() {
        let mut rng = rng(42, "episodes", 7);
        let drawn = [(); 3].map(|()| unit(&mut rng));
        assert_eq!(drawn, [0.17182748551421823, 0.5803227388033609, 0.7093310527289507]);
    }

    #[test]
    fn shuffles_never_change() {
        let mut items: Vec<u32> = (0..12).collect();
        shuffle(&mut rng(42, "episodes", 7), &mut items);
        assert_eq!(items, [2, 7, 9, 11, 10, 6, 3, 4, 1, 8, 0, 5]);
    }

    // The first outputs of SplitMix64 from state 1234567, as published with the reference implementation.
    #[test]
    fn mixed_seeds_are_those_of_splitmix64() {
        let seeds = [0, 1, 2].map(|index| mix(1_234_567, index));
        assert_eq!(
            seeds,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn each_of_the_three_values_matters() {
        let seeds = [derive(1, "a", 1), derive(2, "a", 1), derive(1, "b", 1), derive(1, "a", 2)];
        for (position, seed) in seeds.iter().enumerate() {
            assert!(!seeds[..position].contains(seed), "{seeds:?}");
        }
    }

    #[test]
    fn bounded_numbers_are_uniform() {
        let mut rng = rng(1, "test", 0);
        let mut counts = [0_u32; 7];
        for _ in 0..70_000 {
            counts[below(&mut rng, 7)] += 1;
        }
        // Five binomial standard deviations of 93: a sound generator fails with one seed in millions.
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 465), "{counts:?}");
    }

    #[test]
    fn unit_numbers_lie_in_the_half_open_interval() {
        let mut rng = rng(1, "unit", 0);
        let drawn: Vec<f64> = (0..10_000).map(|_| unit(&mut rng)).collect();
        let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
        assert!(drawn.iter().all(|number| (0.0..1.0).contains(number)));
        assert!((mean - 0.5).abs() < 0.015, "mean {mean}");
    }

    #[test]
    fn a_shuffle_keeps_every_item() {
        let mut items: Vec<u32> = (0..100).collect();
        shuffle(&mut rng(3, "shuffle", 0), &mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
