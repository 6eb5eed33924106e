//! Model directories in the Hugging Face form: `config.json` and `model.safetensors`.
//!
//! Weights come from safetensors only; pickled checkpoints are never opened.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use safetensors::tensor::SafeTensors;
use serde_json::{Map, Value};

use super::classifier::Classifier;
use super::config::{BertConfig, classifier_json, labels_of};
use crate::files::limited;
use crate::params::file::{ModelFileError, kind_of, tensor_of, write_safetensors};
use crate::params::init::draw_slot;
use crate::params::{ParamSet, Region};

/// The largest `config.json`; one that names 100,000 labels takes 5 MiB.
pub(crate) const MAX_CONFIG_MIB: u64 = 16;

/// What loading found beside the tensors it used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadReport {
    /// Slots that the file lacks and that were drawn: of the pooler or the head.
    pub initialised: Vec<String>,
    /// Tensors of the file that the architecture has no place for.
    pub unexpected: Vec<String>,
}

/// A model directory whose `config.json` has been read.
#[derive(Clone, Debug)]
pub struct ModelDirectory {
    path: PathBuf,
    config_json: Map<String, Value>,
    config: BertConfig,
    labels: Option<Vec<String>>,
}

impl ModelDirectory {
    /// Opens a directory and reads its `config.json`.
    ///
    /// # Errors
    /// A missing directory or file, and a `config.json` that describes no BERT.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ModelFileError> {
        let path = path.as_ref();
        if !path.is_dir() {
            let found = if path.exists() { "a file" } else { "nothing" };
            return Err(ModelFileError::new(
                path,
                format!("expected a model directory, found {found}"),
            ));
        }
        let file = path.join("config.json");
        let config_json = read_json_object(&file)?;
        let config = BertConfig::from_json(&config_json)
            .map_err(|reason| ModelFileError::new(&file, reason))?;
        let labels =
            labels_of(&config_json).map_err(|reason| ModelFileError::new(&file, reason))?;
        Ok(Self { path: path.into(), config_json, config, labels })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The architecture.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// `config.json` as it is.
    pub fn config_json(&self) -> &Map<String, Value> {
        &self.config_json
    }

    /// Number of labels that `id2label` names; `None` where it is absent.
    pub fn num_labels(&self) -> Option<usize> {
        self.labels.as_ref().map(Vec::len)
    }

    /// The labels of a head with `num_labels` rows: those of `id2label`, or transformers' own
    /// placeholders where it is absent or counts differently.
    pub fn labels_or_placeholders(&self, num_labels: usize) -> Vec<String> {
        match &self.labels {
            Some(labels) if labels.len() == num_labels => labels.clone(),
            _ => (0..num_labels).map(|id| format!("LABEL_{id}")).collect(),
        }
    }

    /// Reads `model.safetensors`.
    ///
    /// # Errors
    /// A missing, unreadable or malformed file.
    pub fn read_weights(&self) -> Result<Weights, ModelFileError> {
        let file = self.path.join("model.safetensors");
        if !file.exists() && self.path.join("pytorch_model.bin").exists() {
            return Err(ModelFileError::new(
                &file,
                "not found; pytorch_model.bin is a pickle, which metabert does not open: save the \
                 model with safe_serialization=True",
            ));
        }
        let bytes = fs::read(&file).map_err(|reason| ModelFileError::new(&file, reason))?;
        Weights::parse(file, bytes)
    }
}

fn read_json_object(path: &Path) -> Result<Map<String, Value>, ModelFileError> {
    let text =
        limited::read(path, MAX_CONFIG_MIB).map_err(|reason| ModelFileError::new(path, reason))?;
    serde_json::from_slice(&text)
        .map_err(|error| format!("expected a JSON object: {error}"))
        .map_err(|reason| ModelFileError::new(path, reason))
}

/// The tensors of a weights file under canonical names.
#[derive(Debug)]
pub struct Weights {
    path: PathBuf,
    bytes: Vec<u8>,
    /// Canonical name to the name in the file.
    names: BTreeMap<String, String>,
}

impl Weights {
    fn parse(path: PathBuf, bytes: Vec<u8>) -> Result<Self, ModelFileError> {
        let file = SafeTensors::deserialize(&bytes)
            .map_err(|error| format!("not a complete safetensors file: {error}"))
            .map_err(|reason| ModelFileError::new(&path, reason))?;
        let mut names = BTreeMap::new();
        for name in file.names() {
            if let Some(other) = names.insert(canonical(name), name.to_owned()) {
                return Err(ModelFileError::new(
                    &path,
                    format!("`{name}` and `{other}` are the same tensor"),
                ));
            }
        }
        let weights = Self { path, bytes, names };
        if weights.num_head_labels() == Some(0) {
            let reason = "`classifier.weight`: expected a row for each label, found none";
            return Err(ModelFileError::new(&weights.path, reason));
        }
        Ok(weights)
    }

    /// The labels of the file's classification head by number; `None` where it has no head.
    pub fn num_head_labels(&self) -> Option<usize> {
        let file = SafeTensors::deserialize(&self.bytes).expect("parsed once before");
        let weight =
            file.tensor(self.names.get("classifier.weight")?).expect("a name of this file");
        weight.shape().first().copied()
    }

    /// Requires every tensor that `classifier` needs, in its shape and with a floating dtype.
    ///
    /// # Errors
    /// All that are missing or wrong, in one error.
    pub fn check(&self, classifier: &Classifier) -> Result<(), ModelFileError> {
        let file = self.file();
        let problems: Vec<String> = classifier
            .layout()
            .slots()
            .iter()
            .filter_map(|slot| match self.names.get(&slot.name) {
                Some(original) => {
                    let view = file.tensor(original).expect("a name of this file");
                    let problem = kind_of(&view, &slot.shape).err()?;
                    Some(format!("`{original}`: {problem}"))
                }
                None if may_be_absent(slot.region) => None,
                None => Some(format!("`{}` {:?} is missing", slot.name, slot.shape)),
            })
            .collect();
        if problems.is_empty() {
            return Ok(());
        }
        Err(ModelFileError::Tensors { path: self.path.clone(), problems })
    }

    /// The parameters of `classifier`, float32 on the CPU. What the file lacks of the pooler and
    /// the head is drawn from `seed`.
    ///
    /// # Errors
    /// As [`Weights::check`], and too little memory.
    pub fn load(
        &self,
        classifier: &Classifier,
        seed: u64,
    ) -> Result<(ParamSet, LoadReport), ModelFileError> {
        self.check(classifier)?;
        let file = self.file();
        let mut report = LoadReport::default();
        let mut unused = self.names.clone();
        let mut tensors = Vec::new();
        for slot in classifier.layout().slots() {
            let tensor = match unused.remove(&slot.name) {
                Some(original) => {
                    let view = file.tensor(&original).expect("a name of this file");
                    tensor_of(&view, &slot.shape)
                }
                None => {
                    report.initialised.push(slot.name.clone());
                    draw_slot(slot, seed).map_err(|error| error.to_string())
                }
            };
            tensors.push(tensor.map_err(|problem| {
                let problems = vec![format!("`{}`: {problem}", slot.name)];
                ModelFileError::Tensors { path: self.path.clone(), problems }
            })?);
        }
        report.unexpected = unused.into_values().collect();
        Ok((ParamSet::new(classifier.layout().clone(), tensors), report))
    }

    fn file(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).expect("parsed once before")
    }
}

/// The one name under which a tensor is known: with the `bert.` prefix, and with `weight` and
/// `bias` where files converted from TensorFlow say `gamma` and `beta`.
fn canonical(name: &str) -> String {
    let mut name = name.to_owned();
    if ["embeddings.", "encoder.", "pooler."].iter().any(|part| name.starts_with(part)) {
        name.insert_str(0, "bert.");
    }
    for (old, new) in [(".gamma", ".weight"), (".beta", ".bias")] {
        if let Some(stem) = name.strip_suffix(old) {
            name = format!("{stem}{new}");
        }
    }
    name
}

/// Whether an encoder without a task lacks this part.
fn may_be_absent(region: Region) -> bool {
    matches!(region, Region::Pooler | Region::Head)
}

/// Writes `config.json` and `model.safetensors` of a classifier with these labels into the
/// existing directory `dir`, and makes both durable. `config_json` is the one it descends from.
///
/// # Errors
/// Any error of the file system.
pub fn save(
    dir: &Path,
    params: &ParamSet,
    config_json: &Map<String, Value>,
    labels: &[String],
) -> std::io::Result<()> {
    let json = serde_json::to_vec_pretty(&classifier_json(config_json, labels))?;
    fs::write(dir.join("config.json"), json)?;
    write_safetensors(&dir.join("model.safetensors"), &[("", params)])?;
    File::open(dir.join("config.json"))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_bare_names_are_canonical() {
        for (found, expected) in [
            ("embeddings.LayerNorm.gamma", "bert.embeddings.LayerNorm.weight"),
            (
                "bert.encoder.layer.0.output.LayerNorm.beta",
                "bert.encoder.layer.0.output.LayerNorm.bias",
            ),
            ("pooler.dense.weight", "bert.pooler.dense.weight"),
            ("bert.pooler.dense.weight", "bert.pooler.dense.weight"),
            ("classifier.bias", "classifier.bias"),
            ("cls.predictions.bias", "cls.predictions.bias"),
        ] {
            assert_eq!(canonical(found), expected);
        }
    }

    #[test]
    fn a_head_without_labels_is_refused() {
        let header = r#"{"classifier.weight":{"dtype":"F32","shape":[0,16],"data_offsets":[0,0]}}"#;
        let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
        let error = Weights::parse("a.safetensors".into(), file).unwrap_err().to_string();
        let expected =
            "a.safetensors: `classifier.weight`: expected a row for each label, found none";
        assert_eq!(error, expected);
    }
}
