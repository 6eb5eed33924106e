//! Model directories in the Hugging Face form: `config.json` and `model.safetensors`, and for mean pooling the files of
//! `sentence_transformers` beside them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::config::{BertConfig, classifier_json, encoder_json, labels_of};
use super::json;
use super::pooling::Pooling;
use super::sentence_transformers::{self, Modules};
use super::weights::{WEIGHTS_FILE, Weights};
use crate::params::ParamSet;
use crate::params::file::{ModelFileError, write_safetensors};

/// A model directory whose `config.json` has been read.
#[derive(Clone, Debug)]
pub struct ModelDirectory {
    path: PathBuf,
    /// The folders of a model with mean pooling.
    modules: Option<Modules>,
    config_json: Map<String, Value>,
    config: BertConfig,
    labels: Option<Vec<String>>,
}

impl ModelDirectory {
    /// Opens a directory and reads its `config.json`.
    ///
    /// # Errors
    /// A missing directory or file, a `config.json` that describes no BERT, and modules of `sentence_transformers` that
    /// metabert does not have.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ModelFileError> {
        let path = path.as_ref();
        if !path.is_dir() {
            let found = if path.exists() { "a file" } else { "nothing" };
            return Err(ModelFileError::new(
                path,
                format!("expected a model directory, found {found}"),
            ));
        }
        let modules = Modules::read(path)?;
        let file = encoder_path(path, modules.as_ref()).join("config.json");
        let config_json: Map<String, Value> = json::read(&file, "a JSON object")?;
        let config = BertConfig::from_json(&config_json)
            .map_err(|reason| ModelFileError::new(&file, reason))?;
        let labels =
            labels_of(&config_json).map_err(|reason| ModelFileError::new(&file, reason))?;
        Ok(Self { path: path.into(), modules, config_json, config, labels })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of the encoder and its tokenizer.
    pub fn encoder_path(&self) -> &Path {
        encoder_path(&self.path, self.modules.as_ref())
    }

    /// The pooling that the model was trained with.
    pub fn pooling(&self) -> Pooling {
        if self.modules.is_some() { Pooling::Mean } else { Pooling::Cls }
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

    /// Reads the weights.
    ///
    /// # Errors
    /// A missing, unreadable or malformed file.
    pub fn read_weights(&self) -> Result<Weights, ModelFileError> {
        let head = self.modules.as_ref().and_then(|modules| modules.head.as_deref());
        Weights::read(self.encoder_path(), head)
    }
}

fn encoder_path<'a>(directory: &'a Path, modules: Option<&'a Modules>) -> &'a Path {
    modules.map_or(directory, |modules| &modules.encoder)
}

/// Writes a classifier with these labels into the existing directory `dir`, apart from its tokenizer, and makes its files
/// durable. One with mean pooling becomes a directory of `sentence_transformers`, any other one of `transformers`; the
/// latter may lack a head, and has no labels then. `config_json` is the one that it descends from; texts are cut to
/// `max_length` wordpieces.
///
/// # Errors
/// Any error of the file system.
pub fn save(
    dir: &Path,
    params: &ParamSet,
    config_json: &Map<String, Value>,
    labels: &[String],
    max_length: usize,
) -> std::io::Result<()> {
    // Where sentence_transformers looks, and text-embeddings-inference for any model.
    sentence_transformers::write_max_length(dir, max_length)?;
    match Pooling::of(params.layout()) {
        Pooling::Mean => sentence_transformers::save(dir, params, config_json, labels)?,
        Pooling::Cls => {
            let json = match labels {
                [] => encoder_json(config_json, labels),
                labels => classifier_json(config_json, labels),
            };
            fs::write(dir.join("config.json"), serde_json::to_vec_pretty(&json)?)?;
            write_safetensors(&dir.join(WEIGHTS_FILE), &[("", params)])?;
        }
    }
    File::open(dir.join("config.json"))?.sync_all()
}
