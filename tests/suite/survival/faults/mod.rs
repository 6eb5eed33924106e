//! Disks that fill up, permissions that go away and writes that are cut short, at each call that changes a file of a run.
//!
//! The calls fail below the program, in the C library it is linked to (`interpose.c`). `METABERT_FAULTS=all` lets each of them
//! fail, as `make soak` does; otherwise it is every third.

#![cfg(target_os = "linux")]

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

/// A fault, and the call from which on it is there.
type Fault = (&'static str, usize);

/// Takes a run in `dir` to step 2, where a checkpoint replaces that of step 1. Every change of a file of the run is listed in
/// `calls`, where it is given.
fn to_second_step(dir: &Path, fault: Option<Fault>, calls: Option<&Path>) -> Answer {
    let arguments = "train --run-dir r --resume --steps 2 --quiet";
    let mut command = command(dir, arguments);
    if fault.is_some() || calls.is_some() {
        // The temporary directory may be known by a link.
        let run_dir = dir.canonicalize().unwrap().join("r");
        command.env("LD_PRELOAD", interposer()).env("FAULT_DIR", run_dir).current_dir(dir);
    }
    if let Some((kind, at)) = fault {
        command.env("FAULT_KIND", kind).env("FAULT_AT", at.to_string());
    }
    if let Some(calls) = calls {
        command.env("FAULT_LOG", calls);
    }
    finish(&mut command, b"")
}

/// A run behind its first step, in `r`, and what becomes of it where nothing fails.
struct Run {
    first: TempDir,
    second: TempDir,
    /// The calls that led from the one to the other.
    calls: Vec<String>,
}

fn the_run() -> &'static Run {
    static RUN: OnceLock<Run> = OnceLock::new();
    RUN.get_or_init(|| {
        let first = work_dir();
        let settings = "--eval-every 1 --outer-lr 1e-2 --set evaluate.dev_episodes=1";
        let train = format!("train --run-dir r --model @tiny --steps 1 {settings} {SMALL}");
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

/// That the run in `dir` stands where the one that nothing befell stands.
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

/// Lets the calls fail one after the other, of which `is_hit` says that the fault can hit them; then goes on without it.
fn survives(kind: &'static str, message: &str, is_hit: impl Fn(&str) -> bool) {
    let stride =
        if std::env::var("METABERT_FAULTS").is_ok_and(|which| which == "all") { 1 } else { 3 };
    let calls = (1..).zip(&the_run().calls).filter(|(_, call)| is_hit(call));
    let (mut faults, mut failures) = (0, 0);
    for (at, call) in calls.step_by(stride) {
        let what = format!("{kind} from call {at} ({call}) on");
        let dir = copy(the_run().first.path());
        let answer = to_second_step(dir.path(), Some((kind, at)), None);
        faults += 1;
        // Where only old checkpoints cannot be removed, the run is none the worse for it.
        if answer.code != Some(0) {
            failures += 1;
            assert_eq!(answer.code, Some(1), "{what}: {}", answer.stderr);
            assert_eq!(answer.stdout, "", "{what}");
            let lines: Vec<&str> = answer.stderr.lines().collect();
            let told = lines.iter().filter(|line| line.starts_with("error: ")).collect::<Vec<_>>();
            assert_eq!(told.len(), 1, "{what}: {}", answer.stderr);
            assert!(told[0].contains(message), "{what}: {}", told[0]);
            assert!(told[0].starts_with("error: r"), "{what}: names no file: {}", told[0]);
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
        "{kind}: {faults} faults, {failures} runs stopped by them, all went on to the same bytes"
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
