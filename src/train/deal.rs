//! Which rank computes which episodes of an outer step.
//!
//! Knows costs only.

use std::cmp::Reverse;

/// The positions of each of `num_ranks` ranks, ascending, where `costs` are those of all positions of a meta-batch.
///
/// The step lasts as long as its slowest rank, so the dearest go first, each to the rank that has least so far (Graham 1969,
/// "Bounds on multiprocessing timing anomalies"). Neighbours travel as one sum: they are dealt out in blocks, of which a rank
/// gets about two.
pub fn deal(costs: &[u64], num_ranks: usize) -> Vec<Vec<usize>> {
    let fitting = (costs.len() / (2 * num_ranks)).max(1);
    let block_size = 1 << fitting.ilog2();
    let mut blocks: Vec<(usize, u64)> = costs
        .chunks(block_size)
        .enumerate()
        .map(|(block, costs)| (block * block_size, costs.iter().sum()))
        .collect();
    blocks.sort_by_key(|&(first, cost)| (Reverse(cost), first));
    let mut ranks = vec![(0, Vec::new()); num_ranks];
    for (first, cost) in blocks {
        let least = ranks.iter_mut().min_by_key(|(load, _)| *load).expect("there is a rank");
        least.0 += cost;
        least.1.extend(first..costs.len().min(first + block_size));
    }
    let positions = ranks.into_iter().map(|(_, mut positions)| {
        positions.sort_unstable();
        positions
    });
    positions.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_position_is_dealt_once_and_in_order() {
        for (count, num_ranks) in [(1, 1), (1, 3), (4, 2), (7, 3), (16, 2), (100, 6)] {
            let costs: Vec<u64> = (0..count).map(|position| 10 + position * 7 % 13).collect();
            let dealt = deal(&costs, num_ranks);
            assert_eq!(dealt.len(), num_ranks);
            assert!(dealt.iter().all(|positions| positions.is_sorted()), "{dealt:?}");
            let mut all = dealt.concat();
            all.sort_unstable();
            assert_eq!(all, (0..count as usize).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_dearest_are_apart() {
        assert_eq!(deal(&[9, 8, 1, 2], 2), [[0, 2], [1, 3]]);
        assert_eq!(deal(&[100, 1, 1, 1], 2), [vec![0], vec![1, 2, 3]]);
        // Blocks of two.
        assert_eq!(deal(&[5, 5, 4, 4, 1, 1, 1, 1], 2), [vec![0, 1, 6, 7], vec![2, 3, 4, 5]]);
    }
}
