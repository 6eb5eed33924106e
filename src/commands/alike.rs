//! What the processes that share the work of a command compare before it begins.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use tch::Device;

use super::session::Session;
use crate::checks::{self, Invalid};
use crate::data::Dataset;
use crate::model::ModelDirectory;
use crate::run::environment::model_sha256;
use crate::run::manifest::sha256_of;

/// Settings that may differ from one process to another.
const OWN: [&str; 5] = ["data.path", "device", "model.path", "threads", "workers"];

/// What processes have to have in common beside their settings, by name.
#[derive(Default)]
pub struct Inputs(BTreeMap<String, String>);

impl Inputs {
    /// With labelled texts, which `name` is called.
    pub fn with_dataset(self, name: &str, dataset: &Dataset) -> Self {
        self.with(name, dataset.sha256.clone())
    }

    /// With the files of a model, which `name` is called.
    pub fn with_model(mut self, name: &str, model: &ModelDirectory) -> Result<Self> {
        for (file, sha256) in model_sha256(model)? {
            self = self.with(&format!("{name}'s {file}"), sha256);
        }
        Ok(self)
    }

    /// With a file, which has to be one: no process may take from another what it reads.
    pub fn with_file(self, flag: &str, path: &Path) -> Result<Self> {
        let expected = "a file, which every process can read";
        checks::require(path.is_file(), flag, expected, path.display())?;
        let sha256 = sha256_of(path).map_err(|error| Invalid::at(path, error))?;
        Ok(self.with(&format!("file of {flag}"), sha256))
    }

    /// With an argument that is no setting.
    pub fn with_argument(mut self, flag: &str, value: impl ToString) -> Self {
        self.0.insert(flag.to_owned(), value.to_string());
        self
    }

    fn with(self, name: &str, sha256: String) -> Self {
        self.with_argument(&format!("the SHA-256 of the {name}"), sha256)
    }
}

/// Refuses processes that are about to do something else, and says on request what each computes on. `inputs` are asked for where
/// there are several.
///
/// # Errors
/// What differs from the first process, by rank; lost processes.
pub fn ensure_alike(
    session: &Session,
    device: Device,
    inputs: impl FnOnce() -> Result<Inputs>,
) -> Result<()> {
    let Session { config, console, group } = session;
    if group.size() == 1 {
        return Ok(());
    }
    let Inputs(mut mine) = inputs()?;
    let settings = config.entries().into_iter().filter(|(key, _)| !OWN.contains(&key.as_str()));
    mine.extend(settings.map(|(key, value)| (key, value.to_string())));
    let kind = if device.is_cuda() { "a GPU" } else { "the CPU" };
    mine.insert("the device".to_owned(), kind.to_owned());
    mine.insert("the version of metabert".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    let all = group.all_values(&mine)?;
    let nothing = String::from("nothing");
    for (rank, theirs) in all.iter().enumerate() {
        for key in all[0].keys().chain(theirs.keys()) {
            let [first, other] = [&all[0], theirs].map(|it| it.get(key).unwrap_or(&nothing));
            if first != other {
                let problem = format!("{key}: expected {first}, as rank 0 has it, found {other}");
                return Err(Invalid(format!("rank {rank}: {problem}")).into());
            }
        }
    }
    let device = format!("{:?}, {} CPU threads", device, tch::get_num_threads());
    for (rank, device) in group.all_values(&device)?.iter().enumerate() {
        console.detail(&format!("rank {rank}: device {device}"));
    }
    Ok(())
}
