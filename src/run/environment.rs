//! `environment.json`: the data, the model and the machine of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::directory::RunDirectory;
use super::manifest::sha256_of;
use crate::files::atomic::{naming, write_file};
use crate::model::ModelDirectory;

/// The origin of a checkpoint's knowledge. Every checkpoint has a copy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of metabert.
    pub metabert: String,
    /// SHA-256 of the dataset file.
    pub dataset_sha256: String,
    /// Names of the domains trained on.
    pub meta_train: Vec<String>,
    /// Names of the domains that chose the best checkpoint.
    pub meta_dev: Vec<String>,
    /// Names of the domains held out.
    pub low_resource: Vec<String>,
    /// Names of the domains that trained or chose the model that training started from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen_before: Vec<String>,
}

/// The machine that computes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Version of libtorch.
    pub torch: String,
    /// Device, such as `Cpu` or `Cuda(0)`.
    pub device: String,
    /// Dtype of the matrix products; empty in files of older versions, which had only fp32.
    #[serde(default)]
    pub precision: String,
    /// CPU threads of the process that writes.
    pub threads: i32,
    /// Processes that share the work; 0 in files of older versions, which had one.
    #[serde(default)]
    pub processes: usize,
}

/// The contents of `environment.json`, written when a run starts and not touched when it resumes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// The origin of the run's knowledge.
    #[serde(flatten)]
    pub provenance: Provenance,
    /// The machine on which the run began; each [`Started`](super::Event::Started) has its own.
    #[serde(flatten)]
    pub machine: Machine,
    /// Name and commit on the Hugging Face Hub of the model that training starts from, where it came from its cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// SHA-256 of each file of the model that training starts from; empty in files of older versions.
    #[serde(default)]
    pub model_sha256: BTreeMap<String, String>,
}

impl Provenance {
    /// The domains that trained or chose the weights, now or before: scores there say nothing about new domains.
    pub fn seen(&self) -> impl Iterator<Item = &String> {
        self.meta_train.iter().chain(&self.meta_dev).chain(&self.seen_before)
    }
}

impl Environment {
    /// Writes `environment.json` of a run.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn write(&self, run: &RunDirectory) -> io::Result<()> {
        write_file(&run.environment_file(), &serde_json::to_vec_pretty(self)?)
    }

    /// Reads `environment.json` of a run.
    ///
    /// # Errors
    /// A file that cannot be read, or has other content.
    pub fn read(run: &RunDirectory) -> io::Result<Self> {
        let path = run.environment_file();
        std::fs::read(&path)
            .and_then(|text| serde_json::from_slice(&text).map_err(io::Error::from))
            .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
    }

    /// What differs from the inputs of a run in its inputs `now`; `None` where nothing does.
    pub fn changed_input(&self, now: &Self) -> Option<String> {
        let provenance = [&self.provenance, &now.provenance];
        let [was, is] = provenance.map(|it| &it.dataset_sha256);
        if was != is {
            return Some("the dataset".to_owned());
        }
        let [was, is] = provenance.map(|it| [&it.meta_train, &it.meta_dev]);
        if was != is {
            return Some("the split into domains".to_owned());
        }
        let (was, is) = (&self.model_sha256, &now.model_sha256);
        // A run of an older version has no hashes, or those of the first of today's files alone.
        let names = was.keys().map(String::as_str).chain(ENCODER_FILES);
        let mut names = names.filter(|_| !was.is_empty());
        names
            .find(|name| was.get(*name) != is.get(*name))
            .map(|name| format!("{name} of the model"))
    }
}

/// The files of a folder with an encoder that training reads; every version of the program hashed those in the directory itself.
const ENCODER_FILES: [&str; 5] =
    ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"];
/// Those that a directory of `sentence_transformers` has beside them.
const MODULE_FILES: [&str; 4] =
    ["modules.json", "1_Pooling/config.json", "3_Dense/config.json", "3_Dense/model.safetensors"];

/// The SHA-256 of each file that training reads of a model directory.
///
/// # Errors
/// Any error of the file system, which names the file.
pub fn model_sha256(model: &ModelDirectory) -> io::Result<BTreeMap<String, String>> {
    let names = ENCODER_FILES.iter().chain(&MODULE_FILES).map(PathBuf::from);
    // Old directories of `sentence_transformers` have their encoder in a folder.
    let folder = model.encoder_path().strip_prefix(model.path()).unwrap_or(Path::new(""));
    let in_folder = ENCODER_FILES.map(|name| folder.join(name));
    let names: BTreeSet<PathBuf> = names.chain(in_folder).collect();
    let paths = names.into_iter().map(|name| (model.path().join(&name), name));
    let hashes = paths.filter(|(path, _)| path.is_file()).map(|(path, name)| {
        let hash = sha256_of(&path).map_err(|error| naming(&path, error))?;
        Ok((name.display().to_string(), hash))
    });
    hashes.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn weights_in_the_folder_of_an_encoder_are_hashed() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let module =
            |path: &str, class: &str| format!(r#"{{"path": "{path}", "type": "{class}"}}"#);
        let modules = [module("0_Transformer", "Transformer"), module("1_Pooling", "Pooling")];
        write("modules.json", &format!("[{}]", modules.join(",")));
        write("1_Pooling/config.json", r#"{"pooling_mode_mean_tokens": true}"#);
        let sizes = r#""hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 16"#;
        let config = format!(
            r#"{{"model_type": "bert", "vocab_size": 9, "max_position_embeddings": 16, {sizes}}}"#
        );
        write("0_Transformer/config.json", &config);
        let hashes = || model_sha256(&ModelDirectory::open(dir.path()).unwrap()).unwrap();
        write("0_Transformer/model.safetensors", "weights");
        let before = hashes();
        write("0_Transformer/model.safetensors", "others");
        let after = hashes();
        let names = before.keys().filter(|&name| before[name] != after[name]);
        assert_eq!(names.collect::<Vec<_>>(), ["0_Transformer/model.safetensors"]);
        assert_eq!(before.len(), 4);
    }
}
