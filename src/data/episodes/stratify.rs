//! Takes samples in which every label keeps its share, or has a part at least.
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
    take_counts(groups, &apportion(&sizes, count, min_size), rng)
}

/// Moves samples of so many examples out of each of `groups`, and returns all of them in random order.
pub(super) fn take_counts(
    groups: &mut [Vec<ExampleId>],
    counts: &[usize],
    rng: &mut ChaCha8Rng,
) -> Vec<ExampleId> {
    let mut taken = Vec::with_capacity(counts.iter().sum());
    for (group, &count) in groups.iter_mut().zip(counts) {
        seed::shuffle_front(rng, group, count);
        taken.extend(group.drain(..count));
    }
    seed::shuffle(rng, &mut taken);
    taken
}

/// Divides `count` among groups in proportion to their sizes, such that every group keeps `spare` of its examples; and
/// gets at least one, where `count` suffices for all.
///
/// Expects room for `count`: the groups have so many examples besides those that they keep.
pub(super) fn apportion_to_all(sizes: &[usize], count: usize, spare: usize) -> Vec<usize> {
    let mut shares = apportion(sizes, count, 1);
    for giver in 0..sizes.len() {
        while shares[giver] + spare > sizes[giver] {
            let room = |&group: &usize| sizes[group].saturating_sub(shares[group] + spare);
            let taker = (0..sizes.len()).rev().max_by_key(room).expect("there is a group");
            // Checked where the user's numbers come in; without room this would never end.
            assert!(
                room(&taker) > 0,
                "{count} examples of groups of {sizes:?} leave no {spare} in each"
            );
            shares[giver] -= 1;
            shares[taker] += 1;
        }
    }
    shares
}

/// Divides `count` among groups at random, as a sample without regard to groups would; but as
/// [`apportion_to_all`], every group keeps `spare` and gets at least one.
pub(super) fn divide_at_random(
    sizes: &[usize],
    count: usize,
    spare: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<usize> {
    let least = usize::from(count >= sizes.len());
    let num_left = count - least * sizes.len();
    let groups = sizes.iter().enumerate();
    let more = groups.flat_map(|(group, &size)| std::iter::repeat_n(group, size - spare - least));
    let mut more: Vec<usize> = more.collect();
    seed::shuffle_front(rng, &mut more, num_left);
    let mut shares = vec![least; sizes.len()];
    more[..num_left].iter().for_each(|&group| shares[group] += 1);
    shares
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

    #[test]
    fn every_group_gets_one_and_keeps_one() {
        assert_eq!(apportion_to_all(&[30, 70], 20, 1), [6, 14], "shares as ever");
        assert_eq!(apportion_to_all(&[2, 98], 80, 1), [1, 79], "its second example stays");
        assert_eq!(apportion_to_all(&[2, 98], 80, 0), [2, 78]);
        assert_eq!(apportion_to_all(&[2, 2, 2, 3], 5, 1), [1, 1, 1, 2]);
        assert_eq!(apportion_to_all(&[1, 1, 90], 2, 0), [0, 0, 2], "there is no room");
    }

    #[test]
    fn random_shares_stay_within_the_groups() {
        let mut rng = seed::rng(1, "shares", 0);
        for _ in 0..200 {
            let sizes: Vec<usize> =
                (0..1 + seed::below(&mut rng, 6)).map(|_| 2 + seed::below(&mut rng, 9)).collect();
            let room = sizes.iter().sum::<usize>() - sizes.len();
            let count = sizes.len() + seed::below(&mut rng, room - sizes.len() + 1);
            let at_random = divide_at_random(&sizes, count, 1, &mut rng);
            for shares in [apportion_to_all(&sizes, count, 1), at_random] {
                assert_eq!(shares.iter().sum::<usize>(), count, "{sizes:?}");
                let fits = |(&share, &size): (&usize, &usize)| 0 < share && share < size;
                assert!(shares.iter().zip(&sizes).all(fits), "{sizes:?} {count}: {shares:?}");
            }
        }
    }
}
