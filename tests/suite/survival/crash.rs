//! A run that is killed again and again ends exactly where an uninterrupted one does.
//!
//! `METABERT_KILLS` sets how many kills there are for each algorithm; `make soak` asks for 200 in all.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use metabert::seed;
use serde_json::Value;

use crate::support::python::python;
use crate::support::run::{
    SMALL, assert_same_bytes, command, events, json, logged_steps, run, work_dir,
};

const STEPS: u64 = 60;
const DEFAULT_KILLS: usize = 13;

/// The moment of a kill.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// After this time.
    After(Duration),
    /// This time after the first sight of an unfinished checkpoint.
    InAWrite(Duration),
}

fn num_kills() -> usize {
    match std::env::var("METABERT_KILLS") {
        Ok(count) => count.parse().expect("METABERT_KILLS is a number"),
        Err(_) => DEFAULT_KILLS,
    }
}

/// Whether a checkpoint is being written, or was when the run was killed.
fn has_unfinished_checkpoint(run_dir: &Path) -> bool {
    let entries = fs::read_dir(run_dir.join("checkpoints")).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with(".tmp-"))
}

/// Kills the run at `moment`; `false` if it ended before.
fn kill(mut child: Child, run_dir: &Path, moment: Moment) -> bool {
    let wait = |child: &mut Child, is_time: &dyn Fn() -> bool| {
        while !is_time() {
            if child.try_wait().expect("the program can be waited for").is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        true
    };
    let started = Instant::now();
    let is_alive = match moment {
        Moment::After(delay) => wait(&mut child, &|| started.elapsed() >= delay),
        Moment::InAWrite(delay) => {
            wait(&mut child, &|| has_unfinished_checkpoint(run_dir)) && {
                let seen = Instant::now();
                wait(&mut child, &|| seen.elapsed() >= delay)
            }
        }
    };
    if is_alive {
        child.kill().expect("the program can be killed");
    }
    let output = child.wait_with_output().expect("the program ends");
    if is_alive && output.status.code().is_none() {
        return true;
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{moment:?}: the run ended with an error: {stderr}");
    false
}

fn last_checkpoint(run_dir: &Path) -> PathBuf {
    let latest = json(&run_dir.join("latest.json"));
    run_dir.join("checkpoints").join(latest["checkpoint"].as_str().expect("a name"))
}

/// Asserts that the files after a kill can be read: pointers name complete checkpoints, and every complete line of the log is
/// an event.
fn assert_intact(run_dir: &Path) {
    if run_dir.join("latest.json").exists() {
        let checkpoint = last_checkpoint(run_dir);
        let expected = json(&checkpoint.join("config.json"));
        assert_eq!(expected["model_type"], "bert", "{}", checkpoint.display());
        let weights = fs::read(checkpoint.join("model.safetensors")).expect("weights");
        safetensors::SafeTensors::deserialize(&weights).expect("whole weights");
    }
    let log = fs::read_to_string(run_dir.join("events.jsonl")).unwrap_or_default();
    let complete = log.rsplit_once('\n').map_or("", |(lines, _)| lines);
    for line in complete.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
    }
}

/// Asserts that TensorBoard shows every step once and as in the log, whatever the killed processes have written.
fn assert_tensorboard_shows_the_log(run_dir: &Path) {
    let shown = python(run_dir, "check_tensorboard.py", &["."]);
    let shown: Value = serde_json::from_str(&shown).expect("scalars as JSON");
    for (kind, key, tag) in [
        ("outer_step", "query_loss", "train/query_loss"),
        ("outer_step", "gradient_norm", "train/gradient_norm"),
        ("evaluated", "macro_f1", "meta_dev/macro_f1"),
    ] {
        let points: Vec<(u64, f32)> =
            serde_json::from_value(shown[tag].clone()).expect("pairs of step and value");
        // TensorBoard keeps 32 bits of a value.
        let logged = events(run_dir, kind).into_iter().map(|event| {
            let value = event[key].as_f64().expect("a number");
            (event["step"].as_u64().expect("a step"), value as f32)
        });
        assert_eq!(points, logged.collect::<Vec<_>>(), "{}: {tag}", run_dir.display());
    }
}

fn survive(algo: &str) {
    let dir = work_dir();
    let path = dir.path();
    let settings = format!(
        "--algo {algo} --model @tiny --steps {STEPS} --meta-batch 2 --checkpoint-every 1 --eval-every 7 \
         --outer-lr 1e-2 --set evaluate.dev_episodes=2 --set train.keep_last=2 --workers 2 {SMALL}"
    );
    run(path, &format!("train --run-dir whole {settings}")).success();
    let whole = path.join("whole");

    let mut rng = seed::rng(1, algo, 0);
    let (mut kills, mut in_writes, mut finished) = (0, 0, 0);
    let mut run_dir = path.join("run-0");
    while kills < num_kills() || finished == 0 {
        let name = run_dir.file_name().expect("a name").to_str().expect("in UTF-8");
        // A kill before the configuration is written leaves nothing to resume and an empty place.
        let resume = if run_dir.join("config.toml").exists() { "--resume" } else { "" };
        let train = format!("train --run-dir {name} {settings} {resume}");
        let child = command(path, &train).spawn().expect("the program starts");
        let moment = match (kills >= num_kills(), kills % 2) {
            (true, _) => Moment::After(Duration::from_secs(600)),
            (_, 0) => Moment::After(Duration::from_millis(seed::below(&mut rng, 700) as u64)),
            // The disk decides how long a write takes: short delays are the likelier ones.
            _ => Moment::InAWrite(Duration::from_secs_f64(6e-3 * seed::unit(&mut rng).powi(3))),
        };
        if kill(child, &run_dir, moment) {
            kills += 1;
            in_writes += usize::from(has_unfinished_checkpoint(&run_dir));
            assert_intact(&run_dir);
            continue;
        }
        for file in ["model.safetensors", "training_state.safetensors"] {
            assert_same_bytes(
                &last_checkpoint(&whole).join(file),
                &last_checkpoint(&run_dir).join(file),
            );
        }
        assert_eq!(json(&whole.join("best.json")), json(&run_dir.join("best.json")), "{algo}");
        assert_eq!(logged_steps(&run_dir), (1..=STEPS).collect::<Vec<_>>(), "{algo}");
        let scores = |run_dir: &Path| -> Vec<_> {
            let evaluated = events(run_dir, "evaluated").into_iter();
            evaluated.map(|event| (event["step"].clone(), event["macro_f1"].clone())).collect()
        };
        assert_eq!(scores(&whole), scores(&run_dir), "{algo}: every evaluation once");
        assert!(!has_unfinished_checkpoint(&run_dir), "{algo}: a finished run tidies up");
        assert_tensorboard_shows_the_log(&run_dir);
        finished += 1;
        run_dir = path.join(format!("run-{finished}"));
    }
    println!(
        "{algo}: {kills} kills, {in_writes} of them in the write of a checkpoint; {finished} runs"
    );
    // One in two is aimed at a write; on a very fast disk many of those miss it.
    assert!(in_writes * 10 >= kills, "only {in_writes} of {kills} kills hit a write");
}

#[test]
fn a_fomaml_run_survives_being_killed_again_and_again() {
    survive("fomaml");
}

#[test]
fn a_reptile_run_survives_being_killed_again_and_again() {
    survive("reptile");
}

#[test]
fn a_transfer_run_survives_being_killed_again_and_again() {
    survive("transfer");
}
