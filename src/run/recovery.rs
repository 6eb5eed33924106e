//! Which checkpoints of a run are intact, and from which it goes on.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::checkpoint::Progress;
use super::directory::{RunDirectory, Which, checkpoint_name};
use super::manifest::{self, Damage};

/// No checkpoint of a run is left to go on from.
#[derive(Debug, Error)]
#[error("{path}: none of its checkpoints is intact: {}", problems.join("; "))]
pub struct NoneIntact {
    /// The run directory.
    pub path: PathBuf,
    /// What is wrong with each of them.
    pub problems: Vec<String>,
}

/// The newest intact checkpoint of a run.
#[derive(Debug)]
pub struct Recovery {
    /// The checkpoint.
    pub checkpoint: PathBuf,
    /// What is wrong with what came before it in the search.
    pub problems: Vec<String>,
}

/// Requires of a checkpoint that it is there, and unaltered as far as its manifest tells.
///
/// # Errors
/// What is missing and what is altered.
pub fn verify(checkpoint: &Path) -> Result<(), Damage> {
    manifest::verify(checkpoint)?;
    // What no manifest lists, in a checkpoint that an earlier version has written.
    let is_lost = |name: &&str| !checkpoint.join(name).is_file();
    let lost = ["config.json", "model.safetensors"].into_iter().filter(is_lost);
    let problems: Vec<String> =
        lost.map(|name| format!("{name}: expected a file, found none")).collect();
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Damage { path: checkpoint.into(), problems }),
    }
}

/// All intact checkpoints of a run, the newest first.
///
/// # Errors
/// A directory that cannot be read.
pub fn intact(run: &RunDirectory) -> io::Result<Vec<PathBuf>> {
    let all = run.steps()?.into_iter().map(|step| run.checkpoint(step));
    Ok(all.filter(|checkpoint| verify(checkpoint).is_ok()).collect())
}

/// Finds the checkpoint that a run goes on from: the latest, or the newest intact one before it.
/// `None` for a run that was stopped before its first.
///
/// # Errors
/// [`NoneIntact`] where there were checkpoints.
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
            // What is newer than the pointer was never finished: its step is taken again.
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
        match verify(&checkpoint) {
            Ok(()) => return Ok(Some(Recovery { checkpoint, problems })),
            Err(damage) => problems.push(damage.to_string()),
        }
    }
    match problems.is_empty() {
        true => Ok(None),
        false => Err(NoneIntact { path: run.path().into(), problems }),
    }
}

/// Takes the pointers of a run that goes on from `progress` back from what lies ahead of it: from
/// checkpoints that are damaged, and from one that a kill kept `latest.json` from following to.
///
/// # Errors
/// Any error of the file system.
pub fn restore_pointers(run: &RunDirectory, progress: &Progress) -> io::Result<()> {
    // One that names this step may know more than the checkpoint: the score of an evaluation that
    // was made behind its writing.
    let best = run.pointer(Which::Best).ok().flatten();
    if best.is_none_or(|best| best.step > progress.step) {
        match progress.best_pointer() {
            Some(best) => run.point(Which::Best, &best)?,
            None => run.unpoint(Which::Best)?,
        }
    }
    // Last, as ever: until then a kill leaves what this began with.
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
    fn the_latest_is_gone_on_from_where_it_is_intact() {
        // One that the pointer never reached is not looked at.
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
    fn an_emptied_checkpoint_is_not_intact_and_one_without_a_manifest_is() {
        let (_root, run) = run_with(&[10, 20], Some(20));
        for step in [10, 20] {
            fs::remove_file(run.checkpoint(step).join(manifest::MANIFEST_FILE)).unwrap();
        }
        assert_eq!(found(&run), (run.checkpoint(20), 0));
        fs::remove_file(run.checkpoint(20).join("config.json")).unwrap();
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
    fn without_an_intact_one_every_problem_is_told() {
        let (_root, run) = run_with(&[10, 20], Some(20));
        for step in [10, 20] {
            fs::write(run.checkpoint(step).join("config.json"), "").unwrap();
        }
        let error = newest_intact(&run).unwrap_err().to_string();
        for told in ["step-000010: damaged: config.json", "step-000020: damaged: config.json"] {
            assert!(error.contains(told), "{told} in {error}");
        }
        let (_root, none) = run_with(&[], None);
        assert!(newest_intact(&none).unwrap().is_none());
    }

    #[test]
    fn pointers_to_what_lies_ahead_follow_the_progress_that_is_left() {
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
    fn pointers_that_know_a_later_score_of_the_step_stay() {
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

    #[test]
    fn a_manifest_that_lists_nothing_makes_no_checkpoint() {
        let (_root, run) = run_with(&[10], Some(10));
        let dir = run.checkpoint(10);
        fs::remove_file(dir.join("model.safetensors")).unwrap();
        fs::write(dir.join(manifest::MANIFEST_FILE), "{\"files\": {}}").unwrap();
        assert_eq!(verify(&dir).unwrap_err().problems.len(), 1);
    }
}
