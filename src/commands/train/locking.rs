//! How `train` locks its run directory: before it reads what it resumes or removes what it
//! replaces, and in an empty one before it writes.

use anyhow::{Context, Result};

use crate::files::atomic::make_directory;
use crate::run::RunDirectory;
use crate::run::console::Console;
use crate::run::lock::RunLock;

/// Makes and locks a run directory that was free, and refuses it where another process was faster.
pub fn lock_new(run: &RunDirectory) -> Result<RunLock> {
    let path = run.path();
    make_directory(path).with_context(|| format!("{}: cannot be made", path.display()))?;
    let lock = RunLock::acquire(run)?;
    run.ensure_free(false)?;
    Ok(lock)
}

/// Warns where the file system has no locks.
pub fn warn_unless_enforced(lock: &RunLock, run: &RunDirectory, console: &Console) {
    if !lock.is_enforced() {
        console.line(&format!(
            "warning: {}: its file system has no locks: nothing keeps a second process from \
             training there",
            run.path().display()
        ));
    }
}
