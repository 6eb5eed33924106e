//! The order in which a set of examples is visited, minibatch by minibatch.

use std::sync::{Mutex, PoisonError};

use crate::data::ids::ExampleId;
use crate::seed;

/// The minibatches of epochs over a set of examples: every epoch visits each example once, in an order of its own.
///
/// A minibatch is a pure function of the examples, the seed and its number. What is kept between two calls is the order
/// of one epoch, so that minibatches asked for in turn, by whatever threads, shuffle the examples once an epoch.
#[derive(Debug)]
pub struct Minibatches {
    examples: Vec<ExampleId>,
    batch_size: usize,
    seed: u64,
    /// The epoch that the last minibatch was in.
    current: Mutex<Epoch>,
}

#[derive(Debug)]
struct Epoch {
    number: usize,
    order: Vec<ExampleId>,
}

impl Minibatches {
    /// Minibatches of `batch_size` examples; the last one of an epoch may be smaller.
    pub fn new(examples: Vec<ExampleId>, batch_size: usize, seed: u64) -> Self {
        let first = Epoch { number: 0, order: shuffled(&examples, seed, 0) };
        Self { examples, batch_size, seed, current: Mutex::new(first) }
    }

    /// The number of minibatches in an epoch.
    pub fn num_in_epoch(&self) -> usize {
        num_minibatches(self.examples.len(), self.batch_size)
    }

    /// The examples of minibatch number `step`, counted through all epochs.
    pub fn minibatch(&self, step: usize) -> Vec<ExampleId> {
        let per_epoch = self.num_in_epoch();
        let (number, within) = (step / per_epoch, step % per_epoch);
        let mut epoch = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if epoch.number != number {
            *epoch = Epoch { number, order: shuffled(&self.examples, self.seed, number) };
        }
        let mut minibatches = epoch.order.chunks(self.batch_size);
        minibatches.nth(within).expect("`within` is below the number of chunks").to_vec()
    }
}

/// Number of minibatches in one epoch over `num_examples`.
pub fn num_minibatches(num_examples: usize, batch_size: usize) -> usize {
    num_examples.div_ceil(batch_size)
}

fn shuffled(examples: &[ExampleId], seed: u64, epoch: usize) -> Vec<ExampleId> {
    let mut order = examples.to_vec();
    seed::shuffle(&mut seed::rng(seed, "minibatch order", epoch as u64), &mut order);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_visits_every_example_once_in_a_new_order() {
        let examples: Vec<ExampleId> = (0..80).collect();
        let minibatches = Minibatches::new(examples.clone(), 12, 9);
        let epoch = |e: usize| -> Vec<ExampleId> {
            (0..7).flat_map(|step| minibatches.minibatch(e * 7 + step)).collect()
        };
        let (first, second) = (epoch(0), epoch(1));
        assert_ne!(first, second);
        for mut visited in [first, second] {
            visited.sort_unstable();
            assert_eq!(visited, examples);
        }
        assert_eq!(minibatches.minibatch(6).len(), 8, "the last minibatch of an epoch");
    }

    // Recorded values: runs that are resumed depend on them.
    #[test]
    fn minibatches_never_change() {
        let minibatches = Minibatches::new((0..10).collect(), 4, 7);
        let drawn: Vec<Vec<ExampleId>> =
            [0, 1, 2, 5].map(|step| minibatches.minibatch(step)).to_vec();
        assert_eq!(drawn, [vec![5, 6, 1, 2], vec![9, 7, 0, 3], vec![8, 4], vec![0, 2]]);
    }

    #[test]
    fn a_minibatch_depends_on_its_number_alone() {
        let minibatches = Minibatches::new((0..50).collect(), 8, 3);
        let fresh = |step| Minibatches::new((0..50).collect(), 8, 3).minibatch(step);
        let expected: Vec<Vec<ExampleId>> = (0..30).map(fresh).collect();
        let drawn: Vec<Vec<ExampleId>> = std::thread::scope(|scope| {
            let draw = |step| minibatches.minibatch(step);
            let threads: Vec<_> =
                (0..30).rev().map(|step| scope.spawn(move || draw(step))).collect();
            threads.into_iter().rev().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(drawn, expected);
    }
}
