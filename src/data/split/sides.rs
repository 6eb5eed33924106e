//! Which domains are learned from, which choose the checkpoint, and which are only tested on.
//!
//! Splits domains, never the texts of a domain, and reads no text.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::data::config::DataConfig;
use crate::data::ids::DomainId;
use crate::data::intake::problem::{DataError, Place, Problem, Problems, quote};
use crate::data::intake::{Dataset, named_domain};
use crate::seed;

/// The three sides of a split; every domain of the dataset is on exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Domains the initialisation is learned from, ascending.
    pub meta_train: Vec<DomainId>,
    /// Domains that choose the best checkpoint, ascending; may be empty.
    pub meta_dev: Vec<DomainId>,
    /// Domains to adapt to and to test on, ascending; they never choose anything.
    pub low_resource: Vec<DomainId>,
}

/// One side of a [`Split`], in the order in which a side gives way to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// Learned from.
    MetaTrain,
    /// Chooses the best checkpoint.
    MetaDev,
    /// Tested on.
    LowResource,
}

impl Side {
    /// All sides, in order.
    pub const ALL: [Self; 3] = [Self::MetaTrain, Self::MetaDev, Self::LowResource];
}

impl fmt::Display for Side {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::MetaTrain => "meta-train",
            Self::MetaDev => "meta-dev",
            Self::LowResource => "low-resource",
        })
    }
}

impl Split {
    /// Splits the domains of `dataset`.
    ///
    /// A meta-dev domain that is not named is chosen by a rank that depends on the seed and its own name only, so
    /// that another domain in the file changes at most one choice.
    ///
    /// # Errors
    /// A name that is no domain, a domain on two sides, or a side that needs a domain and has none.
    pub fn new(dataset: &Dataset, config: &DataConfig, seed: u64) -> Result<Self, DataError> {
        let mut problems = Problems::default();
        let named_low = ids_of(dataset, "low_resource", &config.low_resource, &mut problems);
        let named_dev = ids_of(dataset, "meta_dev", &config.meta_dev, &mut problems);
        problems.into_result(&dataset.path)?;

        let sizes = dataset.domain_sizes();
        let is_low = |domain: &DomainId| match config.low_resource.is_empty() {
            true => sizes[*domain as usize] <= config.low_resource_max,
            false => named_low.contains(domain),
        };
        let (low_resource, high_resource): (Vec<_>, Vec<_>) =
            (0..dataset.domains.len() as DomainId).partition(is_low);
        let mut problems = Problems::default();
        check_resources(dataset, config, &sizes, &low_resource, &high_resource, &mut problems);
        for &domain in named_dev.iter().filter(|domain| low_resource.contains(domain)) {
            problems.push(on_two_sides(dataset, config, domain, sizes[domain as usize]));
        }
        problems.into_result(&dataset.path)?;

        let meta_dev = match config.meta_dev.is_empty() {
            true => choose_meta_dev(dataset, config.meta_dev_count, &high_resource, seed),
            false => named_dev,
        };
        let is_dev = |domain: &DomainId| meta_dev.contains(domain);
        let (meta_dev, meta_train): (Vec<_>, Vec<_>) =
            high_resource.iter().partition(|domain| is_dev(domain));
        if meta_train.is_empty() {
            return Err(DataError::single(
                &dataset.path,
                no_meta_train(config, high_resource.len()),
            ));
        }
        Ok(Self { meta_train, meta_dev, low_resource })
    }

    /// The side of a domain of the dataset.
    pub fn side_of(&self, domain: DomainId) -> Side {
        if self.low_resource.binary_search(&domain).is_ok() {
            Side::LowResource
        } else if self.meta_dev.binary_search(&domain).is_ok() {
            Side::MetaDev
        } else {
            Side::MetaTrain
        }
    }

    /// The domains of a side, ascending.
    pub fn domains(&self, side: Side) -> &[DomainId] {
        match side {
            Side::MetaTrain => &self.meta_train,
            Side::MetaDev => &self.meta_dev,
            Side::LowResource => &self.low_resource,
        }
    }
}

/// The ids of named domains, ascending and without repetition; reports names that are no domain.
fn ids_of(
    dataset: &Dataset,
    setting: &str,
    names: &[String],
    problems: &mut Problems,
) -> Vec<DomainId> {
    let named = names.iter().map(|name| named_domain(dataset, name));
    let ids = named.filter_map(|domain| {
        let about = |problem| Problem { subject: format!("setting data.{setting}"), ..problem };
        domain.map_err(|problem| problems.push(about(problem))).ok()
    });
    BTreeSet::from_iter(ids).into_iter().collect()
}

fn check_resources(
    dataset: &Dataset,
    config: &DataConfig,
    sizes: &[usize],
    low_resource: &[DomainId],
    high_resource: &[DomainId],
    problems: &mut Problems,
) {
    let max = config.low_resource_max;
    if low_resource.is_empty() {
        let smallest = (0..).zip(sizes).min_by_key(|(_, size)| **size);
        let (domain, size) = smallest.expect("a dataset has at least one domain");
        let found =
            format!("none; the smallest, {}, has {size}", quote(dataset.domain_name(domain)));
        let problem = Problem::expected(
            Place::File,
            "",
            format!("a low-resource domain (at most {max} examples)"),
            found,
        );
        problems
            .push(problem.with_fix("name them with --low-resource, or raise --low-resource-max"));
    }
    if high_resource.is_empty() {
        let problem = if config.low_resource.is_empty() {
            let largest = sizes.iter().max().expect("a dataset has at least one domain");
            let expected = format!("a high-resource domain (more than {max} examples)");
            Problem::expected(Place::File, "", expected, format!("none; the largest has {largest}"))
                .with_fix("lower --low-resource-max, or name the low-resource domains with --low-resource")
        } else {
            let found = "every domain named as low-resource";
            Problem::expected(
                Place::File,
                "setting data.low_resource",
                "a high-resource domain",
                found,
            )
            .with_fix("name fewer domains with --low-resource")
        };
        problems.push(problem);
    }
}

fn on_two_sides(dataset: &Dataset, config: &DataConfig, domain: DomainId, size: usize) -> Problem {
    let name = quote(dataset.domain_name(domain));
    let (why, fix) = match config.low_resource.is_empty() {
        true => (
            format!("is low-resource by its {size} examples"),
            format!("name another meta-dev domain, or set data.low_resource_max below {size}"),
        ),
        false => (
            "is named in data.low_resource as well".to_owned(),
            "take it out of one of the two".to_owned(),
        ),
    };
    Problem::new(Place::File, "setting data.meta_dev", format!("{name} {why}")).with_fix(fix)
}

fn no_meta_train(config: &DataConfig, num_high_resource: usize) -> Problem {
    let (setting, fix) = match config.meta_dev.is_empty() {
        true => (
            "setting data.meta_dev_count",
            format!("set data.meta_dev_count to at most {}", num_high_resource - 1),
        ),
        false => ("setting data.meta_dev", "name fewer meta-dev domains".to_owned()),
    };
    let found = format!("all {num_high_resource} high-resource domains taken for meta-dev");
    Problem::expected(Place::File, setting, "at least one domain left for meta-train", found)
        .with_fix(fix)
}

fn choose_meta_dev(
    dataset: &Dataset,
    count: usize,
    high_resource: &[DomainId],
    seed: u64,
) -> Vec<DomainId> {
    let rank = |domain: &DomainId| {
        let purpose = format!("meta-dev/{}", dataset.domain_name(*domain));
        (seed::derive(seed, &purpose, 0), *domain)
    };
    let mut ranked = high_resource.to_vec();
    ranked.sort_by_cached_key(rank);
    ranked.truncate(count);
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::intake::tests::dataset_of_sizes;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    fn five() -> Dataset {
        dataset_of_sizes(&[("books", 9), ("dvd", 8), ("music", 7), ("office", 3), ("cars", 2)])
    }

    fn config() -> DataConfig {
        DataConfig { low_resource_max: 3, meta_dev_count: 1, ..DataConfig::default() }
    }

    fn error(config: &DataConfig) -> String {
        Split::new(&five(), config, 0).unwrap_err().to_string()
    }

    #[test]
    fn small_domains_are_low_resource_and_the_seed_chooses_meta_dev() {
        let dataset = five();
        let splits: Vec<Split> =
            (0..50).map(|seed| Split::new(&dataset, &config(), seed).unwrap()).collect();
        let mut chosen = std::collections::BTreeSet::new();
        for split in &splits {
            assert_eq!(split.low_resource, [1, 4]);
            assert_eq!((split.meta_dev.len(), split.meta_train.len()), (1, 2));
            chosen.insert(split.meta_dev[0]);
            for domain in 0..5 {
                assert!(split.domains(split.side_of(domain)).contains(&domain));
            }
        }
        assert_eq!(chosen.into_iter().collect::<Vec<_>>(), [0, 2, 3]);
        assert_eq!(splits[7], Split::new(&dataset, &config(), 7).unwrap());
    }

    #[test]
    fn another_domain_changes_at_most_one_choice_of_meta_dev() {
        let larger =
            dataset_of_sizes(&[("books", 9), ("dvd", 8), ("music", 7), ("zoo", 9), ("office", 3)]);
        let config = DataConfig { meta_dev_count: 2, ..config() };
        for seed in 0..20 {
            let chosen = |dataset: &Dataset| -> Vec<String> {
                let split = Split::new(dataset, &config, seed).unwrap();
                split
                    .meta_dev
                    .iter()
                    .map(|&domain| dataset.domain_name(domain).to_owned())
                    .collect()
            };
            let (before, after) = (chosen(&five()), chosen(&larger));
            let num_kept = before.iter().filter(|name| after.contains(name)).count();
            assert!(num_kept >= 1, "{before:?} {after:?}");
        }
    }

    #[test]
    fn named_domains_are_where_they_are_named() {
        let config = DataConfig {
            low_resource: names(&["dvd"]),
            meta_dev: names(&["office", "cars"]),
            ..config()
        };
        let split = Split::new(&five(), &config, 0).unwrap();
        assert_eq!(
            split,
            Split { meta_train: vec![0, 3], meta_dev: vec![1, 4], low_resource: vec![2] }
        );
    }

    #[test]
    fn no_meta_dev_domain_is_allowed() {
        let split = Split::new(&five(), &DataConfig { meta_dev_count: 0, ..config() }, 0).unwrap();
        assert_eq!((split.meta_dev.len(), split.meta_train.len()), (0, 3));
    }

    #[test]
    fn every_unknown_domain_is_named_with_its_setting() {
        let (low_resource, meta_dev) = (names(&["offices", "xyz"]), names(&["musik"]));
        let text = error(&DataConfig { low_resource, meta_dev, ..config() });
        for part in [
            "3 problems",
            "setting data.low_resource: there is no domain \"offices\"; did you mean \"office\"?",
            "setting data.low_resource: there is no domain \"xyz\"; ",
            "setting data.meta_dev: there is no domain \"musik\"; did you mean \"music\"?",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn a_domain_is_on_one_side_only() {
        let both =
            DataConfig { low_resource: names(&["dvd"]), meta_dev: names(&["dvd"]), ..config() };
        assert_eq!(
            error(&both),
            "d.jsonl: setting data.meta_dev: \"dvd\" is named in data.low_resource as well; take it out of one of the two"
        );
        let small = DataConfig { meta_dev: names(&["office"]), ..config() };
        assert!(
            error(&small).contains("\"office\" is low-resource by its 3 examples"),
            "{}",
            error(&small)
        );
    }

    #[test]
    fn every_side_that_needs_a_domain_has_one() {
        let text = error(&DataConfig { low_resource_max: 1, ..config() });
        let expected = "expected a low-resource domain (at most 1 examples), found none; \
                        the smallest, \"cars\", has 2; name them with --low-resource";
        assert!(text.contains(expected), "{text}");
        let text = error(&DataConfig { low_resource_max: 9, ..config() });
        assert!(
            text.contains("expected a high-resource domain (more than 9 examples), found none"),
            "{text}"
        );
        let text = error(&DataConfig { meta_dev_count: 3, ..config() });
        assert!(text.contains("set data.meta_dev_count to at most 2"), "{text}");
        let text = error(&DataConfig { meta_dev: names(&["books", "dvd", "music"]), ..config() });
        assert!(text.contains("name fewer meta-dev domains"), "{text}");
    }
}
