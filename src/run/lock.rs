//! A lock, so that one process at a time writes into a run directory.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use thiserror::Error;

use super::directory::RunDirectory;

/// Why a run directory cannot be locked.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process has it.
    #[error(
        "{path}: another process{} is training there; wait for it to end, or name another \
         directory",
        process.map(|id| format!(" ({id})")).unwrap_or_default()
    )]
    Held {
        /// The run directory.
        path: PathBuf,
        /// Its process id, where the lock file has it.
        process: Option<u32>,
    },
    /// The lock file cannot be made or locked.
    #[error("{path}: cannot be locked: {source}")]
    Unusable {
        /// The lock file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// The sole right to write into a run directory. It ends when it is dropped, and also when the
/// process is killed: the system releases the lock, and a file that stays is no lock.
#[derive(Debug)]
pub struct RunLock {
    file: File,
    path: PathBuf,
    is_enforced: bool,
}

impl RunLock {
    /// Locks the directory of `run`, which exists.
    ///
    /// # Errors
    /// [`LockError`], at once: it does not wait for another process.
    pub fn acquire(run: &RunDirectory) -> Result<Self, LockError> {
        let path = run.lock_file();
        loop {
            let lock = Self::try_file(run, &path)?;
            // Between opening the file and locking it, its owner may have removed it.
            if lock.is_current() {
                lock.sign().map_err(|source| LockError::Unusable { path, source })?;
                return Ok(lock);
            }
        }
    }

    /// Whether the file system keeps others out. Some shared file systems have no locks; a run
    /// there has to do without.
    pub fn is_enforced(&self) -> bool {
        self.is_enforced
    }

    fn try_file(run: &RunDirectory, path: &Path) -> Result<Self, LockError> {
        let unusable = |source| LockError::Unusable { path: path.into(), source };
        let open =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = open.map_err(unusable)?;
        let is_enforced = match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let process = file.read_to_string(&mut text).ok().and(text.trim().parse().ok());
                return Err(LockError::Held { path: run.path().into(), process });
            }
            Err(TryLockError::Error(error)) => match Errno::from_io_error(&error) {
                Some(Errno::NOSYS | Errno::NOTSUP | Errno::NOLCK) => false,
                _ => return Err(unusable(error)),
            },
        };
        Ok(Self { file, path: path.into(), is_enforced })
    }

    /// Whether the file still has its name: another process would lock the one that has.
    fn is_current(&self) -> bool {
        let identity = |found: fs::Metadata| (found.dev(), found.ino());
        match (fs::metadata(&self.path), self.file.metadata()) {
            (Ok(named), Ok(held)) => identity(named) == identity(held),
            _ => false,
        }
    }

    /// Writes the process id, for the message of a process that finds the directory locked.
    fn sign(&self) -> io::Result<()> {
        self.file.set_len(0)?;
        (&self.file).write_all(format!("{}\n", std::process::id()).as_bytes())
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // Only while this process holds the lock: later the file may be another's. A file that stays
        // does no harm.
        if self.is_current() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> (tempfile::TempDir, RunDirectory) {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDirectory::at(dir.path());
        (dir, run)
    }

    #[test]
    fn a_directory_is_locked_once_and_free_again_afterwards() {
        let (dir, run) = run();
        let lock = RunLock::acquire(&run).unwrap();
        assert!(lock.is_enforced());
        let error = RunLock::acquire(&run).unwrap_err().to_string();
        let expected =
            format!("{}: another process ({}) is", dir.path().display(), std::process::id());
        assert!(error.starts_with(&expected), "expected {expected:?} in {error:?}");
        drop(lock);
        assert!(!run.lock_file().exists(), "the file is still there");
        drop(RunLock::acquire(&run).unwrap());
    }

    #[test]
    fn a_file_that_nobody_holds_is_no_lock() {
        let (_dir, run) = run();
        fs::write(run.lock_file(), "4194304000 and more of a longer text").unwrap();
        let lock = RunLock::acquire(&run).unwrap();
        let text = fs::read_to_string(run.lock_file()).unwrap();
        assert_eq!(text, format!("{}\n", std::process::id()));
        drop(lock);
    }

    #[test]
    fn a_lock_whose_file_was_replaced_leaves_the_new_one() {
        let (_dir, run) = run();
        let first = RunLock::acquire(&run).unwrap();
        fs::remove_file(run.lock_file()).unwrap();
        assert!(!first.is_current());
        let second = RunLock::acquire(&run).unwrap();
        drop(first);
        assert!(run.lock_file().exists(), "another's file was removed");
        assert!(RunLock::acquire(&run).is_err());
        drop(second);
    }

    // Each acquires the lock while another may have opened the file and not yet locked it.
    #[test]
    fn threads_that_come_and_go_never_hold_it_together() {
        let (_dir, run) = run();
        let holders = std::sync::atomic::AtomicUsize::new(0);
        let taken = std::sync::atomic::AtomicUsize::new(0);
        let order = std::sync::atomic::Ordering::SeqCst;
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        if let Ok(_lock) = RunLock::acquire(&run) {
                            assert_eq!(holders.fetch_add(1, order), 0, "two holders");
                            taken.fetch_add(1, order);
                            holders.fetch_sub(1, order);
                        }
                    }
                });
            }
        });
        assert!(taken.load(order) > 0);
    }
}
