//! A resumed run ends exactly where an uninterrupted one does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::run::{
    SMALL, assert_same_state, checkpoint, command, events, finish, logged_steps, repository, run,
    snapshot, work_dir,
};

#[test]
fn two_steps_and_two_more_are_four() {
    let dir = work_dir();
    let path = dir.path();
    for algo in ["fomaml", "reptile", "transfer"] {
        // Large outer steps, so that everything a step depends on shows in the parameters; the
        // dropout of the random model is 0.1.
        let settings = format!(
            "--algo {algo} --model @tiny --outer-lr 1e-2 --seed 5 --set data.meta_dev_count=1 {SMALL}"
        );
        run(path, &format!("train --run-dir {algo} --steps 4 {settings}")).success();
        let parts = format!("{algo}-in-parts");
        run(path, &format!("train --run-dir {parts} --steps 2 {settings}")).success();
        let half = fs::read(checkpoint(path, &parts, 2).join("model.safetensors")).unwrap();
        run(path, &format!("train --run-dir {parts} --steps 4 --resume {settings}")).success();

        let (whole, resumed) = (checkpoint(path, algo, 4), checkpoint(path, &parts, 4));
        assert_same_state(&whole, &resumed);
        let last = fs::read(resumed.join("model.safetensors")).unwrap();
        assert_ne!(half, last, "{algo}: the last two steps changed nothing");
        assert_eq!(logged_steps(&path.join(&parts)), [1, 2, 3, 4], "{algo}");
        // Not only the end: every step had the same loss.
        for (left, right) in events(&path.join(algo), "outer_step")
            .iter()
            .zip(events(&path.join(&parts), "outer_step"))
        {
            for key in ["step", "episodes", "domains", "query_loss", "gradient_norm", "lr"] {
                assert_eq!(left[key], right[key], "{algo}: {key} of {left} and {right}");
            }
        }
    }
}

#[test]
fn resuming_a_finished_run_changes_nothing() {
    let dir = work_dir();
    let train = format!("train --algo fomaml --model @tiny --run-dir r --steps 2 {SMALL}");
    let first = run(dir.path(), &train).success();
    let before = snapshot(&dir.path().join("r/checkpoints"));
    assert_eq!(run(dir.path(), &format!("{train} --resume")).success(), first);
    let after = snapshot(&dir.path().join("r/checkpoints"));
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    assert!(before == after, "a checkpoint was written anew");
    assert_eq!(logged_steps(&dir.path().join("r")), [1, 2]);
}

/// Steps of a run that takes long enough to be stopped in the middle.
const MANY_STEPS: u64 = 120;

/// Arguments of that run but its directory.
fn long_run() -> String {
    format!(
        "--algo fomaml --model @tiny --steps {MANY_STEPS} --checkpoint-every 10 --eval-every 0 \
         --outer-lr 1e-3 --set evaluate.dev_episodes=1 --set train.keep_last=2 {SMALL}"
    )
}

/// The last checkpoint of that run where nothing stops it.
fn uninterrupted() -> PathBuf {
    static RUN: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = RUN.get_or_init(|| {
        let dir = work_dir();
        run(dir.path(), &format!("train --run-dir whole {}", long_run())).success();
        let path = checkpoint(dir.path(), "whole", MANY_STEPS);
        (dir, path)
    });
    path.clone()
}

/// Starts the program.
pub fn spawn(dir: &Path, arguments: &str) -> Child {
    command(dir, arguments).spawn().expect("the program starts")
}

/// Waits until `is_so`; a run that ends before has to be longer.
pub fn wait_until(child: &mut Child, what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        if let Some(status) = child.try_wait().expect("the program can be waited for") {
            panic!("the run ended ({status}) before {what}");
        }
        assert!(started.elapsed() < Duration::from_secs(60), "waited a minute for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sends a signal, such as `-KILL`.
pub fn send(signal: &str, child: &Child) {
    let status = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(status.expect("kill is there").success(), "kill {signal} {} failed", child.id());
}

#[test]
fn a_run_that_sigint_stops_names_the_command_that_resumes_it() {
    stops_and_resumes("-INT", 130);
}

#[test]
fn a_run_that_sigterm_or_sigusr1_stops_names_the_command_that_resumes_it() {
    stops_and_resumes("-TERM", 143);
    stops_and_resumes("-USR1", 138);
}

fn stops_and_resumes(signal: &str, code: i32) {
    let expected = uninterrupted();
    let dir = work_dir();
    let path = dir.path();
    let mut child = spawn(path, &format!("train --run-dir stopped {}", long_run()));
    let log = path.join("stopped/events.jsonl");
    wait_until(&mut child, "its third step", || {
        fs::read_to_string(&log).is_ok_and(|text| text.matches("\"outer_step\"").count() >= 3)
    });
    send(signal, &child);
    let output = child.wait_with_output().unwrap();
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert_eq!(stdout, "", "an interrupted run has no result");
    let stopped_at = *logged_steps(&path.join("stopped")).last().unwrap();
    assert!(stopped_at < MANY_STEPS, "the signal came too late");
    let saved = checkpoint(path, "stopped", stopped_at);
    assert!(saved.join("model.safetensors").is_file(), "no checkpoint of step {stopped_at}");
    let reasons = events(&path.join("stopped"), "finished");
    assert_eq!(reasons.last().unwrap()["reason"], "interrupted", "{reasons:?}");

    // The command in its message resumes it.
    let line = stderr.lines().find(|line| line.contains("--resume")).expect("a line with --resume");
    let (_, resume) = line.split_once("metabert ").expect("a command line");
    run(path, resume).success();
    assert_same_state(&expected, &checkpoint(path, "stopped", MANY_STEPS));
    assert_eq!(logged_steps(&path.join("stopped")), (1..=MANY_STEPS).collect::<Vec<_>>());
}

#[test]
fn a_second_signal_stops_at_once_and_leaves_the_last_checkpoint() {
    for (first, second, code) in [("-INT", "-TERM", 143), ("-TERM", "-INT", 130)] {
        let dir = work_dir();
        let path = dir.path();
        let settings = "--model @tiny --eval-every 0 --set evaluate.dev_episodes=1";
        for (name, steps) in [("whole", 2), ("r", 1)] {
            let train =
                format!("train --algo fomaml --run-dir {name} --steps {steps} {settings} {SMALL}");
            run(path, &train).success();
        }
        // The next step takes minutes.
        let config = path.join("r/config.toml");
        let text = fs::read_to_string(&config).unwrap();
        let long = text
            .replace("meta_batch = 2\n", "meta_batch = 10000\n")
            .replace("\nepochs = 1\n", "\nepochs = 100\n");
        assert_eq!(long.len(), text.len() + 4 + 2, "{text}");
        fs::write(&config, long).unwrap();
        let before = snapshot(&path.join("r/checkpoints"));
        let mut child = spawn(path, "train --run-dir r --resume --steps 2");
        wait_until(&mut child, "its second start", || {
            fs::read_to_string(path.join("r/events.jsonl"))
                .is_ok_and(|text| text.matches("\"started\"").count() >= 2)
        });
        send(first, &child);
        // Sooner after the first, it would count as the same one.
        std::thread::sleep(Duration::from_millis(1_500));
        assert_eq!(child.try_wait().unwrap(), None, "{first} has not waited for the step");
        let started = Instant::now();
        send(second, &child);
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
        assert!(stderr.contains("interrupt again to stop immediately"), "{stderr}");
        assert!(before == snapshot(&path.join("r/checkpoints")), "a checkpoint has changed");
        fs::write(&config, text).unwrap();
        run(path, "train --run-dir r --resume --steps 2").success();
        assert_same_state(&checkpoint(path, "whole", 2), &checkpoint(path, "r", 2));
    }
}

#[test]
fn settings_that_change_no_result_may_change_and_are_recorded() {
    let dir = work_dir();
    let path = dir.path();
    let train = format!("train --algo fomaml --model @tiny --outer-lr 1e-2 {SMALL}");
    run(path, &format!("{train} --run-dir whole --steps 4 --set evaluate.dev_episodes=1"))
        .success();
    fs::copy(repository("data/tiny.json"), path.join("moved.json")).unwrap();
    run(path, &format!("{train} --run-dir r --steps 2 --set evaluate.dev_episodes=1")).success();
    let changes = [
        ("data.path", "\"moved.json\""),
        ("device", "\"auto\""),
        ("evaluate.episodes", "3"),
        ("threads", "2"),
        ("train.checkpoint_every", "1"),
        ("train.eval_every", "3"),
        ("train.keep_best", "2"),
        ("train.keep_last", "3"),
        ("train.patience", "50"),
        ("train.steps", "4"),
        ("workers", "2"),
    ];
    let set: Vec<String> = changes.iter().map(|(key, is)| format!("--set {key}={is}")).collect();
    let arguments = format!("train --run-dir r --resume {}", set.join(" ").replace('"', ""));
    // So that `auto` is the CPU everywhere.
    let answer = finish(command(path, &arguments).env("CUDA_VISIBLE_DEVICES", ""), b"");
    let stderr = answer.stderr.clone();
    answer.success();
    let line = stderr.lines().find(|line| line.contains("resuming with other settings: "));
    let line = line.unwrap_or_else(|| panic!("nothing is said in {stderr}"));
    let starts = events(&path.join("r"), "started");
    assert_eq!(starts.len(), 2, "{starts:?}");
    let config = fs::read_to_string(path.join("r/config.toml")).unwrap();
    for (key, is) in changes {
        assert!(line.contains(&format!("{key} (was ")), "{key} in {line}");
        assert!(line.contains(&format!(", is {is})")), "{key} in {line}");
        let now: Value = serde_json::from_str(is).unwrap();
        assert_eq!(starts[1]["settings"][key], now, "{key}");
        assert_ne!(starts[0]["settings"][key], now, "{key}");
        let name = key.rsplit('.').next().unwrap();
        assert!(config.contains(&format!("{name} = {is}\n")), "{name} = {is} in {config}");
    }
    assert_eq!(starts[1]["machine"]["device"], "Cpu", "{}", starts[1]);
    // These changes have not changed the result.
    assert_same_state(&checkpoint(path, "whole", 4), &checkpoint(path, "r", 4));
}

#[test]
fn a_killed_run_resumes_from_its_last_checkpoint() {
    let expected = uninterrupted();
    let dir = work_dir();
    let path = dir.path();
    let train = format!("train --run-dir killed {}", long_run());
    let mut child = spawn(path, &train);
    let (latest, log) = (path.join("killed/latest.json"), path.join("killed/events.jsonl"));
    // Between two checkpoints: the log is then ahead of what can be resumed.
    wait_until(&mut child, "its 13th step", || {
        latest.exists()
            && fs::read_to_string(&log)
                .is_ok_and(|text| text.matches("\"outer_step\"").count() > 12)
    });
    send("-KILL", &child);
    assert_eq!(child.wait().unwrap().code(), None, "the run ended before it was killed");
    let at_kill = fs::read_to_string(&log).unwrap().matches("\"outer_step\"").count() as u64;
    assert!((13..MANY_STEPS).contains(&at_kill), "killed after step {at_kill}");
    // The remains of a kill in the middle of writing.
    fs::write(&log, fs::read_to_string(&log).unwrap() + "{\"event\":\"outer_st").unwrap();
    let partial = path.join("killed/checkpoints/.tmp-cut");
    fs::create_dir(&partial).unwrap();
    fs::write(partial.join("model.safetensors"), "half").unwrap();

    run(path, &format!("{train} --resume")).success();
    assert_same_state(&expected, &checkpoint(path, "killed", MANY_STEPS));
    assert_eq!(logged_steps(&path.join("killed")), (1..=MANY_STEPS).collect::<Vec<_>>());
    assert!(!partial.exists(), "the remains of a kill are never removed");
}
