//! The `[episode]` section of a configuration.

use serde::{Deserialize, Serialize};

use super::pool::DomainPool;
use super::sizes::Sizes;
use crate::checks::{self, Invalid};

/// How episodes are drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EpisodeConfig {
    /// Examples to adapt on; of a list, each episode draws one.
    pub support: Sizes,
    /// Examples of every label to adapt on, as a number or a list; 0 counts them by `support`.
    pub support_per_label: Sizes,
    /// Labels of an episode, drawn out of those of its domain; 0 takes all. Evaluations take all.
    pub ways: usize,
    /// Examples to score the adapted model on.
    pub query: usize,
    /// How likely each domain is.
    pub domain_law: DomainLaw,
    /// How the examples of a domain are drawn.
    pub example_law: ExampleLaw,
    /// Whether every label needs a support text, also where domains share their labels: no key of the configuration, but what
    /// the recipe asks for.
    #[serde(skip)]
    pub every_label: bool,
    /// Examples beside those of the support and the query set that are read without their labels: no key either, but what
    /// evaluations ask for.
    #[serde(skip)]
    pub unlabelled: usize,
}

impl Default for EpisodeConfig {
    fn default() -> Self {
        Self {
            support: 80.into(),
            support_per_label: 0.into(),
            ways: 0,
            query: 20,
            domain_law: DomainLaw::default(),
            example_law: ExampleLaw::default(),
            every_label: false,
            unlabelled: 0,
        }
    }
}

impl EpisodeConfig {
    /// Checks the values, each by itself.
    ///
    /// # Errors
    /// The first impossible value, by its key.
    pub fn validate(&self) -> Result<(), Invalid> {
        within("episode.support", &self.support)?;
        if self.counts_by_label() {
            within("episode.support_per_label", &self.support_per_label)?;
        }
        let ways = self.ways;
        checks::require(ways != 1, "episode.ways", "0 for all labels, or at least 2", ways)?;
        checks::within("episode.query", self.query as u64, 1..=u64::MAX)
    }

    /// One configuration for each size of the support set, in the order of the list. One that is there twice makes training draw it
    /// more often, and says nothing new where each is drawn.
    pub fn each_size(&self) -> Vec<Self> {
        let of_size = |&size: &usize| match self.counts_by_label() {
            true => Self { support_per_label: size.into(), ..self.clone() },
            false => Self { support: size.into(), ..self.clone() },
        };
        let sizes = self.support_sizes().all();
        let is_new = |&(at, size): &(usize, &usize)| !sizes[..at].contains(size);
        sizes.iter().enumerate().filter(is_new).map(|(_, size)| of_size(size)).collect()
    }

    /// The same without a draw of labels: evaluations take all labels of a domain.
    pub fn of_all_labels(&self) -> Self {
        Self { ways: 0, ..self.clone() }
    }

    /// Whether the support set is counted by label.
    pub fn counts_by_label(&self) -> bool {
        self.support_per_label.one() != Some(0)
    }

    /// The sizes to choose from: of the support set, or of each label's part of it.
    pub(super) fn support_sizes(&self) -> &Sizes {
        if self.counts_by_label() { &self.support_per_label } else { &self.support }
    }

    /// Examples in a support set of `num_labels` labels, for one of the sizes to choose from.
    pub(super) fn num_support(&self, size: usize, num_labels: usize) -> usize {
        if self.counts_by_label() { size.saturating_mul(num_labels) } else { size }
    }

    /// Whether every label of an episode has a text in the support set: otherwise labels that a domain hardly uses may
    /// be absent.
    pub(super) fn holds_every_label(&self, pool: &DomainPool) -> bool {
        pool.has_own_labels || self.counts_by_label() || self.ways > 0 || self.every_label
    }

    /// The labels of an episode of `pool`.
    pub(super) fn num_labels(&self, pool: &DomainPool) -> usize {
        if self.ways > 0 { self.ways } else { pool.labels.len() }
    }
}

fn within(key: &str, sizes: &Sizes) -> Result<(), Invalid> {
    checks::require(
        !sizes.all().is_empty(),
        key,
        "a number or a list of numbers",
        "an empty list",
    )?;
    checks::within(key, sizes.min() as u64, 1..=u64::MAX)
}

/// How likely each domain is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DomainLaw {
    /// All domains alike.
    Uniform,
    /// In proportion to the number of examples.
    Size,
    /// In proportion to the square root of the number of examples.
    #[default]
    Sqrt,
}

impl DomainLaw {
    /// The weight of a domain of `num_examples`.
    pub(super) fn weight(self, num_examples: usize) -> f64 {
        match self {
            Self::Uniform => 1.0,
            Self::Size => num_examples as f64,
            Self::Sqrt => (num_examples as f64).sqrt(),
        }
    }
}

/// How the examples of a domain are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExampleLaw {
    /// Every label in its share of the domain, as nearly as whole examples allow.
    #[default]
    Stratified,
    /// Without regard to labels.
    Uniform,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_keys_have_their_defaults() {
        let config: EpisodeConfig = serde_json::from_str(r#"{"domain_law": "size"}"#).unwrap();
        assert_eq!(
            config,
            EpisodeConfig { domain_law: DomainLaw::Size, ..EpisodeConfig::default() }
        );
        assert_eq!((config.support.one(), config.query), (Some(80), 20));
        assert!(!config.counts_by_label() && config.ways == 0);
        assert!(serde_json::from_str::<EpisodeConfig>(r#"{"suport": 1}"#).is_err());
    }

    #[test]
    fn impossible_values_are_refused_by_key() {
        let read = |text: &str| serde_json::from_str::<EpisodeConfig>(text).unwrap().validate();
        for (text, expected) in [
            (r#"{"support": 0}"#, "episode.support: expected at least 1, found 0"),
            (r#"{"support": [16, 0]}"#, "episode.support: expected at least 1, found 0"),
            (
                r#"{"support": []}"#,
                "episode.support: expected a number or a list of numbers, found an empty list",
            ),
            (
                r#"{"support_per_label": [0, 1]}"#,
                "episode.support_per_label: expected at least 1, found 0",
            ),
            (r#"{"ways": 1}"#, "episode.ways: expected 0 for all labels, or at least 2, found 1"),
            (r#"{"query": 0}"#, "episode.query: expected at least 1, found 0"),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), expected);
        }
        assert_eq!(read(r#"{"support": [16, 80], "support_per_label": [1, 2]}"#), Ok(()));
    }

    #[test]
    fn each_size_of_a_list_is_a_configuration_of_its_own() {
        let each = |text: &str| -> Vec<(usize, usize)> {
            let config: EpisodeConfig = serde_json::from_str(text).unwrap();
            let sizes = config.each_size().into_iter();
            sizes.map(|c| (c.support.one().unwrap(), c.support_per_label.one().unwrap())).collect()
        };
        assert_eq!(each(r#"{"support": [16, 80]}"#), [(16, 0), (80, 0)]);
        assert_eq!(each(r#"{"support_per_label": [1, 5, 1]}"#), [(80, 1), (80, 5)]);
        assert_eq!(each("{}"), [(80, 0)]);
    }
}
