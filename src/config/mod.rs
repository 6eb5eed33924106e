//! The configuration of a run: sections owned by their modules, layered from several sources.
//!
//! Later layers win: built-in defaults, preset, the settings a checkpoint was made with, the
//! configuration file, `--set`, named flags.

pub mod error;
pub mod layer;

pub use error::ConfigError;
pub use layer::{Layer, PRESETS};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::data::{DataConfig, EpisodeConfig};
use crate::meta::{Algorithm, InnerConfig, Recipe};
use crate::train::{EvaluateConfig, OuterConfig, TrainConfig};

/// The whole configuration. No key is optional: what is unset is empty or 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// Name of the preset that the other values build on; empty for none.
    pub preset: String,
    /// Every random number derives from it.
    pub seed: u64,
    /// `auto`, `cpu`, `cuda` or `cuda:N`.
    pub device: String,
    /// `auto`, `fp32` or `bf16`.
    pub precision: PrecisionChoice,
    /// CPU threads; 0 for one a core.
    pub threads: usize,
    /// Adaptations that run at once; 0 for the fastest on the machine. Changes no result on a CPU.
    pub workers: usize,
    /// Section `[model]`.
    pub model: ModelConfig,
    /// Section `[data]`.
    pub data: DataConfig,
    /// Section `[episode]`.
    pub episode: EpisodeConfig,
    /// Section `[inner]`.
    pub inner: InnerConfig,
    /// Section `[train]`.
    pub train: TrainConfig,
    /// Section `[outer]`.
    pub outer: OuterConfig,
    /// Section `[evaluate]`.
    pub evaluate: EvaluateConfig,
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
            episode: EpisodeConfig::default(),
            inner: InnerConfig::default(),
            train: TrainConfig::default(),
            outer: OuterConfig::default(),
            evaluate: EvaluateConfig::default(),
        }
    }
}

/// Section `[model]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// Directory of the pretrained model that training starts from.
    pub path: String,
}

/// The dtype of matrix products, as asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
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

impl RunConfig {
    /// The configuration that the layers add up to, on top of the defaults and of the preset that
    /// the last layer to name one names. It is not validated.
    ///
    /// # Errors
    /// Unknown keys, wrong types, an unknown preset.
    pub fn from_layers(layers: &[Layer]) -> Result<Self, ConfigError> {
        let defaults = Table::try_from(Self::default()).expect("defaults serialise");
        let named = layers.iter().rev().find_map(|layer| {
            let name = match layer.table.get("preset")? {
                // Converting makes a string of it.
                Value::Datetime(date) => date.to_string(),
                name => name.as_str()?.to_owned(),
            };
            Some((name, &layer.source_name))
        });
        let preset = named
            .filter(|(name, _)| !name.is_empty())
            .map(|(name, source_name)| Layer::from_preset(&name, source_name))
            .transpose()?;
        let mut merged = defaults.clone();
        let mut config = Self::default();
        for layer in preset.iter().chain(layers) {
            layer::merge(&mut merged, &layer.table, &defaults, "", &layer.source_name)?;
            // Converting behind every layer lets an error name the layer it came from.
            config = merged.clone().try_into().map_err(|error: toml::de::Error| {
                ConfigError::Malformed {
                    source_name: layer.source_name.clone(),
                    reason: error.to_string().trim_end().replace('\n', " "),
                }
            })?;
        }
        Ok(config)
    }

    /// The configuration as TOML, every key included.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a configuration serialises")
    }

    /// Checks values, alone and together, before anything is loaded.
    ///
    /// # Errors
    /// The first value that is impossible, by its key.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let require = |holds: bool, key: &str, expected: &str, found: &dyn std::fmt::Display| {
            if holds {
                return Ok(());
            }
            Err(ConfigError::Invalid(format!("{key}: expected {expected}, found {found}")))
        };
        let rate = |key: &str, value: f64| {
            require(value > 0.0 && value.is_finite(), key, "a number above 0", &value)
        };
        let share = |key: &str, value: f64| {
            require(value >= 0.0 && value.is_finite(), key, "a number of at least 0", &value)
        };
        let bounded = |key: &str, value: u64, most: u64| {
            require(value <= most, key, &format!("at most {most}"), &value)
        };
        bounded("workers", self.workers as u64, 1_024)?;
        bounded("train.steps", self.train.steps, 1_000_000_000)?;
        bounded("train.meta_batch", self.train.meta_batch, 10_000)?;
        bounded("inner.steps", self.inner.steps as u64, 10_000)?;
        bounded("inner.epochs", self.inner.epochs as u64, 1_000)?;
        bounded("evaluate.inner_epochs", self.evaluate.inner_epochs as u64, 1_000)?;
        bounded("evaluate.episodes", self.evaluate.episodes, 1_000_000)?;
        bounded("evaluate.dev_episodes", self.evaluate.dev_episodes, 1_000_000)?;
        require(self.data.max_length >= 3, "data.max_length", "at least 3", &self.data.max_length)?;
        require(self.episode.support > 0, "episode.support", "at least 1", &self.episode.support)?;
        require(self.episode.query > 0, "episode.query", "at least 1", &self.episode.query)?;
        require(self.inner.batch > 0, "inner.batch", "at least 1", &self.inner.batch)?;
        let steps = self.inner.epochs + self.inner.steps;
        require(steps > 0, "inner.epochs", "at least 1 where inner.steps is 0", &0)?;
        require(self.train.meta_batch > 0, "train.meta_batch", "at least 1", &0)?;
        require(self.train.steps > 0, "train.steps", "at least 1", &self.train.steps)?;
        require(self.train.keep_last > 0, "train.keep_last", "at least 1", &0)?;
        require(self.train.keep_best > 0, "train.keep_best", "at least 1", &0)?;
        require(self.evaluate.episodes > 0, "evaluate.episodes", "at least 1", &0)?;
        require(self.evaluate.dev_episodes > 0, "evaluate.dev_episodes", "at least 1", &0)?;
        rate("inner.lr", self.inner.lr)?;
        rate("outer.lr", self.outer.lr)?;
        share("inner.weight_decay", self.inner.weight_decay)?;
        share("outer.weight_decay", self.outer.weight_decay)?;
        share("outer.clip_norm", self.outer.clip_norm)?;
        let momentum = self.outer.momentum;
        require((0.0..1.0).contains(&momentum), "outer.momentum", "from 0 to below 1", &momentum)?;
        let warmup = self.outer.warmup_steps;
        require(warmup <= self.train.steps, "outer.warmup_steps", "at most train.steps", &warmup)?;
        let is_evaluated = self.train.algo != Algorithm::None && self.train.eval_every > 0;
        if self.train.patience > 0 && !is_evaluated {
            return Err(ConfigError::Invalid(
                "train.patience: expected evaluations on the way that could stop training, found \
                 none; set train.eval_every, and an algorithm other than none"
                    .into(),
            ));
        }
        Ok(())
    }

    /// The algorithm with its settings, as training runs it.
    pub fn recipe(&self) -> Recipe {
        Recipe::new(self.train.algo, &self.inner)
    }

    /// The same as evaluations and `finetune` run it.
    pub fn evaluation_recipe(&self) -> Recipe {
        Recipe::new(self.train.algo, &self.evaluation_inner())
    }

    /// The inner loop as evaluations run it.
    pub fn evaluation_inner(&self) -> InnerConfig {
        let mut inner = self.inner.clone();
        if self.evaluate.inner_epochs > 0 {
            inner.epochs = self.evaluate.inner_epochs;
            inner.steps = 0;
        }
        inner
    }

    /// How evaluations draw episodes.
    pub fn evaluation_episode(&self) -> EpisodeConfig {
        let mut episode = self.episode.clone();
        if self.evaluate.query > 0 {
            episode.query = self.evaluate.query;
        }
        episode
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(text: &str) -> Layer {
        Layer { source_name: "test.toml".into(), table: text.parse().unwrap() }
    }

    #[test]
    fn later_layers_win_and_presets_lie_below_all_of_them() {
        let file = layer("preset = \"reference-reptile\"\n[inner]\nlr = 1e-3\nepochs = 3");
        let set = Layer::from_assignment("inner.lr=2e-3").unwrap();
        let flag = Layer::from_flag("support", "episode.support", 16);
        let config = RunConfig::from_layers(&[file, set, flag]).unwrap();
        assert_eq!(config.train.algo, Algorithm::Reptile);
        assert_eq!((config.inner.lr, config.inner.epochs), (2e-3, 3));
        assert_eq!((config.episode.support, config.episode.query), (16, 20));
        assert_eq!(config.train.steps, 1250);
    }

    #[test]
    fn unknown_keys_name_the_nearest_known_one() {
        for (text, nearest) in [
            ("[inner]\nlearning_rate = 1", "inner.lr"),
            ("[inner]\nepoch = 1", "inner.epochs"),
            ("[train]\nmeta_bach = 1", "train.meta_batch"),
            ("suport = 1", "episode.support"),
            ("[iner]\nlr = 1", "inner.lr"),
        ] {
            let found = match RunConfig::from_layers(&[layer(text)]).unwrap_err() {
                ConfigError::UnknownKey { nearest, .. } => nearest,
                other => panic!("{text}: {other}"),
            };
            if text.contains("learning_rate") || text.starts_with("[iner]") {
                // Far from any name: whatever is nearest, it is a key of the configuration.
                assert!(!found.is_empty());
            } else {
                assert_eq!(found, nearest, "{text}");
            }
        }
    }

    #[test]
    fn a_written_configuration_reads_back_the_same() {
        let config = RunConfig::from_layers(&[layer(
            "seed = 7\ndevice = \"cpu\"\n[data]\nlow_resource = [\"a_&_b\"]",
        )])
        .unwrap();
        let read = RunConfig::from_layers(&[layer(&config.to_toml())]).unwrap();
        assert_eq!(read, config);
    }

    #[test]
    fn wrong_types_name_their_source() {
        let error = RunConfig::from_layers(&[Layer::from_assignment("inner.lr=fast").unwrap()]);
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("--set inner.lr=fast: "), "{error}");
    }

    #[test]
    fn an_unknown_preset_is_told_with_its_source() {
        for (value, found) in [("\"reference\"", "reference"), ("1979-05-27", "1979-05-27")] {
            let error = RunConfig::from_layers(&[layer(&format!("preset = {value}"))]).unwrap_err();
            let told =
                "test.toml: preset: expected one of reference-fomaml, reference-reptile, found";
            assert_eq!(error.to_string(), format!("{told} \"{found}\""));
        }
    }

    #[test]
    fn a_key_of_too_many_parts_is_refused() {
        let error = Layer::from_assignment(&format!("{}b=1", "a.".repeat(60_000))).unwrap_err();
        assert!(error.to_string().ends_with("such as inner.lr, found one of 60001 parts"));
    }

    #[test]
    fn impossible_values_are_refused_by_key() {
        for (text, key) in [
            ("[inner]\nlr = 0", "inner.lr"),
            ("[inner]\nlr = nan", "inner.lr"),
            ("[inner]\nepochs = 0", "inner.epochs"),
            ("[inner]\nbatch = 0", "inner.batch"),
            ("[outer]\nmomentum = 1", "outer.momentum"),
            ("[outer]\nwarmup_steps = 501", "outer.warmup_steps"),
            ("[episode]\nsupport = 0", "episode.support"),
            ("[data]\nmax_length = 2", "data.max_length"),
        ] {
            let config = RunConfig::from_layers(&[layer(text)]).unwrap();
            let error = config.validate().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{key}: expected ")), "{text}: {error}");
        }
        RunConfig::default().validate().unwrap();
    }
}
