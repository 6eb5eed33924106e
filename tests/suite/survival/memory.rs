//! Memory and open files do not grow with the number of episodes.
//!
//! `METABERT_LONG_STEPS` sets how many outer steps the long run takes; `make soak` asks for 2,000.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use crate::support::run::{SMALL, command, finish, repository, run, work_dir};

/// Wordpieces of the model, most of which no text has.
const VOCABULARY: usize = 2_000;
const HIDDEN: usize = 128;
const META_BATCH: u64 = 2;
const FEW_STEPS: u64 = 10;
const MANY_STEPS: u64 = 60;

/// Writes a model that is large beside what a run takes for other things, and returns the MiB of its parameters without
/// the embedding table: what an episode's fast weights take at least.
fn write_model(dir: &Path) -> u64 {
    let tokenizer = dir.join("tokenizer");
    fs::create_dir(&tokenizer).unwrap();
    let known = fs::read_to_string(repository("tests/fixtures/bert/plain/vocab.txt")).unwrap();
    let mut vocabulary: Vec<String> = known.lines().map(str::to_owned).collect();
    vocabulary.extend((vocabulary.len()..VOCABULARY).map(|id| format!("[unused{id}]")));
    fs::write(tokenizer.join("vocab.txt"), vocabulary.join("\n")).unwrap();
    let architecture = json!({
        "model_type": "bert",
        "hidden_size": HIDDEN,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 512,
        "max_position_embeddings": 64,
    });
    fs::write(dir.join("architecture.json"), architecture.to_string()).unwrap();
    run(dir, "model init --config architecture.json --tokenizer tokenizer --out model").success();
    let weights = fs::metadata(dir.join("model/model.safetensors")).unwrap().len();
    (weights - (VOCABULARY * HIDDEN * 4) as u64) >> 20
}

/// The peak of the resident memory of a run, in MiB, as `--profile` reports it.
fn peak_mib(dir: &Path, steps: u64, workers: usize) -> u64 {
    let arguments = format!(
        "train --model model --run-dir {workers}-{steps} --steps {steps} --workers {workers} \
         --meta-batch {META_BATCH} --eval-every 0 --checkpoint-every 0 --set data.meta_dev_count=0 \
         --profile {SMALL}"
    );
    let answer = finish(&mut command(dir, &arguments), b"");
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    let (_, peak) = answer.stderr.rsplit_once("peak memory ").expect("the profile has a peak");
    peak.split(' ').next().and_then(|mib| mib.parse().ok()).expect("a number of MiB")
}

#[test]
fn training_keeps_nothing_of_an_episode() {
    let dir = work_dir();
    let fast_weights_mib = write_model(dir.path());
    assert!(fast_weights_mib >= 1, "a model too small to be missed");
    // Had each episode left its fast weights behind, or a gradient, or a moment: each is of their size. A quarter of that is
    // several times what the allocator's caches, which differ from run to run with two workers, were seen to vary by.
    let additional_episodes = (MANY_STEPS - FEW_STEPS) * META_BATCH;
    let bound_mib = additional_episodes * fast_weights_mib / 4;
    for workers in [1, 2] {
        let [few, many] = [FEW_STEPS, MANY_STEPS].map(|steps| peak_mib(dir.path(), steps, workers));
        assert!(
            many < few + bound_mib,
            "{workers} workers: {few} MiB in {FEW_STEPS} steps, {many} MiB in {MANY_STEPS}"
        );
    }
}

/// What a process holds now: MiB of memory that are its own, and open files.
fn holdings(pid: u32) -> (u64, usize) {
    let proc = Path::new("/proc").join(pid.to_string());
    let status = fs::read_to_string(proc.join("status")).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("RssAnon");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("KiB");
    (kib >> 10, fs::read_dir(proc.join("fd")).expect("the process runs").count())
}

/// With everything that happens in a run: evaluations, checkpoints, both logs, two workers.
#[test]
#[cfg(target_os = "linux")]
fn a_long_run_holds_no_more_at_its_end_than_after_its_beginning() {
    let steps: u64 = match std::env::var("METABERT_LONG_STEPS") {
        Ok(steps) => steps.parse().expect("METABERT_LONG_STEPS is a number"),
        Err(_) => 200,
    };
    let dir = work_dir();
    let settings = "--eval-every 20 --checkpoint-every 5 --set evaluate.dev_episodes=1 --workers 2";
    let arguments = format!(
        "train --model @tiny --run-dir r --steps {steps} --meta-batch 2 {settings} {SMALL}"
    );
    let mut child =
        command(dir.path(), &arguments).stderr(Stdio::null()).spawn().expect("the program starts");
    let log = dir.path().join("r/events.jsonl");
    let taken = || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        text.matches("\"outer_step\"").count() as u64
    };
    let mut seen: Vec<(u64, u64, usize)> = Vec::new();
    // The last tenth is not looked at, so that the run cannot end meanwhile.
    while taken() < steps - steps / 10 {
        assert!(child.try_wait().expect("a child").is_none(), "the run ended before its end");
        let (mib, files) = holdings(child.id());
        seen.push((taken(), mib, files));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(child.wait().expect("a child").success());
    // Most memory, and fewest files: a checkpoint that is being written has some open for a moment.
    let held = |range: std::ops::Range<u64>| {
        let seen = seen.iter().filter(|(step, ..)| range.contains(step));
        seen.fold((0, usize::MAX), |(most, fewest), (_, mib, files)| {
            (most.max(*mib), fewest.min(*files))
        })
    };
    // Behind the first quarter, in which caches fill.
    let (early_mib, early_files) = held(steps / 4..steps / 2);
    let (late_mib, late_files) = held(steps / 2..steps);
    eprintln!(
        "{steps} steps: at most {early_mib} MiB and at least {early_files} open files in the second quarter, \
         {late_mib} MiB and {late_files} in the second half"
    );
    assert!(early_mib > 0 && late_mib > 0, "never looked at: {seen:?}");
    assert!(late_files <= early_files, "{early_files} files, then {late_files}: {seen:?}");
    // Over the second half of 2,000 steps this is 8 KiB a step: a quarter of the parameters.
    assert!(late_mib <= early_mib + 8, "{early_mib} MiB, then {late_mib} MiB: {seen:?}");
}
