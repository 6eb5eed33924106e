//! When `train` locks its run directory: before it reads what it resumes or removes what it
//! replaces, and in an empty one before it writes.

use anyhow::{Context, Error, Result};

use super::InputError;
use crate::files::atomic::make_directory;
use crate::run::RunDirectory;
use crate::run::console::Console;
use crate::run::lock::{LockError, RunLock};

/// Locks a run directory that holds something.
pub fn lock(run: &RunDirectory, console: &Console) -> Result<RunLock> {
    let lock = RunLock::acquire(run).map_err(|error| match error {
        LockError::Held { .. } => Error::new(InputError(error.to_string())),
        LockError::Unusable { .. } => error.into(),
    })?;
    if !lock.is_enforced() {
        console.line(&format!(
            "warning: {}: its file system has no locks: nothing keeps a second process from \
             training there",
            run.path().display()
        ));
    }
    Ok(lock)
}

/// Makes and locks a run directory that was free, and refuses it where another process has been
/// faster.
pub fn lock_new(run: &RunDirectory, console: &Console) -> Result<RunLock> {
    let path = run.path();
    make_directory(path).with_context(|| format!("{}: cannot be made", path.display()))?;
    let lock = lock(run, console)?;
    run.ensure_free(false)?;
    Ok(lock)
}
