//! What `train` requires before it writes anything.

use std::path::Path;

use anyhow::Result;

use super::InputError;
use crate::config::RunConfig;
use crate::data::{Dataset, Side, Split, check_sizes};
use crate::files::atomic::ensure_writable;
use crate::run::RunDirectory;
use crate::run::console::Console;

/// With `--force`: what is to be replaced must be a run, and not hold what the new one starts from.
pub fn ensure_replaceable(run: &RunDirectory, config: &RunConfig) -> Result<()> {
    let path = run.path().display();
    ensure_writable(run.path()).map_err(|error| InputError(format!("{path}: {error}")))?;
    if !run.is_in_use() {
        return Ok(());
    }
    if !run.environment_file().exists() {
        return Err(InputError(format!(
            "{path}: expected an old run to replace, found a directory without environment.json; \
             remove it by hand"
        ))
        .into());
    }
    let inside = run.path().canonicalize()?;
    for start in [&config.model.path, &config.data.path] {
        if Path::new(start).canonicalize().is_ok_and(|start| start.starts_with(&inside)) {
            return Err(InputError(format!(
                "{path}: cannot be replaced, since {start}, which the new run starts from, is in it"
            ))
            .into());
        }
    }
    Ok(())
}

/// Requires what training and its evaluations draw; low-resource domains that `eval` would refuse
/// are warned of while there is time.
pub fn check_domain_sizes(
    dataset: &Dataset,
    split: &Split,
    config: &RunConfig,
    console: &Console,
) -> Result<()> {
    let (episode, evaluation) = (&config.episode, config.evaluation_episode());
    let (meta_train, meta_dev) = (split.domains(Side::MetaTrain), split.domains(Side::MetaDev));
    let drawn_from = if config.train.algo.is_episodic() { meta_train } else { &[] };
    if *episode == evaluation {
        // One demand on all of them: every domain that falls short is told of in one go.
        check_sizes(dataset, &[drawn_from, meta_dev].concat(), episode.support, episode.query)?;
    } else {
        check_sizes(dataset, drawn_from, episode.support, episode.query)?;
        check_sizes(dataset, meta_dev, evaluation.support, evaluation.query)?;
    }
    let low_resource = split.domains(Side::LowResource);
    if let Err(error) = check_sizes(dataset, low_resource, evaluation.support, evaluation.query) {
        console.line(&format!("warning: `eval` with these settings will refuse: {error}"));
    }
    Ok(())
}
