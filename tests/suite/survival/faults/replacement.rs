//! A command that replaces a directory is killed at each call: the old or the new one is there, complete.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use super::{interpose, stride};
use crate::support::run::{ARCHITECTURE, command, finish, run, snapshot, work_dir};

const FINETUNE: &str = "finetune --checkpoint @tiny --domain boots --data @data --folds 0 --inner-steps 1 --max-length 32 \
     --threads 1 --device cpu --quiet --out out --force";
const INIT: &str = "model init --config a.json --tokenizer @plain --seed 7 --out out --force";

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// The files below a directory by their paths in it; `None` where there is no directory.
fn files(dir: &Path) -> Option<Files> {
    let strip = |(path, bytes): (PathBuf, _)| (path.strip_prefix(dir).unwrap().into(), bytes);
    dir.is_dir().then(|| snapshot(dir).into_iter().map(strip).collect())
}

/// A directory with the old model in `out`.
fn with_old_model() -> TempDir {
    static OLD: OnceLock<TempDir> = OnceLock::new();
    let old = OLD.get_or_init(|| {
        let dir = work_dir();
        fs::write(dir.path().join("a.json"), ARCHITECTURE).unwrap();
        run(dir.path(), "model init --config a.json --tokenizer @plain --out out").success();
        dir
    });
    let dir = work_dir();
    let status = Command::new("cp").arg("-r").arg(old.path().join(".")).arg(dir.path()).status();
    assert!(status.expect("cp is there").success());
    dir
}

/// Kills `arguments` before one call after the other. Returns how many kills left the old model, the new one, and neither.
fn kill_at_each_call(arguments: &str, can_exchange: bool) -> [usize; 3] {
    let run_to = |dir: &Path, at: usize, calls: Option<&Path>| {
        let mut command = command(dir, arguments);
        interpose(&mut command, dir, Some(("kill", at)), calls);
        if !can_exchange {
            command.env("FAULT_NO_EXCHANGE", "1");
        }
        finish(&mut command, b"")
    };
    let (dir, log) = (with_old_model(), work_dir());
    let log = log.path().join("calls");
    let old = files(&dir.path().join("out")).expect("the old model");
    run_to(dir.path(), usize::MAX, Some(&log)).success();
    let new = files(&dir.path().join("out")).expect("the new model");
    assert!(old != new, "{arguments}: nothing was replaced");
    run(dir.path(), "model info out").success();

    let calls = fs::read_to_string(log).unwrap();
    let calls: Vec<&str> = calls.lines().collect();
    let exchange = calls.iter().position(|call| *call == "renameat2").expect("an exchange");
    let mut left = [0; 3];
    for at in 1..=calls.len() {
        // The calls around the exchange are the ones that count.
        let is_near = at.abs_diff(exchange + 1) <= 6;
        if at % stride() != 0 && !is_near {
            continue;
        }
        let what = format!("{arguments}: killed before call {at} ({})", calls[at - 1]);
        let dir = with_old_model();
        assert_eq!(run_to(dir.path(), at, None).code, None, "{what}: not killed");
        let found = files(&dir.path().join("out"));
        let state = match &found {
            Some(found) if *found == old => 0,
            Some(found) if *found == new => 1,
            Some(found) => panic!("{what}: found a mixture: {:?}", found.keys()),
            None => 2,
        };
        left[state] += 1;
        if state == 2 {
            let is_aside = |path: &PathBuf| files(&path.join("replaced")).as_ref() == Some(&old);
            let mut entries = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
            assert!(entries.any(|path| is_aside(&path)), "{what}: the old model is lost");
        }
        if !is_near {
            continue;
        }
        run(dir.path(), arguments).success();
        assert!(files(&dir.path().join("out")).as_ref() == Some(&new), "{what}: not repeatable");
    }
    eprintln!("{arguments}: kills left the old, the new and neither model: {left:?}");
    left
}

#[test]
fn a_kill_of_finetune_leaves_the_old_or_the_new_model() {
    let [old, new, neither] = kill_at_each_call(FINETUNE, true);
    assert!(old > 0 && new > 0 && neither == 0, "{old} old, {new} new, {neither} neither");
}

#[test]
fn a_kill_of_model_init_leaves_the_old_or_the_new_model() {
    let [old, new, neither] = kill_at_each_call(INIT, true);
    assert!(old > 0 && new > 0 && neither == 0, "{old} old, {new} new, {neither} neither");
}

#[test]
fn without_an_exchange_of_names_a_kill_loses_nothing() {
    let [old, new, neither] = kill_at_each_call(INIT, false);
    assert!(old > 0 && new > 0 && neither == 1, "{old} old, {new} new, {neither} neither");
}
