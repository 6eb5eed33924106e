//! The `[episode]` section of a configuration.

use serde::{Deserialize, Serialize};

use crate::checks::{self, Invalid};

/// How episodes are drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EpisodeConfig {
    /// Examples to adapt on.
    pub support: usize,
    /// Examples to score the adapted model on.
    pub query: usize,
    /// How likely each domain is.
    pub domain_law: DomainLaw,
    /// How the examples of a domain are drawn.
    pub example_law: ExampleLaw,
}

impl Default for EpisodeConfig {
    fn default() -> Self {
        Self {
            support: 80,
            query: 20,
            domain_law: DomainLaw::default(),
            example_law: ExampleLaw::default(),
        }
    }
}

impl EpisodeConfig {
    /// Checks the values, each by itself.
    ///
    /// # Errors
    /// The first impossible value, by its key.
    pub fn validate(&self) -> Result<(), Invalid> {
        checks::within("episode.support", self.support as u64, 1..=u64::MAX)?;
        checks::within("episode.query", self.query as u64, 1..=u64::MAX)
    }
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
        assert_eq!((config.support, config.query), (80, 20));
        assert!(serde_json::from_str::<EpisodeConfig>(r#"{"suport": 1}"#).is_err());
    }
}
