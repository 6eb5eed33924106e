//! The layout of a run directory.
//!
//! Knows names and pointers, not what a checkpoint holds.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files::atomic::{make_directory, naming, write_file};

/// A run directory.
#[derive(Clone, Debug)]
pub struct RunDirectory {
    path: PathBuf,
}

/// The content of `best.json` and `latest.json`, which name a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pointer {
    /// The checkpoint's folder under `checkpoints/`.
    pub checkpoint: String,
    /// Outer steps taken.
    pub step: u64,
    /// Macro F1 on the meta-dev domains; absent without an evaluation of this step.
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
    /// The run at `path`, which may not exist yet.
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

    /// The folder of the checkpoint after outer step `step`.
    pub fn checkpoint(&self, step: u64) -> PathBuf {
        self.checkpoints().join(checkpoint_name(step))
    }

    /// The file that a training process keeps locked.
    pub fn lock_file(&self) -> PathBuf {
        self.path.join("run.lock")
    }

    /// The outer steps of the checkpoints, the last one first; none where there is no directory.
    ///
    /// # Errors
    /// A directory that cannot be read.
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
    /// A file that cannot be read, or is no pointer.
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

    /// Removes a pointer, if there is one.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn unpoint(&self, which: Which) -> io::Result<()> {
        remove_file(&self.path.join(which.file()))
    }

    /// The model directory that a `--checkpoint` argument names: the directory itself, or the best
    /// (else the latest) checkpoint of a run. A path that is neither is returned unchanged: the
    /// reader of model directories reports it.
    ///
    /// # Errors
    /// Pointers that cannot be read.
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
}

/// Removes a file, if there is one.
pub(super) fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(naming(path, error)),
        _ => Ok(()),
    }
}

/// Whether a name from a file is a plain one, which cannot lead out of its folder.
pub fn is_plain_name(name: &str) -> bool {
    Path::new(name).file_name().is_some_and(|last| last == name)
}

/// The name of the checkpoint after outer step `step`.
pub fn checkpoint_name(step: u64) -> String {
    format!("step-{step:06}")
}

/// The step in a checkpoint's name; `None` for another name.
pub fn step_of(name: &str) -> Option<u64> {
    let step = name.strip_prefix("step-")?.parse().ok()?;
    (checkpoint_name(step) == name).then_some(step)
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
}
