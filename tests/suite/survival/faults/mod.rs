//! Disks that fill up, permissions that go away, writes that are cut short and kills, at each call that changes a file.
//!
//! The calls fail below the program, in the C library that it is linked to (`interpose.c`). `METABERT_FAULTS=all` tries each
//! of them, as `make soak` does; otherwise it is every third.

#![cfg(target_os = "linux")]

mod replacement;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::support::run::{
    Answer, SMALL, assert_same_bytes, command, finish, json, logged_steps, repository, work_dir,
};

/// The library that `LD_PRELOAD` names.
fn interposer() -> &'static Path {
    static LIBRARY: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = LIBRARY.get_or_init(|| {
        let dir = work_dir();
        let path = dir.path().join("interpose.so");
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .arg(&path)
            .arg(repository("tests/suite/survival/faults/interpose.c"))
            .arg("-ldl")
            .status();
        assert!(status.expect("a C compiler is there").success());
        (dir, path)
    });
    path
}

/// A fault, and the number of the call at which it begins.
type Fault = (&'static str, usize);

/// `command`, with faults in the calls that change files below `dir`, or with their list in `calls`.
fn interpose(command: &mut Command, dir: &Path, fault: Option<Fault>, calls: Option<&Path>) {
    // The path may lead through a link, such as that of a temporary directory.
    command.env("LD_PRELOAD", interposer()).env("FAULT_DIR", dir.canonicalize().unwrap());
    if let Some((kind, at)) = fault {
        command.env("FAULT_KIND", kind).env("FAULT_AT", at.to_string());
    }
    if let Some(calls) = calls {
        command.env("FAULT_LOG", calls);
    }
}

/// The distance of the calls that are tried.
fn stride() -> usize {
    if std::env::var("METABERT_FAULTS").is_ok_and(|which| which == "all") { 1 } else { 3 }
}

/// Takes a run in `dir` to step 2, where a checkpoint replaces that of step 1. `calls` gets the list of the calls that change
/// a file of the run.
fn to_second_step(dir: &Path, fault: Option<Fault>, calls: Option<&Path>) -> Answer {
    let mut command = command(dir, "train --run-dir r --resume --steps 2 --quiet");
    if fault.is_some() || calls.is_some() {
        interpose(&mut command, &dir.join("r"), fault, calls);
    }
    finish(&mut command, b"")
}

/// A run after its first step, in `r`, and the same after its second where nothing fails.
struct Run {
    first: TempDir,
    second: TempDir,
    /// The calls between them.
    calls: Vec<String>,
}

fn the_run() -> &'static Run {
    static RUN: OnceLock<Run> = OnceLock::new();
    RUN.get_or_init(|| {
        let first = work_dir();
        let settings = "--eval-every 1 --outer-lr 1e-2 --set evaluate.dev_episodes=1";
        let train =
            format!("train --algo fomaml --run-dir r --model @tiny --steps 1 {settings} {SMALL}");
        finish(&mut command(first.path(), &train), b"").success();
        let second = copy(first.path());
        let log = second.path().join("calls");
        to_second_step(second.path(), None, Some(&log)).success();
        let calls: Vec<String> =
            fs::read_to_string(log).unwrap().lines().map(str::to_owned).collect();
        for (call, at_least) in [("write", 20), ("open", 10), ("fsync", 10), ("rename", 3)] {
            let count = calls.iter().filter(|name| *name == call).count();
            assert!(count >= at_least, "{count} calls of {call}: the seam does not see them all");
        }
        Run { first, second, calls }
    })
}

fn copy(from: &Path) -> TempDir {
    let to = work_dir();
    let status = Command::new("cp").arg("-r").arg(from.join("r")).arg(to.path()).status();
    assert!(status.expect("cp is there").success());
    to
}

/// Asserts that the run in `dir` has ended like the one without a fault.
fn assert_same_end(dir: &Path, what: &str) {
    let whole = the_run().second.path();
    for file in ["model.safetensors", "training_state.safetensors"] {
        let last = format!("r/checkpoints/step-000002/{file}");
        assert_same_bytes(&whole.join(&last), &dir.join(&last));
    }
    for file in ["r/latest.json", "r/best.json"] {
        assert_eq!(json(&dir.join(file)), json(&whole.join(file)), "{what}: {file}");
    }
    assert_eq!(logged_steps(&dir.join("r")), [1, 2], "{what}");
}

/// Tries a fault at one call after the other of those that it can hit; then resumes without it.
fn survives(kind: &'static str, message: &str, is_hit: impl Fn(&str) -> bool) {
    let calls = (1..).zip(&the_run().calls).filter(|(_, call)| is_hit(call));
    let (mut faults, mut failures) = (0, 0);
    for (at, call) in calls.step_by(stride()) {
        let what = format!("{kind} from call {at} ({call}) on");
        let dir = copy(the_run().first.path());
        let answer = to_second_step(dir.path(), Some((kind, at)), None);
        faults += 1;
        // A run does not stop because old checkpoints cannot be removed.
        if answer.code != Some(0) {
            failures += 1;
            assert_eq!(answer.code, Some(1), "{what}: {}", answer.stderr);
            assert_eq!(answer.stdout, "", "{what}");
            let lines: Vec<&str> = answer.stderr.lines().collect();
            let errors: Vec<_> = lines.iter().filter(|line| line.starts_with("error: ")).collect();
            assert_eq!(errors.len(), 1, "{what}: {}", answer.stderr);
            assert!(errors[0].contains(message), "{what}: {}", errors[0]);
            assert!(errors[0].starts_with("error: r"), "{what}: names no file: {}", errors[0]);
            let latest = json(&dir.path().join("r/latest.json"));
            let name = latest["checkpoint"].as_str().expect("a name");
            assert!(dir.path().join("r/checkpoints").join(name).join("config.json").exists());
        }
        let answer = to_second_step(dir.path(), None, None);
        assert!(!answer.stderr.contains("damaged"), "{what}: {}", answer.stderr);
        answer.success();
        assert_same_end(dir.path(), &what);
    }
    assert!(failures * 10 > faults * 7, "{kind}: {failures} of {faults} faults stopped a run");
    eprintln!(
        "{kind}: {faults} faults, {failures} runs stopped by them, all resumed to the same bytes"
    );
}

#[test]
fn a_disk_that_fills_up_at_any_call_costs_nothing_that_was_saved() {
    survives("full", "No space left on device", |_| true);
}

#[test]
fn permissions_that_go_away_at_any_call_cost_nothing_that_was_saved() {
    survives("denied", "Permission denied", |call| ["open", "mkdir", "rename"].contains(&call));
}

#[test]
fn writes_that_take_half_of_their_bytes_change_nothing() {
    let dir = copy(the_run().first.path());
    let log = dir.path().join("calls");
    to_second_step(dir.path(), Some(("short", 1)), Some(&log)).success();
    let count = |text: &str| text.lines().filter(|call| *call == "write").count();
    let writes = count(&fs::read_to_string(log).unwrap());
    let usual = the_run().calls.iter().filter(|call| *call == "write").count();
    assert!(writes > 5 * usual, "{writes} writes instead of {usual}: none was cut short");
    assert_same_end(dir.path(), "short writes");
}
