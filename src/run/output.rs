//! Whether an output may be written: its place is free, or `--force` may replace what is there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::directory::{RunDirectory, Which, remove_file};
use super::environment::Environment;
use crate::files::atomic::TEMPORARY_PREFIX;

/// There is something at an output path already.
#[derive(Debug, Error)]
#[error("{path}: exists and is not empty; name another, or pass --force to replace it")]
pub struct OutputExists {
    /// The path.
    pub path: PathBuf,
}

/// Refuses a path where there is something already, unless `force`. An empty directory is free.
///
/// # Errors
/// [`OutputExists`].
pub fn ensure_free(path: &Path, force: bool) -> Result<(), OutputExists> {
    match is_in_use(path) && !force {
        true => Err(OutputExists { path: path.into() }),
        false => Ok(()),
    }
}

/// Refuses to replace, even with `--force`, anything but a model directory, and one that holds one
/// of the `inputs`.
///
/// # Errors
/// The reason, in one line.
pub fn ensure_replaceable_model(path: &Path, inputs: &[&Path]) -> Result<(), String> {
    let shown = path.display();
    if is_in_use(path) && !path.join("config.json").is_file() {
        return Err(format!(
            "{shown}: expected a model directory to replace, found something else; remove it by hand"
        ));
    }
    let Ok(path) = path.canonicalize() else { return Ok(()) };
    let is_inside =
        |input: &&&Path| input.canonicalize().is_ok_and(|input| input.starts_with(&path));
    match inputs.iter().find(is_inside) {
        Some(input) => Err(format!(
            "{shown}: cannot be replaced, because this command reads {} in it",
            input.display()
        )),
        None => Ok(()),
    }
}

fn is_in_use(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => path.exists(),
    }
}

impl RunDirectory {
    /// Whether the directory holds something. The few files of a process that was killed before it
    /// wrote `config.toml`, with which a run begins, do not count.
    pub fn is_in_use(&self) -> bool {
        let Ok(mut entries) = fs::read_dir(self.path()) else { return self.path().exists() };
        entries.any(|entry| !entry.is_ok_and(|entry| self.is_of_an_unbegun_run(&entry.path())))
    }

    fn is_of_an_unbegun_run(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_empty = || fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
        name.starts_with(TEMPORARY_PREFIX)
            || path == self.lock_file()
            || (path == self.checkpoints() && is_empty())
            // A file of this name from another program counts: it must not be replaced.
            || (path == self.environment_file() && Environment::read(self).is_ok())
    }

    /// Refuses a directory that is in use, unless `force`.
    ///
    /// # Errors
    /// [`OutputExists`].
    pub fn ensure_free(&self, force: bool) -> Result<(), OutputExists> {
        match self.is_in_use() && !force {
            true => Err(OutputExists { path: self.path().into() }),
            false => Ok(()),
        }
    }

    /// Removes the files of a run. The directory stays, with the lock file, which the caller holds.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn remove(&self) -> io::Result<()> {
        // `config.toml` goes first: without it, nothing resumes from the rest after a kill.
        // `environment.json` goes last: it marks the directory as a run, which may be replaced.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_directory_with_something_in_it_is_in_use() {
        let root = tempfile::tempdir().unwrap();
        assert!(ensure_free(root.path(), false).is_ok());
        assert!(ensure_free(&root.path().join("absent"), false).is_ok());
        fs::write(root.path().join("a"), "").unwrap();
        assert!(ensure_free(root.path(), false).is_err());
        assert!(ensure_free(root.path(), true).is_ok());
        assert!(ensure_free(&root.path().join("a"), false).is_err());
    }

    #[test]
    fn only_a_model_directory_without_inputs_is_replaceable() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path();
        let model = path.join("model");
        assert_eq!(ensure_replaceable_model(&model, &[&model]), Ok(()));
        fs::create_dir(&model).unwrap();
        assert_eq!(ensure_replaceable_model(&model, &[]), Ok(()));
        fs::write(model.join("config.json"), "{}").unwrap();
        assert_eq!(ensure_replaceable_model(&model, &[path]), Ok(()));
        for input in [model.clone(), model.join("config.json")] {
            let reason = ensure_replaceable_model(&model, &[path, &input]).unwrap_err();
            let expected = format!("this command reads {} in it", input.display());
            assert!(reason.ends_with(&expected), "expected {expected:?} in {reason:?}");
        }
        for other in [path.to_owned(), model.join("config.json")] {
            let reason = ensure_replaceable_model(&other, &[]).unwrap_err();
            assert!(reason.contains("found something else"), "{reason}");
        }
    }

    #[test]
    fn a_run_that_was_killed_before_it_began_leaves_its_directory_free() {
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
}
