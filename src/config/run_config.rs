//! The whole configuration as one value.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::checks::{self, Invalid};
use crate::data::{DataConfig, EpisodeConfig, QuerySize, validate_label_lists};
use crate::eval::SafeguardConfig;
use crate::meta::{Choice, InnerConfig, MetaConfig, Recipe};
use crate::train::{EvaluateConfig, OuterConfig, TrainConfig};

/// The whole configuration. No key is optional: an unset one is empty or 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// Name of the preset below the other values; empty for none.
    pub preset: String,
    /// Every random number derives from it.
    pub seed: u64,
    /// `auto`, `cpu`, `cuda` or `cuda:N`.
    pub device: String,
    /// `auto`, `fp32` or `bf16`.
    pub precision: PrecisionChoice,
    /// CPU threads; 0 for one per core.
    pub threads: usize,
    /// Adaptations that run at once; 0 for the fastest on the machine. Changes no result on a CPU.
    pub workers: usize,
    /// Section `[model]`.
    pub model: ModelConfig,
    /// Section `[data]`.
    pub data: DataConfig,
    /// Section `[labels]`: the label sets of domains, by name. A list is checked against the texts of its domain.
    pub labels: BTreeMap<String, Vec<String>>,
    /// Section `[episode]`.
    pub episode: EpisodeConfig,
    /// Section `[inner]`.
    pub inner: InnerConfig,
    /// Section `[meta]`.
    pub meta: MetaConfig,
    /// Section `[train]`.
    pub train: TrainConfig,
    /// Section `[outer]`.
    pub outer: OuterConfig,
    /// Section `[evaluate]`.
    pub evaluate: EvaluateConfig,
    /// Section `[safeguard]`.
    pub safeguard: SafeguardConfig,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            preset: String::new(),
            seed: 0,
            device: "auto".to_owned(),
            precision: PrecisionChoice::Auto,
            threads: 0,
            workers: 0,
            model: ModelConfig::default(),
            data: DataConfig::default(),
            labels: BTreeMap::new(),
            episode: EpisodeConfig::default(),
            inner: InnerConfig::default(),
            meta: MetaConfig::default(),
            train: TrainConfig::default(),
            outer: OuterConfig::default(),
            evaluate: EvaluateConfig::default(),
            safeguard: SafeguardConfig::default(),
        }
    }
}

/// Section `[model]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// Directory of the pretrained model that training starts from.
    pub path: String,
    /// The vector of a text that the head reads.
    pub pooling: PoolingChoice,
}

/// The vector of a text, as asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PoolingChoice {
    /// The one that the model was trained with: `mean` for a directory of `sentence_transformers`, else `cls`.
    #[default]
    Auto,
    /// The first token's hidden state through the pooler.
    Cls,
    /// The mean of all tokens' hidden states, at length 1.
    Mean,
}

/// The precision of matrix products, as asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrecisionChoice {
    /// bf16 where the device multiplies it in hardware, else fp32.
    #[default]
    Auto,
    /// 32-bit floats.
    Fp32,
    /// bfloat16 products, 32-bit parameters and sums.
    Bf16,
}

impl Display for PrecisionChoice {
    /// Its name in the configuration.
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        self.serialize(formatter)
    }
}

impl PrecisionChoice {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Fp32, Self::Bf16];
}

impl RunConfig {
    /// The section whose keys are not known before: the names of domains. It is one entry.
    pub(super) const FREE_SECTION: &str = "labels";

    /// The configuration as TOML, every key included.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a configuration serialises")
    }

    /// The same as a table of sections.
    pub(super) fn to_table(&self) -> Table {
        Table::try_from(self).expect("a configuration serialises")
    }

    /// Every key, such as `inner.lr`, with its value.
    pub fn entries(&self) -> BTreeMap<String, Value> {
        let entries = self.to_table().into_iter().flat_map(|(key, value)| match value {
            Value::Table(section) if key != Self::FREE_SECTION => {
                let path = |(name, value)| (format!("{key}.{name}"), value);
                section.into_iter().map(path).collect()
            }
            value => vec![(key, value)],
        });
        entries.collect()
    }

    /// The keys in which not all of `configs` agree, each with all their values. The name of a preset says nothing beside its
    /// settings.
    pub fn differing(configs: &[Self]) -> BTreeMap<String, Vec<Value>> {
        let mut values: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        // All have the same keys.
        for (key, value) in configs.iter().flat_map(Self::entries) {
            values.entry(key).or_default().push(value);
        }
        values.retain(|key, values| key != "preset" && values.iter().any(|it| *it != values[0]));
        values
    }

    /// The names of all keys and sections.
    pub(super) fn keys() -> Vec<String> {
        let config = Self::default();
        let mut keys: Vec<String> = config.entries().into_keys().collect();
        let sections = config.to_table().into_iter().filter(|(_, value)| value.is_table());
        keys.extend(sections.map(|(name, _)| name).filter(|name| name != Self::FREE_SECTION));
        keys
    }

    /// Checks values, alone and together, before anything is loaded.
    ///
    /// # Errors
    /// The first impossible value, by its key.
    pub fn validate(&self) -> Result<(), Invalid> {
        self.validate_adaptation()?;
        self.recipe().validate_training()
    }

    /// The same for what adapts and trains nothing.
    ///
    /// # Errors
    /// The first impossible value, by its key.
    pub fn validate_adaptation(&self) -> Result<(), Invalid> {
        checks::within("workers", self.workers as u64, 0..=1_024)?;
        self.validate_data()?;
        self.episode.validate()?;
        self.inner.validate()?;
        self.meta.validate()?;
        self.train.validate()?;
        self.outer.validate()?;
        self.evaluate.validate()?;
        self.safeguard.validate()?;
        let warmup = self.outer.warmup_steps;
        let fits = warmup <= self.train.steps || self.train.has_time_budget();
        checks::require(fits, "outer.warmup_steps", "at most train.steps", warmup)?;
        self.evaluation_recipe().validate_adaptation()
    }

    /// The same for what is read before the rest is known.
    ///
    /// # Errors
    /// The first impossible value of `[data]` and `[labels]`, by its key.
    pub fn validate_data(&self) -> Result<(), Invalid> {
        self.data.validate()?;
        validate_label_lists(&self.labels, self.data.label_sets)
    }

    /// The algorithm with its settings, for training.
    pub fn recipe(&self) -> Recipe {
        Recipe::new(self.train.algo, &self.inner, &self.meta)
    }

    /// The same for evaluations and `finetune`.
    pub fn evaluation_recipe(&self) -> Recipe {
        Recipe::new(self.train.algo, &self.evaluation_inner(), &self.evaluation_meta())
            .with_head_steps(self.evaluate.head_steps)
    }

    /// The inner loop of evaluations.
    pub fn evaluation_inner(&self) -> InnerConfig {
        let mut inner = self.inner.clone();
        if self.evaluate.inner_epochs > 0 {
            inner.epochs = self.evaluate.inner_epochs;
            inner.steps = 0;
        }
        if self.evaluate.inner_steps > 0 {
            inner.steps = self.evaluate.inner_steps;
        }
        if self.evaluate.lr != Choice::Auto {
            inner.lr = self.evaluate.lr;
        }
        if self.evaluate.head_lr != Choice::Auto {
            inner.head_lr = self.evaluate.head_lr;
        }
        inner.class_weights = self.evaluate.class_weights.or(inner.class_weights);
        inner
    }

    /// What the inner loop of evaluations starts from and moves.
    pub fn evaluation_meta(&self) -> MetaConfig {
        let mut meta = self.meta.clone();
        if self.evaluate.head != Choice::Auto {
            meta.head = self.evaluate.head;
        }
        if self.evaluate.scope != Choice::Auto {
            meta.scope = self.evaluate.scope;
        }
        meta
    }

    /// How training draws episodes.
    pub fn training_episode(&self) -> EpisodeConfig {
        self.episode_of(&self.recipe())
    }

    fn episode_of(&self, recipe: &Recipe) -> EpisodeConfig {
        EpisodeConfig { every_label: recipe.head.is_made_of_support(), ..self.episode.clone() }
    }

    /// How evaluations and `finetune` draw episodes.
    pub fn evaluation_episode(&self) -> EpisodeConfig {
        let mut episode = self.episode_of(&self.evaluation_recipe()).of_all_labels();
        episode.unlabelled = self.evaluate.unlabelled;
        match self.evaluate.query {
            QuerySize::Count(0) => {}
            QuerySize::Count(count) => episode.query = count,
            // One text is enough, since the query set is what the support set leaves.
            QuerySize::All => episode.query = 1,
        }
        episode
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::Rate;

    #[test]
    fn impossible_values_are_refused_by_key() {
        type Change = fn(&mut RunConfig);
        let changes: [(Change, &str); 9] = [
            (|config| config.inner.lr = Rate(0.0).into(), "inner.lr"),
            (|config| config.inner.lr = Rate(f64::NAN).into(), "inner.lr"),
            (|config| config.inner.epochs = 0, "inner.epochs"),
            (|config| config.outer.momentum = 1.0, "outer.momentum"),
            (|config| config.outer.warmup_steps = 501, "outer.warmup_steps"),
            (|config| config.outer.warmup_ratio = 1.5, "outer.warmup_ratio"),
            (|config| config.episode.support = 0.into(), "episode.support"),
            (|config| config.data.max_length = 2, "data.max_length"),
            (|config| (config.train.patience, config.train.eval_every) = (1, 0), "train.patience"),
        ];
        for (change, key) in changes {
            let mut config = RunConfig::default();
            change(&mut config);
            let error = config.validate().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{key}: expected ")), "{key}: {error}");
        }
        RunConfig::default().validate().unwrap();
    }
}
