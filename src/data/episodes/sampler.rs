//! Draws episodes: a domain, a support set and a query set, as a pure function of (seed, purpose, index).
//!
//! Knows ids only: no text, no token, no state that a resumed run would have to restore. What is drawn depends on the
//! seed, the purpose, the names of domains and the order of their examples and labels; not on the names of labels.

use rand_chacha::ChaCha8Rng;

use super::config::EpisodeConfig;
use super::draw::{set_aside, sets, sets_of_every_label};
use super::pool::DomainPool;
use super::sizes::QuerySize;
use crate::data::ids::{DomainId, ExampleId};
use crate::data::labels::LabelSet;
use crate::seed;

/// One task: adapt on the support set, score on the query set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episode {
    /// The index it was drawn by.
    pub index: u64,
    /// The domain of all its examples.
    pub domain: DomainId,
    /// Its labels: those of the domain, or those drawn out of them. Where label sets differ by domain, each
    /// of them has an example in the support set.
    pub labels: LabelSet,
    /// Examples to adapt on, in random order.
    pub support: Vec<ExampleId>,
    /// Examples to score on, in random order, or ascending where they are all others; none of them is in the support set.
    pub query: Vec<ExampleId>,
    /// Other examples, to be read without their labels, in random order.
    pub unlabelled: Vec<ExampleId>,
}

/// Draws episodes out of the domains of one side of a split.
#[derive(Clone, Debug)]
pub struct EpisodeSampler {
    config: EpisodeConfig,
    query: QuerySize,
    max_query: usize,
    pools: Vec<DomainPool>,
    /// The sums of the domains' weights up to and including each one.
    cumulative_weights: Vec<f64>,
    seed: u64,
    purpose: String,
}

impl EpisodeSampler {
    /// A sampler over `pools`, in whatever order they come; `purpose` keeps the streams of two samplers apart.
    ///
    /// # Panics
    /// If there is no pool, or one has too few examples: [`crate::data::check_sizes`] reports it to the user.
    pub fn new(
        config: &EpisodeConfig,
        mut pools: Vec<DomainPool>,
        seed: u64,
        purpose: &str,
    ) -> Self {
        assert!(!pools.is_empty(), "episodes need at least one domain");
        for pool in &pools {
            let support = config.num_support(config.support_sizes().max(), config.num_labels(pool));
            let num_needed = support + config.query + config.unlabelled;
            let name = &pool.name;
            assert!(
                pool.len() >= num_needed,
                "domain {name:?} has {} examples of {num_needed}",
                pool.len()
            );
        }
        pools.sort_by(|left, right| left.name.cmp(&right.name));
        let cumulative_weights = pools
            .iter()
            .scan(0.0, |sum, pool| {
                *sum += config.domain_law.weight(pool.len());
                Some(*sum)
            })
            .collect();
        Self {
            config: config.clone(),
            query: QuerySize::Count(config.query),
            max_query: usize::MAX,
            pools,
            cumulative_weights,
            seed,
            purpose: purpose.to_owned(),
        }
    }

    /// The same with all other examples of an episode's labels, ascending, as its query set.
    pub fn with_query_all(self) -> Self {
        Self { query: QuerySize::All, ..self }
    }

    /// The same with at most `count` random ones of an episode's query set, ascending.
    pub fn with_query_of_at_most(self, count: usize) -> Self {
        Self { max_query: count, ..self }
    }

    /// The episode of an index: a domain by the domain law, its labels, then its examples.
    pub fn episode(&self, index: u64) -> Episode {
        let mut rng = seed::rng(self.seed, &self.purpose, index);
        let total = self.cumulative_weights.last().expect("there is at least one domain");
        let point = seed::unit(&mut rng) * total;
        let chosen = self.cumulative_weights.partition_point(|&sum| sum <= point);
        // Rounding can put the point on the very end of the last interval.
        let pool = &self.pools[chosen.min(self.pools.len() - 1)];
        let labels = match self.config.ways {
            0 => pool.labels.clone(),
            ways => {
                let mut labels = pool.labels.ids().to_vec();
                seed::shuffle_front(&mut rng, &mut labels, ways);
                labels[..ways].iter().copied().collect()
            }
        };
        self.draw_from(pool, labels, index, &mut rng)
    }

    /// The `draw`-th support and query sets of one given domain, with all of its labels.
    ///
    /// They depend on the domain's name and examples, not on the other domains; and the support set does not depend
    /// on the size of a query set of at least one example.
    ///
    /// # Panics
    /// If the sampler has no pool of that domain.
    pub fn draw(&self, domain: DomainId, draw: u64) -> Episode {
        let pool = self.pool(domain);
        let mut rng = seed::rng(self.seed, &format!("{}/{}", self.purpose, pool.name), draw);
        self.draw_from(pool, pool.labels.clone(), draw, &mut rng)
    }

    /// The labels of a domain, which all of its draws have.
    ///
    /// # Panics
    /// If the sampler has no pool of that domain.
    pub fn labels_of(&self, domain: DomainId) -> LabelSet {
        self.pool(domain).labels.clone()
    }

    /// Examples in the largest support set that an episode of any domain has.
    pub fn num_support(&self) -> usize {
        let largest = self.config.support_sizes().max();
        let num_labels = self.pools.iter().map(|pool| self.config.num_labels(pool)).max();
        self.config.num_support(largest, num_labels.expect("there is at least one domain"))
    }

    /// The pools in the order of their names.
    pub fn pools(&self) -> &[DomainPool] {
        &self.pools
    }

    /// The examples of one of its domains.
    ///
    /// # Panics
    /// If the sampler has no pool of that domain.
    pub fn pool(&self, domain: DomainId) -> &DomainPool {
        let mut pools = self.pools.iter();
        pools.find(|pool| pool.domain == domain).expect("the domain is one of the sampler's")
    }

    fn draw_from(
        &self,
        pool: &DomainPool,
        labels: LabelSet,
        index: u64,
        rng: &mut ChaCha8Rng,
    ) -> Episode {
        let size = match self.config.support_sizes().all() {
            // Without a random number: a list of one draws what a number does.
            [size] => *size,
            sizes => sizes[seed::below(rng, sizes.len())],
        };
        let (domain, config) = (pool.domain, &self.config);
        let (support, mut query) = match config.holds_every_label(pool) {
            true => sets_of_every_label(pool, &labels, config, size, self.query, rng),
            false => sets(pool, config.example_law, size, self.query, rng),
        };
        let unlabelled = match (config.unlabelled, self.query) {
            (0, _) => Vec::new(),
            (count, QuerySize::All) => set_aside(&mut query, count, rng),
            (count, QuerySize::Count(_)) => {
                let is_drawn = |id: &ExampleId| support.contains(id) || query.contains(id);
                let others = labels.ids().iter().flat_map(|&label| pool.examples_of(label));
                let mut others: Vec<ExampleId> =
                    others.copied().filter(|id| !is_drawn(id)).collect();
                set_aside(&mut others, count, rng)
            }
        };
        if query.len() > self.max_query {
            query = set_aside(&mut query, self.max_query, rng);
            query.sort_unstable();
        }
        Episode { index, domain, labels, support, query, unlabelled }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::config::{DomainLaw, ExampleLaw};
    use super::*;

    /// A pool whose labels have the given sizes; ids begin at `first`.
    fn pool(domain: DomainId, name: &str, first: ExampleId, sizes: &[usize]) -> DomainPool {
        let labels = (0..).zip(sizes).flat_map(|(label, &size)| std::iter::repeat_n(label, size));
        DomainPool::new(domain, name, sizes.len(), (first..).zip(labels))
    }

    fn three_pools() -> Vec<DomainPool> {
        vec![
            pool(0, "books", 0, &[30, 70]),
            pool(1, "dvd", 100, &[200, 200]),
            pool(2, "music", 500, &[450, 450]),
        ]
    }

    fn config(support: usize, query: usize) -> EpisodeConfig {
        EpisodeConfig { support: support.into(), query, ..EpisodeConfig::default() }
    }

    fn label_counts(pool: &DomainPool, ids: &[ExampleId]) -> Vec<usize> {
        let count =
            |examples: &Vec<ExampleId>| examples.iter().filter(|id| ids.contains(id)).count();
        pool.examples_by_label.iter().map(count).collect()
    }

    #[test]
    fn episodes_never_change() {
        let sampler = EpisodeSampler::new(&config(4, 2), three_pools(), 42, "meta-train");
        let drawn: Vec<(DomainId, Vec<ExampleId>, Vec<ExampleId>)> = (0..3)
            .map(|index| sampler.episode(index))
            .map(|episode| (episode.domain, episode.support, episode.query))
            .collect();
        let expected = [
            (2, vec![1377, 509, 1172, 639], vec![1046, 795]),
            (1, vec![468, 486, 155, 127], vec![298, 339]),
            (2, vec![1317, 1079, 537, 538], vec![1353, 621]),
        ];
        assert_eq!(drawn, expected);
        let draw = sampler.draw(0, 1);
        assert_eq!((draw.support, draw.query), (vec![7, 62, 54, 65], vec![26, 69]));
    }

    #[test]
    fn an_episode_depends_on_its_index_alone() {
        let sampler = EpisodeSampler::new(&config(20, 10), three_pools(), 1, "meta-train");
        let forward: Vec<Episode> = (0..50).map(|index| sampler.episode(index)).collect();
        let mut shuffled = three_pools();
        shuffled.rotate_left(1);
        let other = EpisodeSampler::new(&config(20, 10), shuffled, 1, "meta-train");
        for index in (0..50).rev() {
            assert_eq!(other.episode(index), forward[index as usize]);
        }
    }

    #[test]
    fn seed_purpose_and_index_each_give_other_episodes() {
        let episode = |seed, purpose, index| {
            let mut episode =
                EpisodeSampler::new(&config(20, 10), three_pools(), seed, purpose).episode(index);
            episode.index = 0;
            episode
        };
        let first = episode(1, "meta-train", 0);
        for other in
            [episode(2, "meta-train", 0), episode(1, "meta-dev", 0), episode(1, "meta-train", 1)]
        {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn domains_come_as_often_as_their_law_says() {
        const NUM_EPISODES: u64 = 6000;
        for (domain_law, weights) in [
            (DomainLaw::Uniform, [1.0, 1.0, 1.0]),
            (DomainLaw::Size, [100.0, 400.0, 900.0]),
            (DomainLaw::Sqrt, [10.0, 20.0, 30.0]),
        ] {
            let total: f64 = weights.iter().sum();
            for seed in 0..3 {
                let config = EpisodeConfig { domain_law, ..config(1, 1) };
                let sampler = EpisodeSampler::new(&config, three_pools(), seed, "law");
                let mut counts = [0.0_f64; 3];
                for index in 0..NUM_EPISODES {
                    counts[sampler.episode(index).domain as usize] += 1.0;
                }
                let expected = weights.map(|weight| NUM_EPISODES as f64 * weight / total);
                let chi_square: f64 =
                    counts.iter().zip(&expected).map(|(c, e)| (c - e).powi(2) / e).sum();
                // 1 - scipy.stats.chi2.cdf(13.8, 2) = 0.001
                assert!(
                    chi_square < 13.8,
                    "{domain_law:?}, seed {seed}: {counts:?} against {expected:?}"
                );
            }
        }
    }

    #[test]
    fn labels_keep_their_shares() {
        let books = three_pools().remove(0);
        let sampler = EpisodeSampler::new(&config(81, 19), vec![books.clone()], 1, "shares");
        for index in 0..20 {
            let episode = sampler.episode(index);
            assert_eq!(label_counts(&books, &episode.support), [24, 57]);
            assert_eq!(label_counts(&books, &episode.query), [6, 13]);
        }
    }

    #[test]
    fn examples_are_drawn_without_regard_to_labels_by_the_uniform_law() {
        let config = EpisodeConfig { example_law: ExampleLaw::Uniform, ..config(20, 0) };
        let books = three_pools().remove(0);
        let sampler = EpisodeSampler::new(&config, vec![books.clone()], 1, "uniform");
        let counts: Vec<usize> =
            (0..500).map(|i| label_counts(&books, &sampler.episode(i).support)[0]).collect();
        let mean = counts.iter().sum::<usize>() as f64 / 500.0;
        // Hypergeometric: mean 6, standard deviation 1.84, of the mean of 500 draws 0.08.
        assert!((mean - 6.0).abs() < 0.35, "mean {mean}");
        assert!(counts.iter().collect::<BTreeSet<_>>().len() > 4, "the counts hardly vary");
    }

    #[test]
    fn support_and_query_never_meet() {
        let mut rng = seed::rng(1, "shapes", 0);
        for shape in 0..1000 {
            let num_labels = 1 + seed::below(&mut rng, 5);
            let mut sizes: Vec<usize> =
                (0..num_labels).map(|_| seed::below(&mut rng, 30)).collect();
            sizes[0] += 1;
            let total: usize = sizes.iter().sum();
            let support = seed::below(&mut rng, total + 1);
            let query = seed::below(&mut rng, total - support + 1);
            let pool = pool(3, "d", 7, &sizes);
            let num_present = sizes.iter().filter(|size| **size > 0).count();
            for example_law in [ExampleLaw::Stratified, ExampleLaw::Uniform] {
                let config = EpisodeConfig { example_law, ..config(support, query) };
                let episode = EpisodeSampler::new(&config, vec![pool.clone()], shape, "shapes")
                    .episode(shape);
                assert_eq!((episode.support.len(), episode.query.len()), (support, query));
                let drawn: BTreeSet<ExampleId> =
                    episode.support.iter().chain(&episode.query).copied().collect();
                assert_eq!(drawn.len(), support + query, "{sizes:?} {support} {query}");
                assert!(drawn.iter().all(|id| (7..7 + total as u32).contains(id)));
                if example_law == ExampleLaw::Stratified && support >= num_present {
                    for (count, &size) in label_counts(&pool, &episode.support).iter().zip(&sizes) {
                        assert!(*count > 0 || size < 2, "{sizes:?} {support} {query}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_draw_of_a_domain_ignores_the_other_domains_and_the_query_size() {
        let all = EpisodeSampler::new(&config(20, 10), three_pools(), 1, "eval");
        let mut alone = vec![three_pools().remove(1)];
        alone[0].domain = 0;
        let alone = EpisodeSampler::new(&config(20, 0), alone, 1, "eval");
        for draw in 0..10 {
            let (first, second) = (all.draw(1, draw), alone.draw(0, draw));
            assert_eq!(first.support, second.support);
            assert!(second.query.is_empty());
            assert_eq!(first.index, draw);
        }
        assert_ne!(all.draw(1, 0).support, all.draw(1, 1).support);
    }

    #[test]
    fn every_example_is_as_likely_as_its_neighbour() {
        let sampler =
            EpisodeSampler::new(&config(5, 5), vec![pool(0, "d", 0, &[10, 10])], 1, "likely");
        let mut counts = [[0_u32; 20]; 2];
        for index in 0..4000 {
            let episode = sampler.episode(index);
            for (counts, ids) in counts.iter_mut().zip([episode.support, episode.query]) {
                ids.into_iter().for_each(|id| counts[id as usize] += 1);
            }
        }
        // Five examples are three of label 0 and two of label 1 (a tie goes to the first label), out of ten each;
        // the query set is out of the seven and eight that are left: 5 * 7 / 15 = 2.33 and 2.67, so two and three.
        for (counts, expected) in counts.iter().zip([[1200, 800], [800, 1200]]) {
            for (id, count) in counts.iter().enumerate() {
                // The standard deviation is at most 29.
                assert!(count.abs_diff(expected[id / 10]) < 145, "{counts:?}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "domain \"d\" has 9 examples of 10")]
    fn a_pool_that_is_too_small_is_refused() {
        EpisodeSampler::new(&config(5, 5), vec![pool(0, "d", 0, &[9])], 1, "small");
    }
}
