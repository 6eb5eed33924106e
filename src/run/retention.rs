//! Which checkpoints of a run are kept.

use std::fs;
use std::io;

use super::directory::{RunDirectory, Which, step_of};
use super::manifest::{self, Damage};
use crate::files::atomic::TEMPORARY_PREFIX;

/// Deletes old checkpoints and the remains of interrupted writes. It keeps the `keep_last` latest,
/// those of the steps `best`, those that the pointers name, the newest intact one, and all files of
/// other origin. Returns the damage of checkpoints newer than the intact one.
///
/// # Errors
/// Any error of the file system.
pub fn prune(run: &RunDirectory, keep_last: usize, best: &[u64]) -> io::Result<Vec<Damage>> {
    for entry in fs::read_dir(run.checkpoints())? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    let mut kept = best.to_vec();
    let mut steps = run.steps()?;
    for which in [Which::Best, Which::Latest] {
        let step = run.pointer(which)?.and_then(|pointer| step_of(&pointer.checkpoint));
        kept.extend(step);
        if let (Which::Latest, Some(latest)) = (which, step) {
            // Later checkpoints are those that the run went back from. They are replaced when the
            // run gets there, and do not count among the last.
            steps.retain(|step| *step <= latest);
        }
    }
    let is_surplus = |step: &&u64| !kept.contains(step);
    let mut damage = Vec::new();
    if !steps.iter().skip(keep_last.max(1)).any(|step| is_surplus(&step)) {
        return Ok(damage);
    }
    // Verifying reads whole checkpoints: only when something is about to be deleted.
    let intact = steps.iter().position(|&step| match manifest::verify(&run.checkpoint(step)) {
        Ok(()) => true,
        Err(found) => {
            damage.push(found);
            false
        }
    });
    let Some(intact) = intact else { return Ok(damage) };
    for &step in steps.iter().skip(keep_last.max(intact + 1)).filter(is_surplus) {
        fs::remove_dir_all(run.checkpoint(step))?;
    }
    Ok(damage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Progress;
    use crate::run::recovery::tests::run_with;

    /// Alters a byte and keeps the size.
    fn damage(run: &RunDirectory, step: u64) {
        fs::write(run.checkpoint(step).join("config.json"), "konfig.json").unwrap();
    }

    #[test]
    fn the_last_the_best_and_the_named_are_kept() {
        let (_root, run) = run_with(&[10, 20, 30, 40, 50], Some(50));
        run.point(Which::Best, &Progress { step: 20, ..Progress::default() }.pointer()).unwrap();
        fs::create_dir(run.checkpoints().join(".tmp-abc")).unwrap();
        fs::write(run.checkpoints().join("notes.txt"), "mine").unwrap();
        fs::create_dir(run.checkpoints().join("step-000010-mine")).unwrap();
        assert!(prune(&run, 2, &[20, 30]).unwrap().is_empty());
        assert_eq!(run.steps().unwrap(), [50, 40, 30, 20]);
        assert!(prune(&run, 1, &[]).unwrap().is_empty());
        assert_eq!(run.steps().unwrap(), [50, 20]);
        let others = |name: &&str| run.checkpoints().join(name).exists();
        let names = [".tmp-abc", "notes.txt", "step-000010-mine"];
        assert_eq!(names.iter().copied().filter(others).collect::<Vec<_>>(), names[1..]);
        assert_eq!(RunDirectory::resolve(run.path()).unwrap(), run.checkpoint(20));
    }

    #[test]
    fn the_newest_intact_checkpoint_is_never_deleted() {
        let (_root, run) = run_with(&[10, 20, 30, 40], Some(40));
        damage(&run, 40);
        damage(&run, 30);
        let found: Vec<_> = prune(&run, 1, &[]).unwrap().into_iter().map(|d| d.path).collect();
        assert_eq!(found, [run.checkpoint(40), run.checkpoint(30)]);
        assert_eq!(run.steps().unwrap(), [40, 30, 20]);
        damage(&run, 20);
        assert_eq!(prune(&run, 1, &[]).unwrap().len(), 3);
        assert_eq!(run.steps().unwrap(), [40, 30, 20], "deleted although none is intact");
    }

    #[test]
    fn later_checkpoints_do_not_count_among_the_last() {
        let (_root, run) = run_with(&[10, 20, 30, 40, 50], Some(30));
        damage(&run, 50);
        damage(&run, 40);
        assert!(prune(&run, 2, &[]).unwrap().is_empty());
        assert_eq!(run.steps().unwrap(), [50, 40, 30, 20]);
    }
}
