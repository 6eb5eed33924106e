//! The order in which a set of examples is visited, minibatch by minibatch.

use super::ExampleId;
use crate::seed;

/// The examples of gradient step number `step` when `examples` are visited in epochs of shuffled
/// minibatches of `batch_size` (the last one of an epoch may be smaller). A pure function of its
/// arguments: epoch `e` is shuffled by `seed` and `e` alone.
pub fn minibatch(
    examples: &[ExampleId],
    batch_size: usize,
    seed: u64,
    step: usize,
) -> Vec<ExampleId> {
    let per_epoch = num_minibatches(examples.len(), batch_size);
    let (epoch, within) = (step / per_epoch, step % per_epoch);
    let mut order = examples.to_vec();
    seed::shuffle(&mut seed::rng(seed, "minibatch order", epoch as u64), &mut order);
    order.chunks(batch_size).nth(within).expect("`within` is below the number of chunks").to_vec()
}

/// Number of minibatches in one epoch over `num_examples`.
pub fn num_minibatches(num_examples: usize, batch_size: usize) -> usize {
    num_examples.div_ceil(batch_size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_visits_every_example_once_in_a_new_order() {
        let examples: Vec<ExampleId> = (0..80).collect();
        let epoch = |e: usize| -> Vec<ExampleId> {
            (0..7).flat_map(|step| minibatch(&examples, 12, 9, e * 7 + step)).collect()
        };
        let (first, second) = (epoch(0), epoch(1));
        assert_ne!(first, second);
        for mut visited in [first, second] {
            visited.sort_unstable();
            assert_eq!(visited, examples);
        }
        assert_eq!(minibatch(&examples, 12, 9, 6).len(), 8, "the last minibatch of an epoch");
    }
}
