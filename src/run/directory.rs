//! The layout of a run directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::atomic::{TEMPORARY_PREFIX, write_file};

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
        write_file(&self.path.join(which.file()), &text)
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

    /// Deletes all checkpoints but the `keep_last` latest and those that the pointers name, and what
    /// interrupted writes left. Whatever else lies there is not ours, and stays.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn prune(&self, keep_last: usize) -> io::Result<()> {
        let mut steps = Vec::new();
        for entry in fs::read_dir(self.checkpoints())? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(TEMPORARY_PREFIX) {
                fs::remove_dir_all(entry.path())?;
            } else if let Some(step) = step_of(&name) {
                steps.push(step);
            }
        }
        steps.sort_unstable_by(|a, b| b.cmp(a));
        let mut kept = Vec::new();
        for which in [Which::Best, Which::Latest] {
            kept.extend(self.pointer(which)?.and_then(|pointer| step_of(&pointer.checkpoint)));
        }
        for step in steps.into_iter().skip(keep_last.max(1)).filter(|step| !kept.contains(step)) {
            fs::remove_dir_all(self.checkpoint(step))?;
        }
        Ok(())
    }

    /// Removes what a run consists of, and the directory itself if nothing else is in it.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn remove(&self) -> io::Result<()> {
        for directory in [self.checkpoints(), self.tensorboard()] {
            if directory.exists() {
                fs::remove_dir_all(directory)?;
            }
        }
        let pointers = [Which::Best, Which::Latest].map(|which| self.path.join(which.file()));
        let files = [self.config_file(), self.environment_file(), self.events_file()];
        for file in files.into_iter().chain(pointers) {
            if file.exists() {
                fs::remove_file(file)?;
            }
        }
        if fs::read_dir(&self.path)?.next().is_none() {
            fs::remove_dir(&self.path)?;
        }
        Ok(())
    }
}

/// The name of the checkpoint behind outer step `step`; names sort like steps.
pub fn checkpoint_name(step: u64) -> String {
    format!("step-{step:06}")
}

/// The step that a checkpoint's name states; `None` for names that are no checkpoint's.
fn step_of(name: &str) -> Option<u64> {
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

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
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
        fs::write(run.checkpoints().join("notes.txt"), "mine").unwrap();
        fs::create_dir(run.checkpoints().join("step-000010-mine")).unwrap();
        let point = |which, step| {
            let pointer = Pointer { checkpoint: checkpoint_name(step), step, macro_f1: None };
            run.point(which, &pointer).unwrap();
        };
        point(Which::Best, 20);
        point(Which::Latest, 40);
        run.prune(1).unwrap();
        assert_eq!(
            names(&run.checkpoints()),
            ["notes.txt", "step-000010-mine", "step-000020", "step-000040"]
        );
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
