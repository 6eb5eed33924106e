//! How layers of settings become one configuration.

use toml::{Table, Value};

use super::error::ConfigError;
use super::layer::Layer;
use super::nearest::nearest_key;
use super::preset;
use super::run_config::RunConfig;

impl RunConfig {
    /// The configuration that the layers add up to, on top of the defaults and of the preset that
    /// the last layer to name one names. It is not validated.
    ///
    /// # Errors
    /// Unknown keys, wrong types, an unknown preset.
    pub fn from_layers(layers: &[Layer]) -> Result<Self, ConfigError> {
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
            .map(|(name, source_name)| preset::layer(&name, source_name))
            .transpose()?;
        let mut config = Self::default();
        let defaults = config.to_table();
        let mut merged = defaults.clone();
        for layer in preset.iter().chain(layers) {
            merge(&mut merged, &layer.table, &defaults, "", &layer.source_name)?;
            // Converting after every layer lets an error name the layer that it came from.
            config = merged.clone().try_into().map_err(|error: toml::de::Error| {
                ConfigError::Malformed {
                    source_name: layer.source_name.clone(),
                    reason: error.to_string().trim_end().replace('\n', " "),
                }
            })?;
        }
        Ok(config)
    }
}

/// Lays `overlay` over `target`; `known` holds every key that exists.
fn merge(
    target: &mut Table,
    overlay: &Table,
    known: &Table,
    prefix: &str,
    source_name: &str,
) -> Result<(), ConfigError> {
    for (key, value) in overlay {
        let path = format!("{prefix}{key}");
        match (known.get(key), value) {
            (Some(Value::Table(known)), Value::Table(overlay)) => {
                let Some(Value::Table(target)) = target.get_mut(key) else {
                    unreachable!("the merged table has every section of the defaults")
                };
                match path == RunConfig::FREE_SECTION {
                    true => target.extend(overlay.clone()),
                    false => merge(target, overlay, known, &format!("{path}."), source_name)?,
                }
            }
            (Some(Value::Table(_)), _) => {
                return Err(ConfigError::Malformed {
                    source_name: source_name.to_owned(),
                    reason: format!("expected `{path}` to be a section, found {value}"),
                });
            }
            (Some(Value::Float(_)), Value::Integer(integer)) => {
                target.insert(key.clone(), Value::Float(*integer as f64));
            }
            (Some(_), value) => {
                target.insert(key.clone(), value.clone());
            }
            (None, value) => {
                // Of an unknown section, its first key says more about what was meant.
                let inside = value.as_table().and_then(|section| section.keys().next());
                let key = inside.map_or(path.clone(), |inside| format!("{path}.{inside}"));
                let nearest = nearest_key(&key, &RunConfig::keys()).to_owned();
                let source_name = source_name.to_owned();
                return Err(ConfigError::UnknownKey { source_name, key, nearest });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::{Algorithm, Rate};

    fn layer(text: &str) -> Layer {
        Layer { source_name: "test.toml".into(), table: text.parse().unwrap() }
    }

    #[test]
    fn later_layers_win_and_presets_lie_below_all_of_them() {
        let file = layer("preset = \"reference-reptile\"\n[inner]\nlr = 1e-3\nepochs = 3");
        let set = Layer::from_assignment("inner.lr=2e-3").unwrap();
        let flag = Layer::of_key("--support", "episode.support", 16.into());
        let config = RunConfig::from_layers(&[file, set, flag]).unwrap();
        assert_eq!(config.preset, "reference-reptile");
        assert_eq!(config.train.algo, Algorithm::Reptile);
        assert_eq!((config.inner.lr, config.inner.epochs), (Rate(2e-3).into(), 3));
        assert_eq!((config.episode.support.one(), config.episode.query), (Some(16), 20));
        assert_eq!(config.train.steps, 1250);
    }

    #[test]
    fn label_sets_of_domains_are_named_freely_and_laid_over_each_other() {
        let file = layer("[labels]\n\"small talk\" = [\"hi\", \"bye\"]\nbanking = [\"a\", \"b\"]");
        let set = Layer::from_assignment("labels.banking=[\"c\", \"d\"]").unwrap();
        let config = RunConfig::from_layers(&[file, set]).unwrap();
        let expected = [("banking", ["c", "d"]), ("small talk", ["hi", "bye"])];
        let expected =
            expected.map(|(domain, labels)| (domain.to_owned(), labels.map(String::from).to_vec()));
        assert_eq!(config.labels, expected.into());
        assert_eq!(RunConfig::from_layers(&[layer(&config.to_toml())]).unwrap(), config);
        // One entry, so that all configurations have the same keys.
        assert!(config.entries().keys().eq(RunConfig::default().entries().keys()));
        let error = RunConfig::from_layers(&[layer("[labels]\nbanking = 3")]).unwrap_err();
        assert!(error.to_string().starts_with("test.toml: "), "{error}");
    }

    #[test]
    fn unknown_keys_are_refused_with_the_nearest_known_one() {
        for (text, unknown, nearest) in [
            ("[inner]\nlearning_rate = 1", "inner.learning_rate", "inner.lr"),
            ("[outer]\nlearning_rat = 1", "outer.learning_rat", "outer.lr"),
            ("[inner]\nepoch = 1", "inner.epoch", "inner.epochs"),
            ("[inner]\nbatch_size = 1", "inner.batch_size", "inner.batch"),
            ("[train]\nmeta_bach = 1", "train.meta_bach", "train.meta_batch"),
            ("[train]\nnum_steps = 1", "train.num_steps", "train.steps"),
            ("[train]\nsuport = 1", "train.suport", "episode.support"),
            ("[train.inner]\nlr = 1", "train.inner.lr", "inner.lr"),
            ("suport = 1", "suport", "episode.support"),
            ("inner_lr = 1", "inner_lr", "inner.lr"),
            ("[iner]\nlr = 1", "iner.lr", "inner.lr"),
            ("[iner]", "iner", "inner"),
            ("sed = 1", "sed", "seed"),
        ] {
            match RunConfig::from_layers(&[layer(text)]).unwrap_err() {
                ConfigError::UnknownKey { key, nearest: found, .. } => {
                    assert_eq!((key.as_str(), found.as_str()), (unknown, nearest), "{text}");
                }
                other => panic!("{text}: {other}"),
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
    fn wrong_types_are_reported_with_their_source() {
        let error = RunConfig::from_layers(&[Layer::from_assignment("inner.lr=fast").unwrap()]);
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("--set inner.lr=fast: "), "{error}");
    }

    #[test]
    fn an_unknown_preset_is_reported_with_its_source() {
        for (value, found) in [("\"reference\"", "reference"), ("1979-05-27", "1979-05-27")] {
            let error = RunConfig::from_layers(&[layer(&format!("preset = {value}"))]).unwrap_err();
            let expected = "test.toml: preset: expected one of reviews, intents, reference-fomaml, reference-reptile, found";
            assert_eq!(error.to_string(), format!("{expected} \"{found}\""));
        }
    }
}
