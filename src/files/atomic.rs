//! Writes that a crash cannot leave half done: a temporary name beside the place, fsync, rename,
//! fsync of the folder.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile, TempDir};

/// What temporary names begin with: what an interrupted write leaves can be told by it.
pub const TEMPORARY_PREFIX: &str = ".tmp-";

/// A file that appears under its name when it is committed, and never otherwise.
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

    /// Makes the file durable and gives it its name, replacing what had it.
    ///
    /// # Errors
    /// Any error of the file system; then the old file is still there.
    pub fn commit(self) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        let temporary = self.file.into_temp_path();
        fs::rename(&temporary, &self.path)?;
        // Nothing has the temporary name any more that would have to be removed.
        let _ = temporary.keep();
        File::open(parent_of(&self.path))?.sync_all()
    }
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
/// Any error of the file system, which names the file; then the old file is still there.
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

/// Makes a directory that appears under its name only when `fill` has succeeded and every file is
/// durable. A directory already there is replaced.
///
/// # Errors
/// Those of `fill`, and any error of the file system; then the old directory is still there.
pub fn write_directory<E: From<io::Error>>(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let parent = parent_of(path);
    make_directory(parent)?;
    let temporary = temporary_directory(parent)?;
    fill(temporary.path())?;
    for entry in fs::read_dir(temporary.path())? {
        File::open(entry?.path())?.sync_all()?;
    }
    File::open(temporary.path())?.sync_all()?;
    replace(temporary, path)?;
    Ok(File::open(parent)?.sync_all()?)
}

/// Makes a directory with the folders above it, unless it is there, and their names durable.
///
/// # Errors
/// Any error of the file system.
pub fn make_directory(path: &Path) -> io::Result<()> {
    let is_missing = |folder: &&Path| *folder != Path::new("") && !folder.exists();
    let missing: Vec<&Path> = path.ancestors().take_while(is_missing).collect();
    fs::create_dir_all(path)?;
    missing.into_iter().try_for_each(|folder| File::open(parent_of(folder))?.sync_all())
}

/// Requires that [`write_directory`] could make `path`, before work is spent on what goes there.
///
/// # Errors
/// The reason why it could not.
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

/// Gives `new` the name `path`. Rename replaces only empty directories, so that one in the way is
/// moved aside first, and back if the second rename fails.
fn replace(new: TempDir, path: &Path) -> io::Result<()> {
    if !path.exists() {
        fs::rename(new.path(), path)?;
        let _ = new.keep();
        return Ok(());
    }
    let aside = temporary_directory(parent_of(path))?;
    let old = aside.path().join("replaced");
    fs::rename(path, &old)?;
    if let Err(error) = fs::rename(new.path(), path) {
        if fs::rename(&old, path).is_err() {
            // Better a stray folder than a lost one.
            let _ = aside.keep();
        }
        return Err(error);
    }
    let _ = new.keep();
    // Before the old one is deleted: of the two, one has to last.
    File::open(parent_of(path))?.sync_all()
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
    fn a_failed_write_leaves_the_old_directory_and_nothing_else() {
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
    fn a_place_that_cannot_be_written_is_known_beforehand() {
        let root = tempfile::tempdir().unwrap();
        assert!(ensure_writable(&root.path().join("a/b/c")).is_ok());
        assert_eq!(names(root.path()), [] as [&str; 0]);
        fs::write(root.path().join("file"), "").unwrap();
        assert!(ensure_writable(&root.path().join("file/out")).is_err());
        assert!(ensure_writable(Path::new("..")).is_err());
    }
}
