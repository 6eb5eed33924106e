//! Draws the support and the query set of one episode out of one domain.
//!
//! Knows no seed and no index: the stream of random numbers comes with the call.

use rand_chacha::ChaCha8Rng;

use super::config::{EpisodeConfig, ExampleLaw};
use super::pool::DomainPool;
use super::sizes::QuerySize;
use super::stratify::{apportion_to_all, divide_at_random, take, take_counts};
use crate::data::ids::ExampleId;
use crate::data::labels::LabelSet;
use crate::seed;

/// A support set of `size` and a query set, in which a label that the domain hardly uses may be absent.
pub(super) fn sets(
    pool: &DomainPool,
    law: ExampleLaw,
    size: usize,
    query: QuerySize,
    rng: &mut ChaCha8Rng,
) -> (Vec<ExampleId>, Vec<ExampleId>) {
    let mut groups = match law {
        ExampleLaw::Stratified => pool.examples_by_label.clone(),
        ExampleLaw::Uniform => vec![pool.examples_by_label.concat()],
    };
    let support = take(&mut groups, size, 2, rng);
    let query = match query {
        QuerySize::Count(count) => take(&mut groups, count, 1, rng),
        QuerySize::All => all_of(&groups),
    };
    (support, query)
}

/// A support set of `size`, or of `size` examples of each label, and a query set: each with an example of every label,
/// the query set where it has room for all.
pub(super) fn sets_of_every_label(
    pool: &DomainPool,
    labels: &LabelSet,
    config: &EpisodeConfig,
    size: usize,
    query: QuerySize,
    rng: &mut ChaCha8Rng,
) -> (Vec<ExampleId>, Vec<ExampleId>) {
    let examples = labels.ids().iter().map(|&label| pool.examples_of(label).to_vec());
    let mut groups: Vec<Vec<ExampleId>> = examples.collect();
    // The support set leaves an example of every label to the query set, if there is one.
    let spare = usize::from(query != QuerySize::Count(0));
    let counts = match config.counts_by_label() {
        true => vec![size; groups.len()],
        false => shares(&groups, config.example_law, size, spare, rng),
    };
    let support = take_counts(&mut groups, &counts, rng);
    let query = match query {
        QuerySize::Count(count) => {
            let counts = shares(&groups, config.example_law, count, 0, rng);
            take_counts(&mut groups, &counts, rng)
        }
        QuerySize::All => all_of(&groups),
    };
    (support, query)
}

/// How many of `count` examples come from each group, which keeps `spare`.
fn shares(
    groups: &[Vec<ExampleId>],
    law: ExampleLaw,
    count: usize,
    spare: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<usize> {
    let sizes: Vec<usize> = groups.iter().map(Vec::len).collect();
    match law {
        ExampleLaw::Stratified => apportion_to_all(&sizes, count, spare),
        ExampleLaw::Uniform => divide_at_random(&sizes, count, spare, rng),
    }
}

/// The examples of all groups, ascending.
fn all_of(groups: &[Vec<ExampleId>]) -> Vec<ExampleId> {
    let mut examples = groups.concat();
    examples.sort_unstable();
    examples
}

/// Takes `count` random ones out of `examples`, and leaves the others in ascending order.
pub(super) fn set_aside(
    examples: &mut Vec<ExampleId>,
    count: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<ExampleId> {
    seed::shuffle_front(rng, examples, count);
    let rest = examples.split_off(count);
    let taken = std::mem::replace(examples, rest);
    examples.sort_unstable();
    taken
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::sampler::{Episode, EpisodeSampler};
    use super::*;
    use crate::data::ids::{DomainId, LabelId};

    /// A pool with labels of its own; `sizes` are those of all labels of the dataset, ids begin at `first`.
    fn own_pool(domain: DomainId, name: &str, first: ExampleId, sizes: &[usize]) -> DomainPool {
        let labels = (0..).zip(sizes).flat_map(|(label, &size)| std::iter::repeat_n(label, size));
        DomainPool::new(domain, name, sizes.len(), (first..).zip(labels)).with_own_labels()
    }

    fn config(support: usize, query: usize) -> EpisodeConfig {
        EpisodeConfig { support: support.into(), query, ..EpisodeConfig::default() }
    }

    fn by_label(support_per_label: usize, query: usize) -> EpisodeConfig {
        EpisodeConfig { support_per_label: support_per_label.into(), ..config(80, query) }
    }

    fn sampler(config: &EpisodeConfig, pool: &DomainPool, seed: u64) -> EpisodeSampler {
        EpisodeSampler::new(config, vec![pool.clone()], seed, "draws")
    }

    fn labels_of(pool: &DomainPool, examples: &[ExampleId]) -> LabelSet {
        let labels = 0..pool.examples_by_label.len() as LabelId;
        let has = |label: &LabelId| {
            pool.examples_of(*label).iter().any(|example| examples.contains(example))
        };
        labels.filter(has).collect()
    }

    fn assert_sound(episode: &Episode, pool: &DomainPool, config: &EpisodeConfig) {
        let about = format!("{config:?} of {:?}: {episode:?}", pool.examples_by_label);
        assert_eq!(labels_of(pool, &episode.support), episode.labels, "{about}");
        let of_query = labels_of(pool, &episode.query);
        assert!(of_query.ids().iter().all(|label| episode.labels.ids().contains(label)), "{about}");
        if episode.query.len() >= episode.labels.len() {
            assert_eq!(of_query, episode.labels, "{about}");
        }
        let all = episode.support.iter().chain(&episode.query);
        let num_drawn = episode.support.len() + episode.query.len();
        assert_eq!(all.collect::<BTreeSet<_>>().len(), num_drawn, "{about}");
    }

    #[test]
    fn every_label_of_an_episode_has_a_support_and_a_query_text() {
        let mut rng = seed::rng(1, "structures", 0);
        for structure in 0..400 {
            let num_labels = 2 + seed::below(&mut rng, 6);
            let sizes: Vec<usize> = (0..num_labels + 2)
                .map(|label| match label % (num_labels + 1) {
                    0 => 0, // Of other domains.
                    _ => 2 + seed::below(&mut rng, 12),
                })
                .collect();
            let pool = own_pool(3, "d", 7, &sizes);
            let found = pool.labels.len();
            let support = found + seed::below(&mut rng, pool.len() - 2 * found + 1);
            let most = pool.len() - support;
            let ways = [0, 2 + seed::below(&mut rng, found - 1)][structure % 2];
            for example_law in [ExampleLaw::Stratified, ExampleLaw::Uniform] {
                let query = 1 + seed::below(&mut rng, most);
                let all = EpisodeConfig { example_law, ..config(support, query) };
                let few = EpisodeConfig { example_law, ways, ..by_label(1, 1) };
                for config in [&all, &few] {
                    let sampler = sampler(config, &pool, structure as u64);
                    let episode = sampler.episode(5);
                    assert_sound(&episode, &pool, config);
                    assert_eq!(episode.query.len(), config.query);
                    assert_eq!(episode, sampler.clone().episode(5));
                    if config.ways == 0 {
                        assert_eq!(episode.labels, pool.labels);
                    }
                    let draw = sampler.with_query_all().draw(3, 2);
                    assert_sound(&draw, &pool, config);
                    assert_eq!(draw.labels, pool.labels, "evaluations take all labels");
                    assert_eq!(draw.support.len() + draw.query.len(), pool.len());
                    assert!(draw.query.is_sorted());
                }
                assert_eq!(sampler(&all, &pool, 1).episode(5).support.len(), support);
            }
        }
    }

    #[test]
    fn a_query_set_of_at_most_so_many_is_a_random_part_of_all() {
        let pool = own_pool(0, "d", 0, &[40, 40, 20]);
        let all = sampler(&config(6, 1), &pool, 2).with_query_all();
        let most = |count: usize| all.clone().with_query_of_at_most(count);
        let (whole, part) = (all.draw(0, 3), most(30).draw(0, 3));
        assert_eq!((&part.support, part.query.len()), (&whole.support, 30));
        assert!(part.query.is_sorted());
        assert!(part.query.iter().all(|example| whole.query.contains(example)));
        assert_ne!(part.query, whole.query[..30]);
        assert_eq!(most(94).draw(0, 3), whole);
    }

    #[test]
    fn labels_are_drawn_by_seed_and_each_as_often() {
        let pool = own_pool(0, "d", 0, &[9, 0, 4, 4, 20, 3]);
        let config = EpisodeConfig { ways: 2, ..config(4, 2) };
        let mut counts = [0_u32; 6];
        for index in 0..2000 {
            let episode = sampler(&config, &pool, 1).episode(index);
            assert_eq!((episode.labels.len(), episode.support.len()), (2, 4));
            assert_sound(&episode, &pool, &config);
            episode.labels.ids().iter().for_each(|&label| counts[label as usize] += 1);
        }
        assert_eq!(counts[1], 0);
        // 800 expected, standard deviation 22.
        assert!(
            [0, 2, 3, 4, 5].iter().all(|&label| counts[label].abs_diff(800) < 110),
            "{counts:?}"
        );
    }

    #[test]
    fn a_support_set_counted_by_label_has_as_many_of_each() {
        let pool = own_pool(0, "d", 0, &[9, 4, 0, 20]);
        for per_label in [1, 2, 3] {
            let sampler = sampler(&by_label(per_label, 5), &pool, 1);
            assert_eq!(sampler.num_support(), 3 * per_label);
            for draw in 0..20 {
                let support = sampler.draw(0, draw).support;
                for &label in pool.labels.ids() {
                    let of_label = pool.examples_of(label).iter();
                    assert_eq!(of_label.filter(|id| support.contains(id)).count(), per_label);
                }
            }
        }
    }

    #[test]
    fn one_size_of_a_list_is_drawn_for_each_episode() {
        let pool = own_pool(0, "d", 0, &[30, 30]);
        let sizes = |text: &str| -> BTreeSet<usize> {
            let config: EpisodeConfig = serde_json::from_str(text).unwrap();
            let sampler = sampler(&config, &pool, 1);
            let found: BTreeSet<usize> =
                (0..50).map(|index| sampler.episode(index).support.len()).collect();
            assert_eq!(found.last(), Some(&sampler.num_support()));
            found
        };
        assert_eq!(sizes(r#"{"support": [16, 4, 40]}"#), [4, 16, 40].into());
        assert_eq!(sizes(r#"{"support_per_label": [1, 5]}"#), [2, 10].into());
        let draws = |text: &str| {
            let config: EpisodeConfig = serde_json::from_str(text).unwrap();
            (0..5).map(|index| sampler(&config, &pool, 1).episode(index)).collect::<Vec<_>>()
        };
        assert_eq!(draws(r#"{"support": [16]}"#), draws(r#"{"support": 16}"#));
    }

    #[test]
    fn shares_and_counts_hold_without_label_sets_of_domains_too() {
        let shared =
            |sizes: &[usize]| DomainPool { has_own_labels: false, ..own_pool(0, "d", 0, sizes) };
        let pool = shared(&[3, 40, 9]);
        for config in [by_label(2, 4), EpisodeConfig { ways: 2, ..config(5, 3) }] {
            for index in 0..20 {
                assert_sound(&sampler(&config, &pool, 2).episode(index), &pool, &config);
            }
        }
        let draw = sampler(&config(6, 1), &pool, 2).with_query_all().draw(0, 0);
        assert_eq!((draw.support.len(), draw.query.len()), (6, 46));
    }

    // Recorded values: runs that are resumed depend on them.
    #[test]
    fn episodes_of_every_label_never_change() {
        let pool = own_pool(2, "music", 100, &[5, 0, 3, 12]);
        let config = EpisodeConfig { ways: 2, ..by_label(2, 3) };
        let sampler = sampler(&config, &pool, 42);
        let episode = sampler.episode(1);
        let draw = sampler.draw(2, 1);
        let found =
            (episode.labels.ids(), episode.support, episode.query, draw.support, draw.query);
        let expected = (
            &[0, 2][..],
            vec![100, 106, 104, 107],
            vec![105, 103, 102],
            vec![108, 115, 107, 106, 101, 100],
            vec![102, 116, 105],
        );
        assert_eq!(found, expected);
    }

    /// Ids of labels shift with the labels of other domains, and names may be any: the texts stay the same.
    #[test]
    fn draws_depend_on_the_order_of_labels_and_not_on_their_ids() {
        let few = own_pool(0, "d", 0, &[6, 9, 5]);
        let many = own_pool(7, "d", 0, &[0, 6, 0, 0, 9, 5, 0]);
        for config in [config(7, 4), by_label(2, 3), EpisodeConfig { ways: 2, ..by_label(1, 2) }] {
            let [few, many] = [&few, &many].map(|pool| sampler(&config, pool, 3));
            for index in 0..10 {
                let pairs = [
                    (few.episode(index), many.episode(index)),
                    (few.draw(0, index), many.draw(7, index)),
                ];
                for (few, many) in pairs {
                    assert_eq!((few.support, few.query), (many.support, many.query));
                }
            }
        }
    }

    #[test]
    fn unlabelled_examples_are_others_and_change_no_support_set() {
        let own = own_pool(1, "dvd", 100, &[200, 200]);
        let shared = DomainPool { has_own_labels: false, ..own.clone() };
        for pool in [own, shared] {
            let draw = |unlabelled, is_all| {
                let sampler = sampler(&EpisodeConfig { unlabelled, ..config(6, 4) }, &pool, 3);
                let sampler = if is_all { sampler.with_query_all() } else { sampler };
                sampler.draw(1, 2)
            };
            let (without, with) = (draw(0, false), draw(50, false));
            assert_eq!((&with.support, &with.query), (&without.support, &without.query));
            assert_eq!((with.unlabelled.len(), without.unlabelled.len()), (50, 0));
            let all = draw(50, true);
            assert_eq!(all.support, without.support);
            assert_eq!((all.query.len(), all.unlabelled.len()), (400 - 6 - 50, 50));
            assert!(all.query.is_sorted());
            for Episode { support, query, unlabelled, .. } in [with, all] {
                let drawn = [&support, &query, &unlabelled].map(Vec::as_slice).concat();
                assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), drawn.len());
                assert!(drawn.iter().all(|id| (100..500).contains(id)));
            }
        }
    }
}
