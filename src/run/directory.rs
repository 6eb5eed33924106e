//! The layout of a run directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::environment::Environment;
use crate::files::atomic::{TEMPORARY_PREFIX, make_directory, naming, write_file};

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
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn create(&self) -> io::Result<()> {
        make_directory(&self.checkpoints())
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

    /// `tensorboard/`.
    pub fn tensorboard(&self) -> PathBuf {
        self.path.join("tensorboard")
    }

    /// `checkpoints/`.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// The folder of the checkpoint behind outer step `step`.
    pub fn checkpoint(&self, step: u64) -> PathBuf {
        self.checkpoints().join(checkpoint_name(step))
    }

    /// The file that a process which trains here holds locked.
    pub fn lock_file(&self) -> PathBuf {
        self.path.join("run.lock")
    }

    /// The outer steps that there are checkpoints of, the last one first.
    ///
    /// # Errors
    /// An unreadable directory; one that is not there holds none.
    pub fn steps(&self) -> io::Result<Vec<u64>> {
        let entries = match fs::read_dir(self.checkpoints()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut steps = Vec::new();
        for entry in entries {
            steps.extend(step_of(&entry?.file_name().to_string_lossy()));
        }
        steps.sort_unstable_by(|a, b| b.cmp(a));
        Ok(steps)
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
        if !is_plain_name(&pointer.checkpoint) {
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
        write_file(&self.path.join(which.file()), &text)
    }

    /// Removes a pointer, if it is there.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn unpoint(&self, which: Which) -> io::Result<()> {
        remove_file(&self.path.join(which.file()))
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

    /// Whether anything is there but what a process leaves that is killed before it has written
    /// `config.toml`, and with that has begun the run.
    pub fn is_in_use(&self) -> bool {
        let Ok(mut entries) = fs::read_dir(&self.path) else { return self.path.exists() };
        entries.any(|entry| !entry.is_ok_and(|entry| self.is_of_an_unbegun_run(&entry.path())))
    }

    fn is_of_an_unbegun_run(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_empty = || fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
        name.starts_with(TEMPORARY_PREFIX)
            || path == self.lock_file()
            || (path == self.checkpoints() && is_empty())
            // Another program's file of this name is not ours to replace.
            || (path == self.environment_file() && Environment::read(self).is_ok())
    }

    /// Refuses a directory that is in use, unless `force`.
    ///
    /// # Errors
    /// [`OutputExists`].
    pub fn ensure_free(&self, force: bool) -> Result<(), OutputExists> {
        match self.is_in_use() && !force {
            true => Err(OutputExists { path: self.path.clone() }),
            false => Ok(()),
        }
    }

    /// Removes what a run consists of. The directory stays, with the lock under which this is done.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn remove(&self) -> io::Result<()> {
        // Without `config.toml` nobody resumes what a kill has left of the rest, and by
        // `environment.json` it is known that it may be replaced.
        remove_file(&self.config_file())?;
        for directory in [self.checkpoints(), self.tensorboard()] {
            if directory.exists() {
                fs::remove_dir_all(directory)?;
            }
        }
        for which in [Which::Best, Which::Latest] {
            self.unpoint(which)?;
        }
        remove_file(&self.events_file())?;
        remove_file(&self.environment_file())
    }
}

/// Removes a file, if it is there.
fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(naming(path, error)),
        _ => Ok(()),
    }
}

/// Whether a name that was read from a file is that of something in one folder, and leads nowhere
/// else.
pub fn is_plain_name(name: &str) -> bool {
    Path::new(name).file_name().is_some_and(|last| last == name)
}

/// The name of the checkpoint behind outer step `step`; names sort like steps.
pub fn checkpoint_name(step: u64) -> String {
    format!("step-{step:06}")
}

/// The step that a checkpoint's name states; `None` for names that are no checkpoint's.
pub fn step_of(name: &str) -> Option<u64> {
    let step = name.strip_prefix("step-")?.parse().ok()?;
    (checkpoint_name(step) == name).then_some(step)
}

/// Refuses to replace, even with `--force`, what is no model directory, and what holds one of
/// `inputs`.
///
/// # Errors
/// The reason, in one line.
pub fn ensure_replaceable_model(path: &Path, inputs: &[&Path]) -> Result<(), String> {
    let shown = path.display();
    let Ok(mut entries) = fs::read_dir(path) else { return Ok(()) };
    if entries.next().is_some() && !path.join("config.json").is_file() {
        return Err(format!(
            "{shown}: expected a model directory to replace, found another; remove it by hand"
        ));
    }
    let Ok(inside) = path.canonicalize() else { return Ok(()) };
    for input in inputs {
        if input.canonicalize().is_ok_and(|input| input.starts_with(&inside)) {
            return Err(format!(
                "{shown}: cannot be replaced, since {}, which is read, is in it",
                input.display()
            ));
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_cannot_lead_out_of_the_run() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDirectory::at(root.path());
        for name in ["../../elsewhere", "..", ".", "", "/", "/tmp", "a/b", "./a", "a/", "a/.."] {
            let pointer = Pointer { checkpoint: name.into(), step: 1, macro_f1: None };
            run.point(Which::Latest, &pointer).unwrap();
            let error = RunDirectory::resolve(root.path()).unwrap_err().to_string();
            assert!(error.contains(&format!("found \"{name}\"")), "{name:?}: {error}");
        }
        let pointer = Pointer { checkpoint: checkpoint_name(1), step: 1, macro_f1: None };
        run.point(Which::Latest, &pointer).unwrap();
        assert_eq!(RunDirectory::resolve(root.path()).unwrap(), run.checkpoint(1));
    }

    #[test]
    fn steps_are_those_of_checkpoints_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDirectory::at(root.path());
        assert_eq!(run.steps().unwrap(), [] as [u64; 0]);
        run.create().unwrap();
        for name in ["step-000010", "step-1234567", "step-000010-mine", "step-10", ".tmp-a", "x"] {
            fs::create_dir(run.checkpoints().join(name)).unwrap();
        }
        assert_eq!(run.steps().unwrap(), [1_234_567, 10]);
    }

    #[test]
    fn a_directory_with_what_a_kill_leaves_before_the_run_has_begun_is_free() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDirectory::at(root.path());
        assert!(!RunDirectory::at(root.path().join("absent")).is_in_use());
        fs::write(run.lock_file(), "").unwrap();
        fs::write(root.path().join(".tmp-abc"), "{").unwrap();
        run.create().unwrap();
        assert!(!run.is_in_use());
        fs::write(run.environment_file(), "[\"another program's\"]").unwrap();
        assert!(run.is_in_use());
        Environment::default().write(&run).unwrap();
        assert!(!run.is_in_use());
        for path in [run.config_file(), run.checkpoints().join("a"), root.path().join("a")] {
            fs::write(&path, "").unwrap();
            assert!(run.is_in_use(), "{}", path.display());
            fs::remove_file(path).unwrap();
        }
        fs::write(root.path().join("a"), "").unwrap();
        assert!(RunDirectory::at(root.path().join("a")).is_in_use());
    }

    #[test]
    fn a_run_is_removed_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDirectory::at(root.path());
        run.create().unwrap();
        fs::create_dir(run.tensorboard()).unwrap();
        fs::create_dir(run.checkpoint(1)).unwrap();
        let pointers = ["best.json", "latest.json"].map(|name| root.path().join(name));
        let files = [run.config_file(), run.events_file(), run.environment_file()];
        for file in files.iter().chain(&pointers).chain([&root.path().join("notes.txt")]) {
            fs::write(file, "").unwrap();
        }
        run.remove().unwrap();
        run.remove().unwrap();
        let left: Vec<_> = fs::read_dir(root.path()).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(left, [root.path().join("notes.txt")]);
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
