//! What may change between the parts of a run, and what may not.

use std::collections::BTreeMap;

use anyhow::{Error, Result, anyhow};

use super::InputError;
use crate::config::{Layer, RunConfig};
use crate::optim::ScheduleConfig;
use crate::run::{Environment, Provenance, RunDirectory};
use crate::train::NonFinite;
use crate::train::evaluate::Diverged;

/// The layer of a run's `config.toml`.
pub fn stored_config(run: &RunDirectory) -> Result<Layer> {
    if !run.config_file().exists() {
        return Err(InputError(format!(
            "{}: expected a run to resume, found no config.toml; leave out --resume to start one",
            run.path().display()
        ))
        .into());
    }
    Ok(Layer::from_file(&run.config_file())?)
}

/// The command that goes on with a run, to be pasted into a shell.
pub fn command_to_resume(run: &RunDirectory) -> String {
    let path = run.path().display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+=:@,".contains(c);
    let path = match path.chars().all(is_plain) {
        true => path,
        false => format!("'{}'", path.replace('\'', r"'\''")),
    };
    format!("metabert train --run-dir {path} --resume")
}

/// Tells how a run goes on that a number which is not finite has ended.
pub fn with_way_on(error: Error, run: &RunDirectory) -> Error {
    if !error.is::<NonFinite>() && !error.is::<Diverged>() {
        return error;
    }
    let resume = command_to_resume(run);
    anyhow!(
        "{error}; `{resume} --set train.non_finite=skip` goes on and leaves such episodes out; they become rare with a lower \
         inner.lr or outer.lr, or with outer.clip_norm, in another run"
    )
}

/// Refuses to go on where a setting that shapes the result has changed.
pub fn ensure_same_settings(run: &RunDirectory, before: &Layer, now: &RunConfig) -> Result<()> {
    let before = RunConfig::from_layers(std::slice::from_ref(before))?;
    let mut allowed = before.clone();
    allowed.device.clone_from(&now.device);
    allowed.threads = now.threads;
    allowed.workers = now.workers;
    allowed.data.path.clone_from(&now.data.path);
    allowed.model.path.clone_from(&now.model.path);
    // A schedule that ends at the last step depends on how many there are.
    if before.outer.schedule == ScheduleConfig::Constant {
        allowed.train.steps = now.train.steps;
    }
    allowed.train.eval_every = now.train.eval_every;
    allowed.train.checkpoint_every = now.train.checkpoint_every;
    allowed.train.patience = now.train.patience;
    allowed.train.keep_last = now.train.keep_last;
    allowed.train.non_finite = now.train.non_finite;
    allowed.evaluate.episodes = now.evaluate.episodes;
    if allowed == *now {
        return Ok(());
    }
    let changed = changed_keys(&allowed, now).join(", ");
    Err(InputError(format!(
        "{}: cannot resume with other settings, which would change the result: {changed}",
        run.path().display()
    ))
    .into())
}

/// Refuses to go on with other texts or another split than the run began with.
pub fn ensure_same_data(run: &RunDirectory, now: &Provenance) -> Result<()> {
    let before = Environment::read(run).map_err(|error| InputError(error.to_string()))?.provenance;
    let refuse = |what: &str| {
        let path = run.path().display();
        Err(InputError(format!("{path}: cannot resume: {what} since the run began")).into())
    };
    if before.dataset_sha256 != now.dataset_sha256 {
        return refuse("the dataset has changed");
    }
    if (&before.meta_train, &before.meta_dev) != (&now.meta_train, &now.meta_dev) {
        return refuse("the split into domains has changed");
    }
    Ok(())
}

fn changed_keys(before: &RunConfig, now: &RunConfig) -> Vec<String> {
    let (before, now) = (flatten(before), flatten(now));
    before
        .iter()
        .filter(|(key, value)| now.get(*key) != Some(value))
        .map(|(key, value)| format!("{key} (was {value}, is {})", now[key]))
        .collect()
}

/// Every key of a configuration, with its value as text.
fn flatten(config: &RunConfig) -> BTreeMap<String, String> {
    fn walk(value: &toml::Value, path: &str, out: &mut BTreeMap<String, String>) {
        match value {
            toml::Value::Table(table) => table.iter().for_each(|(key, value)| {
                let separator = if path.is_empty() { "" } else { "." };
                walk(value, &format!("{path}{separator}{key}"), out);
            }),
            leaf => drop(out.insert(path.to_owned(), leaf.to_string())),
        }
    }
    let mut out = BTreeMap::new();
    let value = toml::Value::try_from(config).expect("a configuration serialises");
    walk(&value, "", &mut out);
    out
}
