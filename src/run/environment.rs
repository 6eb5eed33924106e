//! `environment.json`: the data, the model and the machine of a run.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::directory::RunDirectory;
use super::manifest::sha256_of;
use crate::files::atomic::{naming, write_file};

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
    /// CPU threads.
    pub threads: i32,
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
    /// SHA-256 of each file of the model that training starts from; empty in files of older versions.
    #[serde(default)]
    pub model_sha256: BTreeMap<String, String>,
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
        let names = was.keys().map(String::as_str).chain(MODEL_FILES[..NUM_OLD_FILES].to_vec());
        let mut names = names.filter(|_| !was.is_empty());
        names
            .find(|name| was.get(*name) != is.get(*name))
            .map(|name| format!("{name} of the model"))
    }
}

/// How many of these every version of the program hashed.
const NUM_OLD_FILES: usize = 5;
/// The files of a model directory that training reads.
const MODEL_FILES: [&str; 9] = [
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "modules.json",
    "1_Pooling/config.json",
    "3_Dense/config.json",
    "3_Dense/model.safetensors",
];

/// The SHA-256 of each file that training reads of a model directory.
///
/// # Errors
/// Any error of the file system, which names the file.
pub fn model_sha256(model: &Path) -> io::Result<BTreeMap<String, String>> {
    let paths = MODEL_FILES.map(|name| (name, model.join(name))).into_iter();
    let hashes = paths.filter(|(_, path)| path.is_file()).map(|(name, path)| {
        let hash = sha256_of(&path).map_err(|error| naming(&path, error))?;
        Ok((name.to_owned(), hash))
    });
    hashes.collect()
}
