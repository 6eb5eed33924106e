//! Writes files and directories completely or not at all, whenever the process is killed.
//!
//! They are made under a temporary name in the same folder, and get their own by a rename; fsync
//! before and after it makes both durable. A kill can leave the temporary one: its name begins with
//! `.tmp-`, and once the command has been repeated it can be deleted.

use std::ffi::c_int;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level;
use tempfile::{Builder, NamedTempFile, TempDir};

/// The beginning of temporary names: it marks what an interrupted write leaves.
pub const TEMPORARY_PREFIX: &str = ".tmp-";

/// A file that gets its name when it is committed, and only then.
#[derive(Debug)]
pub struct AtomicFile {
    file: NamedTempFile,
    path: PathBuf,
}

impl AtomicFile {
    /// Starts a file for `path`; its folder must exist.
    ///
    /// # Errors
    /// A folder that can't be written to.
    pub fn create(path: &Path) -> io::Result<Self> {
        // The process's umask takes its share of these permissions, as of any new file's.
        let file = Builder::new()
            .prefix(TEMPORARY_PREFIX)
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(parent_of(path))?;
        Ok(Self { file, path: path.into() })
    }

    /// From now on a signal that ends the process removes the unfinished file first.
    ///
    /// # Errors
    /// The system's, where handlers can't be installed.
    pub fn remove_on_signals(&self) -> io::Result<()> {
        let mut signals = Signals::new(heeded([SIGINT, SIGTERM, SIGHUP]))?;
        let path = self.file.path().to_owned();
        thread::spawn(move || {
            for signal in signals.forever() {
                // Once it has its own name there is nothing to remove.
                let _ = fs::remove_file(&path);
                let _ = low_level::emulate_default_handler(signal);
            }
        });
        Ok(())
    }

    /// Makes the file durable and gives it its name, in place of an older file of that name.
    ///
    /// # Errors
    /// Any error of the file system; the older file then stays.
    pub fn commit(self) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        let temporary = self.file.into_temp_path();
        fs::rename(&temporary, &self.path)?;
        // The temporary name is gone already: there is nothing to remove.
        let _ = temporary.keep();
        sync(parent_of(&self.path))
    }
}

/// Those of `signals` that the process was not started to ignore, as `nohup` and background jobs of scripts are.
fn heeded(signals: [c_int; 3]) -> Vec<c_int> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    signals.into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0).collect()
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes a whole file.
///
/// # Errors
/// Any error of the file system, with the file's name; an older file then stays.
pub fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let write = || {
        let mut file = AtomicFile::create(path)?;
        file.write_all(bytes)?;
        file.commit()
    };
    write().map_err(|error| naming(path, error))
}

/// The same error with the file's name in front.
pub fn naming(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Makes a directory that gets its name only when `fill` has succeeded and every file is durable.
/// It replaces a directory of that name in one step, so that a kill leaves the old one or the new
/// one, complete. Only on a file system that cannot exchange two names does a kill between two
/// renames leave neither, and the old one in a folder `.tmp-*` next to it.
///
/// # Errors
/// Those of `fill`, after which the old directory stays, and any error of the file system, after
/// which the old or the new one has the name.
pub fn write_directory<E: From<io::Error>>(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let parent = parent_of(path);
    make_directory(parent)?;
    let temporary = temporary_directory(parent)?;
    fill(temporary.path())?;
    sync_tree(temporary.path())?;
    if path.exists() {
        return Ok(replace(path, temporary)?);
    }
    rename(temporary, path)?;
    Ok(sync(parent)?)
}

/// Gives `new` the name of the directory `old`, and deletes `old`.
fn replace(old: &Path, new: TempDir) -> io::Result<()> {
    let replaced = match renameat_with(CWD, new.path(), CWD, old, RenameFlags::EXCHANGE) {
        Ok(()) => new,
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => replace_by_two_renames(old, new)?,
        Err(error) => return Err(error.into()),
    };
    let synced = sync(parent_of(old));
    if synced.is_err() {
        // After a crash the old one may have its name again: better a stray folder than a lost one.
        let _ = replaced.keep();
    }
    synced
}

/// Does so where two names cannot be exchanged: rename replaces only empty directories. Returns the
/// folder that now holds the old directory.
fn replace_by_two_renames(path: &Path, new: TempDir) -> io::Result<TempDir> {
    let aside = temporary_directory(parent_of(path))?;
    let old = aside.path().join("replaced");
    fs::rename(path, &old)?;
    if let Err(error) = rename(new, path) {
        if fs::rename(&old, path).is_err() {
            let _ = aside.keep();
        }
        return Err(error);
    }
    Ok(aside)
}

/// Gives a temporary directory its name.
fn rename(directory: TempDir, path: &Path) -> io::Result<()> {
    fs::rename(directory.path(), path)?;
    // The temporary name is gone already: there is nothing to remove.
    let _ = directory.keep();
    Ok(())
}

/// Makes a directory and the folders above it, as far as they are missing, durably.
///
/// # Errors
/// Any error of the file system.
pub fn make_directory(path: &Path) -> io::Result<()> {
    let is_missing = |folder: &&Path| *folder != Path::new("") && !folder.exists();
    let missing: Vec<&Path> = path.ancestors().take_while(is_missing).collect();
    fs::create_dir_all(path)?;
    missing.into_iter().try_for_each(|folder| sync(parent_of(folder)))
}

/// Checks that [`write_directory`] can make `path`, before work is spent on its content.
///
/// # Errors
/// The reason why it cannot.
pub fn ensure_writable(path: &Path) -> io::Result<()> {
    if path.file_name().is_none() {
        return Err(io::Error::other("expected the name of a directory to make"));
    }
    // The nearest folder that exists is where the first new name would go.
    let mut folder = parent_of(path);
    while !folder.exists() {
        folder = parent_of(folder);
    }
    temporary_directory(folder).map(drop)
}

fn temporary_directory(parent: &Path) -> io::Result<TempDir> {
    let permissions = Permissions::from_mode(0o777);
    Builder::new().prefix(TEMPORARY_PREFIX).permissions(permissions).tempdir_in(parent)
}

/// Makes a file or the names in a folder durable.
fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes a folder and everything in it durable.
fn sync_tree(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            sync_tree(&entry?.path())?;
        }
    }
    sync(path)
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_directory_is_replaced_completely_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("out");
        write_directory(&target, |dir| fs::write(dir.join("a"), "old")).unwrap();
        let failed = write_directory(&target, |dir| {
            fs::write(dir.join("a"), "new")?;
            Err(io::Error::other("disk full"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "disk full");
        assert_eq!(fs::read_to_string(target.join("a")).unwrap(), "old");
        assert_eq!(names(root.path()), ["out"]);
        write_directory(&target, |dir| fs::write(dir.join("b"), "new")).unwrap();
        assert_eq!(names(&target), ["b"]);
        assert_eq!(names(root.path()), ["out"]);
    }

    #[test]
    fn without_an_exchange_of_names_two_renames_replace_a_directory() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("out");
        write_directory(&target, |dir| fs::write(dir.join("a"), "old")).unwrap();
        let new = temporary_directory(root.path()).unwrap();
        fs::write(new.path().join("b"), "new").unwrap();
        let aside = replace_by_two_renames(&target, new).unwrap();
        assert_eq!(names(&target), ["b"]);
        assert_eq!(names(&aside.path().join("replaced")), ["a"]);
        drop(aside);
        assert_eq!(names(root.path()), ["out"]);

        // The second rename fails, since its source is gone.
        let gone = temporary_directory(root.path()).unwrap();
        fs::remove_dir(gone.path()).unwrap();
        assert!(replace_by_two_renames(&target, gone).is_err());
        assert_eq!(names(&target), ["b"], "the old directory is back");
        assert_eq!(names(root.path()), ["out"]);
    }

    #[test]
    fn an_uncommitted_file_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a");
        write_file(&path, b"old").unwrap();
        AtomicFile::create(&path).unwrap().write_all(b"half of the ne").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(root.path()), ["a"]);
    }

    #[test]
    fn a_directory_is_made_with_the_folders_above_it() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b/c");
        make_directory(&path).unwrap();
        fs::write(path.join("d"), "").unwrap();
        make_directory(&path).unwrap();
        assert_eq!(names(&path), ["d"]);
        assert!(make_directory(&path.join("d")).is_err(), "a file is no directory");
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_is_found_before_the_work() {
        let root = tempfile::tempdir().unwrap();
        assert!(ensure_writable(&root.path().join("a/b/c")).is_ok());
        assert_eq!(names(root.path()), [] as [&str; 0]);
        fs::write(root.path().join("file"), "").unwrap();
        assert!(ensure_writable(&root.path().join("file/out")).is_err());
        assert!(ensure_writable(Path::new("..")).is_err());
    }
}
