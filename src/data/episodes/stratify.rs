//! Takes samples in which every label keeps its share.
//!
//! Knows groups of ids, not what a group has in common.

use rand_chacha::ChaCha8Rng;

use crate::data::ids::ExampleId;
use crate::seed;

/// Moves a stratified sample of `count` examples out of `groups`, and returns it in random order.
pub(super) fn take(
    groups: &mut [Vec<ExampleId>],
    count: usize,
    min_size: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<ExampleId> {
    let sizes: Vec<usize> = groups.iter().map(Vec::len).collect();
    let mut taken = Vec::with_capacity(count);
    for (group, count) in groups.iter_mut().zip(apportion(&sizes, count, min_size)) {
        seed::shuffle_front(rng, group, count);
        taken.extend(group.drain(..count));
    }
    seed::shuffle(rng, &mut taken);
    taken
}

/// Divides `count` among groups in proportion to their sizes, by largest remainder; a tie goes to the first group.
///
/// Where `count` suffices for all groups, every group of at least `min_size` gets at least one.
fn apportion(sizes: &[usize], count: usize, min_size: usize) -> Vec<usize> {
    let total: usize = sizes.iter().sum();
    if count == 0 {
        return vec![0; sizes.len()];
    }
    // Whole numbers throughout: the shares are the same on every machine.
    let mut shares: Vec<usize> = sizes.iter().map(|size| count * size / total).collect();
    let mut by_remainder: Vec<usize> = (0..sizes.len()).collect();
    by_remainder.sort_by_key(|&group| std::cmp::Reverse(count * sizes[group] % total));
    let num_left = count - shares.iter().sum::<usize>();
    for &group in &by_remainder[..num_left] {
        shares[group] += 1;
    }
    let num_groups = sizes.iter().filter(|size| **size > 0).count();
    if count >= num_groups {
        for group in 0..sizes.len() {
            if shares[group] == 0 && sizes[group] >= min_size {
                let giver = (0..sizes.len()).rev().max_by_key(|&giver| shares[giver]);
                shares[giver.expect("there is at least this group")] -= 1;
                shares[group] = 1;
            }
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_go_by_largest_remainder() {
        assert_eq!(apportion(&[30, 70], 81, 2), [24, 57]);
        assert_eq!(apportion(&[1, 1, 1], 2, 1), [1, 1, 0]);
        assert_eq!(apportion(&[74, 26], 0, 2), [0, 0]);
        assert_eq!(apportion(&[0, 5, 0], 3, 2), [0, 3, 0]);
    }

    #[test]
    fn a_rare_label_gets_one_example_where_there_is_room() {
        assert_eq!(apportion(&[2, 98], 10, 2), [1, 9]);
        assert_eq!(apportion(&[1, 99], 10, 2), [0, 10], "the only example stays for the query set");
        assert_eq!(apportion(&[1, 99], 10, 1), [1, 9]);
        assert_eq!(apportion(&[2, 2, 96], 2, 2), [0, 0, 2], "there is no room");
    }
}
