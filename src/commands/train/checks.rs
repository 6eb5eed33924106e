//! What `train` requires before it writes anything.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::super::session::Session;
use super::super::texts::meta_train_episodes;
use crate::checks::{Invalid, require};
use crate::config::RunConfig;
use crate::data::{Dataset, DomainId, Side, Split, check_sizes, files_of};
use crate::files::atomic::ensure_writable;
use crate::meta::Tasks;
use crate::run::RunDirectory;

/// Refuses to replace a directory that is no run, or that holds what the new run starts from.
pub fn ensure_replaceable(run: &RunDirectory, config: &RunConfig) -> Result<()> {
    ensure_writable(run.path()).map_err(|error| Invalid::at(run.path(), error))?;
    if !run.is_in_use() {
        return Ok(());
    }
    let (path, is_run) = (run.path().display(), run.environment_file().exists());
    let found = "a directory without environment.json; remove it by hand";
    require(is_run, path, "an old run to replace", found)?;
    let Ok(inside) = run.path().canonicalize() else { return Ok(()) };
    // What is wrong with the data is reported where it is read.
    let files = files_of(Path::new(&config.data.path)).unwrap_or_default();
    for input in files.iter().map(PathBuf::as_path).chain([Path::new(&config.model.path)]) {
        if input.canonicalize().is_ok_and(|input| input.starts_with(&inside)) {
            let input = input.display();
            let problem =
                format!("cannot be replaced, since the new run starts from {input} in it");
            return Err(Invalid::at(run.path(), problem).into());
        }
    }
    Ok(())
}

/// Warns of processes that have no episode in an outer step.
pub fn warn_of_idle_processes(Session { config, console, group }: &Session) {
    let (size, count) = (group.size(), config.train.meta_batch);
    let num_idle = size.saturating_sub(count as usize);
    if size > 1 && num_idle > 0 {
        console.line(&format!(
            "warning: {size} processes share the {count} episodes of an outer step: {num_idle} have none; raise --meta-batch"
        ));
    }
}

/// Requires enough texts in each meta-train domain for training, and in each of `evaluated` for an evaluation.
pub fn check_domain_sizes(
    dataset: &Dataset,
    split: &Split,
    config: &RunConfig,
    evaluated: &[DomainId],
) -> Result<()> {
    let (episode, evaluation) = (config.training_episode(), config.evaluation_episode());
    let is_read =
        evaluation.unlabelled == 0 || config.evaluation_recipe().head.is_made_of_support();
    let expected = "0 where no head is made of the support set (--head prototypes or label-names)";
    require(is_read, "evaluate.unlabelled", expected, evaluation.unlabelled)?;
    let meta_train = split.domains(Side::MetaTrain);
    let drawn_from = if config.recipe().trains_on(Tasks::Episodes) { meta_train } else { &[] };
    if episode == evaluation {
        // One demand on all of them: one error lists every domain that falls short.
        check_sizes(dataset, &[drawn_from, evaluated].concat(), &episode)?;
    } else {
        check_sizes(dataset, drawn_from, &episode)?;
        check_sizes(dataset, evaluated, &evaluation)?;
    }
    let num_texts: usize = dataset.pools(meta_train).iter().map(|pool| pool.len()).sum();
    let path = dataset.path.display();
    require(num_texts > 0, path, "texts of meta-train domains that no other side has", "none")?;
    if config.recipe().trains_on(Tasks::Episodes) {
        let largest = meta_train_episodes(dataset, split, config).num_support();
        config.recipe().check_num_steps(config.recipe().visit.num_steps(largest))?;
    }
    Ok(())
}
