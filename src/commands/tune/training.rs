//! The trainings of a search: each is a run of its own, made by `metabert train` in a process of its own.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::children::Children;
use crate::config::RunConfig;
use crate::files::atomic::write_file;

/// The run directory of the training of this number.
pub fn directory(search: &Path, number: usize) -> PathBuf {
    search.join(format!("training-{number:02}"))
}

/// Trains as `config` says in the run directory `run`, or continues what a search that was stopped began there. Whether it
/// succeeded: its own message says why not.
///
/// # Errors
/// A training that a signal stopped, and any error of the file system.
pub fn train(children: &Children, run: &Path, config: &RunConfig, is_silent: bool) -> Result<bool> {
    let settings = run.with_extension("toml");
    write_file(&settings, config.to_toml().as_bytes())?;
    let program = env::current_exe().context("cannot find the program itself")?;
    let mut command = Command::new(program);
    command.arg("train").arg("--config").arg(&settings).arg("--run-dir").arg(run);
    command.args(["--resume", "auto"]);
    if is_silent {
        command.arg("--quiet");
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let status = children.run(&mut command).context("cannot start a training")?;
    match status.code() {
        Some(0) => Ok(true),
        Some(1 | 2) => Ok(false),
        _ => bail!(
            "{}: the training was stopped ({status}); the same command continues",
            run.display()
        ),
    }
}
