//! What may change when a run is resumed, and what may not.

use std::collections::BTreeMap;

use anyhow::{Error, Result, anyhow};

use crate::checks::{Invalid, require};
use crate::config::{Layer, RunConfig};
use crate::eval::evaluator::Diverged;
use crate::optim::ScheduleConfig;
use crate::run::console::Console;
use crate::run::{Environment, RunDirectory, StartingPoint};
use crate::train::non_finite::{MAX_EMPTY_STEPS, NonFinite, NonFinitePolicy};

/// Settings that change neither a step taken before nor the next one: a resumed run may have others.
/// `train.steps` and `train.time_s` are among them where the learning rate does not depend on them; so is all of `[safeguard]`.
const CHANGEABLE: [&str; 14] = [
    "data.path",
    "device",
    "evaluate.episodes",
    "model.path",
    "threads",
    "train.checkpoint_every",
    "train.eval_every",
    "train.keep_best",
    "train.keep_last",
    "train.non_finite",
    "train.patience",
    "train.steps",
    "train.time_s",
    "workers",
];

/// The settings that may differ from one part of a run to the next, by key.
pub fn changeable_settings(config: &RunConfig) -> BTreeMap<String, serde_json::Value> {
    let entries = config.entries().into_iter();
    let changeable = entries.filter(|(key, _)| CHANGEABLE.contains(&key.as_str()));
    changeable
        .map(|(key, value)| (key, serde_json::to_value(value).expect("no setting is a date")))
        .collect()
}

/// Refuses a directory that holds no run to resume.
pub fn ensure_resumable(run: &RunDirectory) -> Result<(), Invalid> {
    let advice = match run.is_in_use() {
        true => "name another directory, or pass --force instead of --resume to start one here",
        false => "leave out --resume to start one",
    };
    let (path, found) = (run.path().display(), format!("no config.toml; {advice}"));
    require(run.config_file().exists(), path, "a run to resume", found)
}

/// The layer of a run's `config.toml`.
pub fn stored_config(run: &RunDirectory) -> Result<Layer> {
    ensure_resumable(run)?;
    let mut layer = Layer::from_file(&run.config_file())?;
    // A run of an older version knew nothing else.
    for (section, key, value) in [("data", "label_sets", "shared"), ("model", "pooling", "cls")] {
        if let Some(section) = layer.table.get_mut(section).and_then(toml::Value::as_table_mut) {
            section.entry(key).or_insert(value.into());
        }
    }
    Ok(layer)
}

/// The checkpoint that a run resumes from.
pub fn starting_point(run: &RunDirectory, console: &Console) -> Result<StartingPoint, Invalid> {
    StartingPoint::of(run, console)
        .map_err(|error| Invalid(format!("{error}; restore one, or start again with --force")))
}

/// The command that resumes a run, to be pasted into a shell.
pub fn command_to_resume(run: &RunDirectory) -> String {
    format!("metabert train --run-dir {} --resume", shell_word(run))
}

/// The command that writes a report of a run, in the same way.
pub fn command_to_report(run: &RunDirectory) -> String {
    format!("metabert report {}", shell_word(run))
}

/// The path of a run as a word of a shell.
fn shell_word(run: &RunDirectory) -> String {
    let path = run.path().display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+=:@,".contains(c);
    match path.chars().all(is_plain) {
        true => path,
        false => format!("'{}'", path.replace('\'', r"'\''")),
    }
}

/// Adds to an error about a number that is not finite what a user can do about it.
pub fn advise(error: Error, run: &RunDirectory, policy: NonFinitePolicy) -> Error {
    if !error.is::<NonFinite>() && !error.is::<Diverged>() {
        return error;
    }
    let rarer = "a lower inner.lr or outer.lr, or with outer.clip_norm";
    match policy {
        NonFinitePolicy::Stop => anyhow!(
            "{error}; `{} --set train.non_finite=skip` resumes and leaves such episodes out; they \
             become rare with {rarer}, in another run",
            command_to_resume(run)
        ),
        NonFinitePolicy::Skip => anyhow!(
            "{error}; no episode of the last {MAX_EMPTY_STEPS} outer steps was finite: begin \
             another run with {rarer}"
        ),
    }
}

/// Refuses to resume where a setting that shapes the result has changed; reports which others have.
pub fn ensure_same_settings(
    run: &RunDirectory,
    before: &Layer,
    now: &RunConfig,
    console: &Console,
) -> Result<()> {
    let before = RunConfig::from_layers(std::slice::from_ref(before))?;
    let is_constant = before.outer.schedule == ScheduleConfig::Constant;
    // A schedule that ends at the last step depends on how many steps there are.
    let may_change = |key: &str| match key {
        "train.steps" | "train.time_s" => is_constant,
        key => CHANGEABLE.contains(&key) || key.starts_with("safeguard."),
    };
    let (mut accepted, mut refused) = (Vec::new(), Vec::new());
    // Every configuration has the same keys.
    for ((key, was), is) in before.entries().into_iter().zip(now.entries().into_values()) {
        if was != is {
            let changes = if may_change(&key) { &mut accepted } else { &mut refused };
            changes.push(format!("{key} (was {was}, is {is})"));
        }
    }
    if !refused.is_empty() {
        let problem = "cannot resume with other settings, which would change the result";
        let mut text = format!("{problem}: {}", refused.join(", "));
        if !is_constant && refused.iter().any(|change| change.starts_with("train.")) {
            text += "; its learning rate ends with its last step: to train on, begin another run with --model and this one";
        }
        return Err(Invalid::at(run.path(), text).into());
    }
    if !accepted.is_empty() {
        let path = run.path().display();
        console.line(&format!("{path}: resuming with other settings: {}", accepted.join(", ")));
    }
    Ok(())
}

/// Refuses to resume with other texts, another split or another model than the run began with.
pub fn ensure_same_inputs(run: &RunDirectory, now: &Environment) -> Result<(), Invalid> {
    let before = Environment::read(run).map_err(|error| Invalid(error.to_string()))?;
    before.changed_input(now).map_or(Ok(()), |input| {
        let problem = format!("cannot resume: {input} has changed since the run began");
        Err(Invalid::at(run.path(), problem))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changeable_setting_is_a_setting() {
        let found: Vec<String> = changeable_settings(&RunConfig::default()).into_keys().collect();
        assert_eq!(found, CHANGEABLE);
    }
}
