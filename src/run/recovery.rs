//! Which checkpoints of a run are intact, and from which one it resumes.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::checkpoint::Progress;
use super::directory::{RunDirectory, Which, checkpoint_name};
use super::manifest;

/// Every checkpoint of a run is damaged.
#[derive(Debug, Error)]
#[error("{path}: none of its checkpoints is intact: {}", problems.join("; "))]
pub struct NoneIntact {
    /// The run directory.
    pub path: PathBuf,
    /// The problems of each of them.
    pub problems: Vec<String>,
}

/// The newest intact checkpoint of a run.
#[derive(Debug)]
pub struct Recovery {
    /// The checkpoint.
    pub checkpoint: PathBuf,
    /// The problems of the checkpoints and pointers that the search tried first.
    pub problems: Vec<String>,
}

/// All intact checkpoints of a run, the newest first.
///
/// # Errors
/// A directory that cannot be read.
pub fn intact(run: &RunDirectory) -> io::Result<Vec<PathBuf>> {
    let all = run.steps()?.into_iter().map(|step| run.checkpoint(step));
    Ok(all.filter(|checkpoint| manifest::verify(checkpoint).is_ok()).collect())
}

/// Finds the checkpoint to resume from: the latest, or the newest intact one before it. `None` for a
/// run that was stopped before its first one.
///
/// # Errors
/// [`NoneIntact`] if there are checkpoints, all damaged.
pub fn newest_intact(run: &RunDirectory) -> Result<Option<Recovery>, NoneIntact> {
    let mut problems = Vec::new();
    let latest = run.pointer(Which::Latest).unwrap_or_else(|error| {
        problems.push(error.to_string());
        None
    });
    problems.extend(run.pointer(Which::Best).err().map(|error| error.to_string()));
    let mut names: Vec<String> = latest.iter().map(|latest| latest.checkpoint.clone()).collect();
    match run.steps() {
        Ok(steps) => {
            // A checkpoint newer than the pointer was never finished: its step is taken again.
            let is_earlier = |step: &u64| latest.as_ref().is_none_or(|latest| *step < latest.step);
            names.extend(steps.into_iter().filter(is_earlier).map(checkpoint_name));
        }
        Err(error) => problems.push(format!("{}: {error}", run.checkpoints().display())),
    }
    if latest.is_none() && problems.is_empty() && !names.is_empty() {
        problems.push(format!("{}: no latest.json", run.path().display()));
    }
    for name in names {
        let checkpoint = run.checkpoints().join(name);
        match manifest::verify(&checkpoint) {
            Ok(()) => return Ok(Some(Recovery { checkpoint, problems })),
            Err(damage) => problems.push(damage.to_string()),
        }
    }
    match problems.is_empty() {
        true => Ok(None),
        false => Err(NoneIntact { path: run.path().into(), problems }),
    }
}

/// Takes back the pointers of a run that resumes from `progress` if they name later checkpoints:
/// damaged ones, or one that a kill left without a pointer from `latest.json`.
///
/// # Errors
/// Any error of the file system.
pub fn restore_pointers(run: &RunDirectory, progress: &Progress) -> io::Result<()> {
    // A pointer to this step stays: it can hold the score of an evaluation that came after the
    // checkpoint was written.
    let best = run.pointer(Which::Best).ok().flatten();
    if best.is_none_or(|best| best.step > progress.step) {
        match progress.best_pointer() {
            Some(best) => run.point(Which::Best, &best)?,
            None => run.unpoint(Which::Best)?,
        }
    }
    // Last, as always: a kill before it changes nothing.
    let latest = run.pointer(Which::Latest).ok().flatten();
    if latest.is_none_or(|latest| latest.step != progress.step) {
        run.point(Which::Latest, &progress.pointer())?;
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use super::*;
    use crate::run::directory::Pointer;

    /// A run with checkpoints of these steps, small ones, and a pointer to the latest.
    pub fn run_with(steps: &[u64], latest: Option<u64>) -> (tempfile::TempDir, RunDirectory) {
        let root = tempfile::tempdir().unwrap();
        let run = RunDirectory::at(root.path());
        run.create().unwrap();
        for &step in steps {
            let dir = run.checkpoint(step);
            fs::create_dir(&dir).unwrap();
            for file in ["config.json", "model.safetensors"] {
                fs::write(dir.join(file), file).unwrap();
            }
            manifest::write(&dir).unwrap();
        }
        if let Some(step) = latest {
            let pointer = Pointer { checkpoint: checkpoint_name(step), step, macro_f1: None };
            run.point(Which::Latest, &pointer).unwrap();
        }
        (root, run)
    }

    fn found(run: &RunDirectory) -> (PathBuf, usize) {
        let Recovery { checkpoint, problems } = newest_intact(run).unwrap().unwrap();
        (checkpoint, problems.len())
    }

    #[test]
    fn an_intact_latest_checkpoint_is_the_one_to_resume_from() {
        // The search ignores one that the pointer never reached.
        let (_root, run) = run_with(&[10, 20, 30], Some(20));
        assert_eq!(found(&run), (run.checkpoint(20), 0));
    }

    #[test]
    fn a_damaged_latest_gives_way_to_the_newest_intact_one() {
        let (_root, run) = run_with(&[10, 20, 30, 40], Some(40));
        fs::write(run.checkpoint(40).join("config.json"), "").unwrap();
        fs::remove_file(run.checkpoint(30).join("model.safetensors")).unwrap();
        assert_eq!(found(&run), (run.checkpoint(20), 2));
        assert_eq!(intact(&run).unwrap(), [run.checkpoint(20), run.checkpoint(10)]);
        fs::remove_dir_all(run.checkpoint(40)).unwrap();
        assert_eq!(found(&run), (run.checkpoint(20), 2));
    }

    #[test]
    fn a_checkpoint_without_a_manifest_is_not_intact() {
        let (_root, run) = run_with(&[10, 20], Some(20));
        fs::remove_file(run.checkpoint(20).join(manifest::MANIFEST_FILE)).unwrap();
        assert_eq!(found(&run), (run.checkpoint(10), 1));
    }

    #[test]
    fn a_lost_pointer_loses_no_checkpoint() {
        let (_root, run) = run_with(&[10, 20], None);
        assert_eq!(found(&run), (run.checkpoint(20), 1));
        for pointer in ["latest.json", "best.json"] {
            fs::write(run.path().join(pointer), "{").unwrap();
        }
        assert_eq!(found(&run), (run.checkpoint(20), 2));
    }

    #[test]
    fn without_an_intact_one_the_error_names_every_problem() {
        let (_root, run) = run_with(&[10, 20], Some(20));
        for step in [10, 20] {
            fs::write(run.checkpoint(step).join("config.json"), "").unwrap();
        }
        let error = newest_intact(&run).unwrap_err().to_string();
        for part in ["step-000010: damaged: config.json", "step-000020: damaged: config.json"] {
            assert!(error.contains(part), "expected {part:?} in {error:?}");
        }
        let (_root, none) = run_with(&[], None);
        assert!(newest_intact(&none).unwrap().is_none());
    }

    #[test]
    fn pointers_to_later_steps_are_taken_back() {
        let (_root, run) = run_with(&[10, 20, 30], Some(30));
        let at = |step| Progress { step, ..Progress::default() };
        run.point(Which::Best, &at(30).pointer()).unwrap();
        let mut progress = at(10);
        restore_pointers(&run, &progress).unwrap();
        assert_eq!(run.pointer(Which::Best).unwrap(), None);
        assert_eq!(run.pointer(Which::Latest).unwrap(), Some(progress.pointer()));
        progress.evaluated(0.5);
        progress.step = 20;
        restore_pointers(&run, &progress).unwrap();
        assert_eq!(run.pointer(Which::Best).unwrap(), progress.best_pointer());
        assert_eq!(run.pointer(Which::Latest).unwrap(), Some(progress.pointer()));
    }

    #[test]
    fn pointers_with_a_later_score_of_the_step_stay() {
        let (_root, run) = run_with(&[10, 20], None);
        let mut progress = Progress { step: 10, ..Progress::default() };
        progress.evaluated(0.5);
        progress.step = 20;
        let written = progress.clone();
        progress.evaluated(0.6);
        for which in [Which::Best, Which::Latest] {
            run.point(which, &progress.pointer()).unwrap();
        }
        restore_pointers(&run, &written).unwrap();
        for which in [Which::Best, Which::Latest] {
            assert_eq!(run.pointer(which).unwrap(), Some(progress.pointer()));
        }
    }
}
