//! What `train` requires before it writes anything.

use std::path::Path;

use anyhow::Result;

use super::super::error::InputError;
use crate::config::RunConfig;
use crate::data::{Dataset, Side, Split, check_sizes};
use crate::files::atomic::ensure_writable;
use crate::meta::Tasks;
use crate::run::RunDirectory;
use crate::run::console::Console;

/// Refuses to replace a directory that is no run, or that holds what the new run starts from.
pub fn ensure_replaceable(run: &RunDirectory, config: &RunConfig) -> Result<(), InputError> {
    let path = run.path().display();
    ensure_writable(run.path()).map_err(|error| InputError(format!("{path}: {error}")))?;
    if !run.is_in_use() {
        return Ok(());
    }
    if !run.environment_file().exists() {
        return Err(InputError(format!(
            "{path}: expected an old run to replace, found a directory without environment.json; \
             remove it by hand"
        )));
    }
    let Ok(inside) = run.path().canonicalize() else { return Ok(()) };
    let is_inside =
        |input: &&&String| Path::new(input).canonicalize().is_ok_and(|it| it.starts_with(&inside));
    match [&config.model.path, &config.data.path].iter().find(is_inside) {
        Some(input) => Err(InputError(format!(
            "{path}: cannot be replaced, since {input}, which the new run starts from, is in it"
        ))),
        None => Ok(()),
    }
}

/// Requires enough texts in each domain for training and its evaluations. Low-resource domains that
/// `eval` would refuse get a warning, while there is time.
pub fn check_domain_sizes(
    dataset: &Dataset,
    split: &Split,
    config: &RunConfig,
    console: &Console,
) -> Result<()> {
    let (episode, evaluation) = (&config.episode, config.evaluation_episode());
    let (meta_train, meta_dev) = (split.domains(Side::MetaTrain), split.domains(Side::MetaDev));
    let drawn_from = if config.recipe().trains_on(Tasks::Episodes) { meta_train } else { &[] };
    if *episode == evaluation {
        // One demand on all of them: one error lists every domain that falls short.
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
