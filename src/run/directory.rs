//! The layout of a run directory, and writes that a crash cannot leave half done.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An output path that is in use already.
#[derive(Debug, Error)]
#[error("{path}: exists and is not empty; name another, or pass --force to replace it")]
pub struct OutputExists {
    /// The path.
    pub path: PathBuf,
}

/// A run directory.
#[derive(Clone, Debug)]
pub struct RunDirectory {
    path: PathBuf,
}

/// A file that points to a checkpoint: `best.json` and `latest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pointer {
    /// Name of the checkpoint's folder under `checkpoints/`.
    pub checkpoint: String,
    /// Outer steps taken.
    pub step: u64,
    /// Macro F1 on the meta-dev domains; absent where none was measured.
    pub macro_f1: Option<f64>,
}

/// Which checkpoint of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The best on the meta-dev domains.
    Best,
    /// The last one written.
    Latest,
}

impl Which {
    fn file(self) -> &'static str {
        match self {
            Self::Best => "best.json",
            Self::Latest => "latest.json",
        }
    }
}

impl RunDirectory {
    /// The run at `path`, which need not exist yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Makes the directory and its `checkpoints/`.
    pub fn create(&self) -> io::Result<()> {
        fs::create_dir_all(self.checkpoints())
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `config.toml`.
    pub fn config_file(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// `environment.json`.
    pub fn environment_file(&self) -> PathBuf {
        self.path.join("environment.json")
    }

    /// `events.jsonl`.
    pub fn events_file(&self) -> PathBuf {
        self.path.join("events.jsonl")
    }

    /// `checkpoints/`.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// The folder of the checkpoint behind outer step `step`.
    pub fn checkpoint(&self, step: u64) -> PathBuf {
        self.checkpoints().join(checkpoint_name(step))
    }

    /// Reads a pointer; `None` where there is none.
    ///
    /// # Errors
    /// An unreadable or malformed file.
    pub fn pointer(&self, which: Which) -> io::Result<Option<Pointer>> {
        let path = self.path.join(which.file());
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let pointer: Pointer = serde_json::from_slice(&text)
            .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
        if Path::new(&pointer.checkpoint).components().count() != 1 {
            return Err(io::Error::other(format!(
                "{}: expected the name of a checkpoint, found \"{}\"",
                path.display(),
                pointer.checkpoint
            )));
        }
        Ok(Some(pointer))
    }

    /// Writes a pointer.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn point(&self, which: Which, pointer: &Pointer) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(pointer)?;
        write_file_atomically(&self.path.join(which.file()), &text)
    }

    /// The model directory that a `--checkpoint` argument means: the directory itself, or the
    /// best (else the latest) checkpoint of a run.
    ///
    /// # Errors
    /// Unreadable pointers; a directory that is neither is returned as it is, for the reader of
    /// model directories to describe.
    pub fn resolve(argument: &Path) -> io::Result<PathBuf> {
        if argument.join("config.json").exists() {
            return Ok(argument.into());
        }
        let run = Self::at(argument);
        for which in [Which::Best, Which::Latest] {
            if let Some(pointer) = run.pointer(which)? {
                return Ok(run.checkpoints().join(pointer.checkpoint));
            }
        }
        Ok(argument.into())
    }

    /// Deletes all checkpoints but the `keep_last` latest and the one that `best.json` names, and
    /// what interrupted writes left.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn prune(&self, keep_last: usize) -> io::Result<()> {
        let best = self.pointer(Which::Best)?.map(|pointer| pointer.checkpoint);
        let latest = self.pointer(Which::Latest)?.map(|pointer| pointer.checkpoint);
        let mut names: Vec<String> = fs::read_dir(self.checkpoints())?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<_>>()?;
        names.sort_unstable_by(|a, b| b.cmp(a));
        let (complete, leftovers): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|name| name.starts_with("step-"));
        let superseded = complete
            .into_iter()
            .skip(keep_last.max(1))
            .filter(|name| Some(name) != best.as_ref() && Some(name) != latest.as_ref());
        for name in superseded.chain(leftovers) {
            fs::remove_dir_all(self.checkpoints().join(name))?;
        }
        Ok(())
    }
}

/// The name of the checkpoint behind outer step `step`; names sort like steps.
pub fn checkpoint_name(step: u64) -> String {
    format!("step-{step:06}")
}

/// Refuses a directory that exists and holds something, unless `force`.
///
/// # Errors
/// [`OutputExists`].
pub fn ensure_free(path: &Path, force: bool) -> Result<(), OutputExists> {
    let in_use = match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => path.exists(),
    };
    if in_use && !force { Err(OutputExists { path: path.into() }) } else { Ok(()) }
}

/// Writes a file so that it holds either its old bytes or all of the new ones, whatever happens.
///
/// # Errors
/// Any error of the file system.
pub fn write_file_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = parent_of(path);
    let mut file = tempfile::Builder::new().prefix(".tmp-").tempfile_in(parent)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    // Temporary files are private to their owner; a result is as readable as any other file.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    }
    file.persist(path).map_err(|error| error.error)?;
    File::open(parent)?.sync_all()
}

/// Makes a directory that appears under its name only when `fill` has succeeded and every file is
/// durable. A directory already there is replaced.
///
/// # Errors
/// Those of `fill`, and any error of the file system; then nothing has changed.
pub fn write_directory_atomically<E: From<io::Error>>(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let parent = parent_of(path);
    fs::create_dir_all(parent)?;
    let temporary = tempfile::Builder::new().prefix(".tmp-").tempdir_in(parent)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(temporary.path(), fs::Permissions::from_mode(0o755))?;
    }
    fill(temporary.path())?;
    for entry in fs::read_dir(temporary.path())? {
        File::open(entry?.path())?.sync_all()?;
    }
    File::open(temporary.path())?.sync_all()?;
    // A directory that is in the way is moved aside first: rename replaces only empty ones.
    let aside = path
        .exists()
        .then(|| tempfile::Builder::new().prefix(".tmp-").tempdir_in(parent))
        .transpose()?;
    if let Some(aside) = &aside {
        fs::rename(path, aside.path().join("replaced"))?;
    }
    fs::rename(temporary.keep(), path)?;
    Ok(File::open(parent)?.sync_all()?)
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
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_failed_write_leaves_the_old_directory_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("out");
        write_directory_atomically(&target, |dir| fs::write(dir.join("a"), "old")).unwrap();
        let failed = write_directory_atomically(&target, |dir| {
            fs::write(dir.join("a"), "new")?;
            Err(io::Error::other("disk full"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "disk full");
        assert_eq!(fs::read_to_string(target.join("a")).unwrap(), "old");
        assert_eq!(names(root.path()), ["out"]);
        write_directory_atomically(&target, |dir| fs::write(dir.join("b"), "new")).unwrap();
        assert_eq!(names(&target), ["b"]);
        assert_eq!(names(root.path()), ["out"]);
    }

    #[test]
    fn pruning_keeps_the_best_and_the_latest() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDirectory::at(root.path());
        run.create().unwrap();
        for step in [10, 20, 30, 40] {
            fs::create_dir(run.checkpoint(step)).unwrap();
        }
        fs::create_dir(run.checkpoints().join(".tmp-abc")).unwrap();
        let point = |which, step| {
            let pointer = Pointer { checkpoint: checkpoint_name(step), step, macro_f1: None };
            run.point(which, &pointer).unwrap();
        };
        point(Which::Best, 20);
        point(Which::Latest, 40);
        run.prune(1).unwrap();
        assert_eq!(names(&run.checkpoints()), ["step-000020", "step-000040"]);
        assert_eq!(RunDirectory::resolve(root.path()).unwrap(), run.checkpoint(20));
    }

    #[test]
    fn a_pointer_cannot_lead_out_of_the_run() {
        let root = tempfile::tempdir().unwrap();
        let text = r#"{"checkpoint": "../../elsewhere", "step": 1, "macro_f1": null}"#;
        fs::write(root.path().join("latest.json"), text).unwrap();
        let error = RunDirectory::resolve(root.path()).unwrap_err().to_string();
        assert!(error.contains("../../elsewhere"), "{error}");
    }

    #[test]
    fn only_a_directory_with_something_in_it_is_in_use() {
        let root = tempfile::tempdir().unwrap();
        assert!(ensure_free(root.path(), false).is_ok());
        assert!(ensure_free(&root.path().join("absent"), false).is_ok());
        fs::write(root.path().join("a"), "").unwrap();
        assert!(ensure_free(root.path(), false).is_err());
        assert!(ensure_free(root.path(), true).is_ok());
    }
}
