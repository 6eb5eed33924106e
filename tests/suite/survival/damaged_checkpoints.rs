//! A damaged checkpoint is found: training goes back to an intact one, and every other command
//! refuses it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::json;
use tempfile::TempDir;

use crate::program::command_line_errors::refuses;
use crate::support::run::{
    SMALL, events, json as read_json, logged_steps, run, snapshot, work_dir,
};
use crate::support::run::{assert_same_state, checkpoint};

const MANIFEST: &str = "metabert_manifest.json";
const AS_A_PLAIN_MODEL: &str =
    "delete metabert.toml and metabert_manifest.json there to use the rest";
const PREDICT: &str = "predict --input texts.txt --output o --device cpu --checkpoint";

/// A directory with a finished run of six steps and checkpoints of every second step. Its last score
/// is the best: a step back moves both pointers.
fn trained() -> &'static Path {
    static RUN: OnceLock<TempDir> = OnceLock::new();
    let dir = RUN.get_or_init(|| {
        let dir = work_dir();
        let settings = "--algo fomaml --steps 6 --eval-every 2 --checkpoint-every 2 --seed 2 \
                        --outer-lr 3e-3 --set train.keep_last=3 --set evaluate.dev_episodes=2";
        run(dir.path(), &format!("train --run-dir r --model @adapted {settings} {SMALL}"))
            .success();
        fs::write(dir.path().join("texts.txt"), "good\n").unwrap();
        dir
    });
    dir.path()
}

/// A copy of it for a test to damage.
fn copy() -> TempDir {
    let (dir, from) = (work_dir(), trained());
    for (path, bytes) in snapshot(from) {
        let copy = dir.path().join(path.strip_prefix(from).unwrap());
        match path.is_dir() {
            true => fs::create_dir_all(copy).unwrap(),
            false => fs::write(copy, bytes).unwrap(),
        }
    }
    dir
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let files: Vec<PathBuf> = snapshot(dir).into_keys().collect();
    assert!(files.len() >= 8, "{files:?}");
    files
}

/// Changes one bit in the middle of a file.
fn flip(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(file, bytes).unwrap();
}

fn name_of(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// The folder of the best checkpoint, as the program names it, and its path.
fn best(dir: &Path) -> (String, PathBuf) {
    let best = read_json(&dir.join("r/best.json"))["checkpoint"].as_str().unwrap().to_owned();
    (format!("r/checkpoints/{best}"), dir.join("r/checkpoints").join(best))
}

#[test]
fn every_file_of_a_checkpoint_is_verified_before_it_is_used() {
    let dir = copy();
    let path = dir.path();
    let (shown, best) = best(path);
    run(path, &format!("{PREDICT} r")).success();
    fs::remove_file(path.join("o")).unwrap();
    for file in files(&best) {
        let (name, whole) = (name_of(&file), fs::read(&file).unwrap());
        let size = whole.len();
        flip(&file);
        // A changed manifest can blame another file.
        let in_file = if name == MANIFEST { "" } else { name };
        let told = format!("{shown}: damaged: |{in_file}: expected ");
        refuses(path, &format!("{PREDICT} r"), &told);
        refuses(path, &format!("{PREDICT} {shown}"), &told);

        fs::write(&file, &whole[..size - 1]).unwrap();
        let told = match name {
            MANIFEST => format!("{shown}: damaged: {MANIFEST}: expected a list of files"),
            _ => format!("{shown}: damaged: {name}: expected {size} bytes, found {}", size - 1),
        };
        refuses(path, &format!("{PREDICT} r"), &told);

        fs::remove_file(&file).unwrap();
        let expected = match name {
            MANIFEST => "a list of files".to_owned(),
            _ => format!("{size} bytes"),
        };
        let told = format!("{shown}: damaged: {name}: expected {expected}, found no file");
        refuses(path, &format!("{PREDICT} r"), &told);
        refuses(path, &format!("{PREDICT} {shown}"), &told);
        fs::write(&file, whole).unwrap();
    }
    run(path, &format!("{PREDICT} r")).success();
}

#[test]
fn every_command_refuses_a_damaged_best_checkpoint_and_names_those_that_are_intact() {
    let dir = copy();
    let path = dir.path();
    let (shown, best) = best(path);
    flip(&best.join("model.safetensors"));
    let all = [6, 4, 2].map(|step| format!("r/checkpoints/step-{step:06}"));
    let intact: Vec<&str> = all.iter().filter(|name| **name != shown).map(String::as_str).collect();
    let told = format!(
        "{shown}: damaged: model.safetensors: expected SHA-256 |name an intact one instead: {}",
        intact.join(", ")
    );
    let finetune = "finetune --domain boots --data @data --folds 0 --inner-steps 1 --device cpu";
    for command in [
        format!("{PREDICT} r"),
        format!("eval --checkpoint r {SMALL}"),
        format!("eval --checkpoint @tiny --baselines r {SMALL}"),
        format!("{finetune} --checkpoint r --out out"),
        "model info r".to_owned(),
    ] {
        refuses(path, &command, &told);
    }
    let by_name = format!("{shown}: damaged: model.safetensors: |{AS_A_PLAIN_MODEL}");
    for command in [
        format!("{finetune} --checkpoint {shown} --out out"),
        format!("train --run-dir other --model {shown} --steps 1 {SMALL}"),
        format!("data episodes --model {shown} --data @data --low-resource-max 16"),
    ] {
        refuses(path, &command, &by_name);
    }
    run(path, &format!("{PREDICT} {}", intact[0])).success();
    for name in &all {
        fs::write(path.join(name).join("config.json"), "{}").unwrap();
    }
    refuses(path, "model info r", "config.json: expected |no checkpoint of the run is intact");
    fs::remove_dir_all(best).unwrap();
    refuses(path, "model info r", &format!("{shown}: damaged: |found no file"));
}

/// Resumes the run in `dir`, and checks that it starts after step `from`, with every part of `warned`
/// in its warnings, and ends like the uninterrupted run in everything.
fn resumes(dir: &Path, from: u64, warned: &[&str]) {
    let answer = run(dir, "train --run-dir r --resume");
    let stderr = answer.stderr.clone();
    answer.success();
    let start = format!("resuming from r/checkpoints/step-{from:06}");
    for part in warned.iter().copied().chain([start.as_str()]) {
        let is_warned =
            stderr.lines().any(|line| line.starts_with("warning: ") && line.contains(part));
        assert!(is_warned, "{part:?} in {stderr}");
    }
    let whole = trained();
    let steps = stderr.lines().filter(|line| line.contains(" episodes/min")).count() as u64;
    assert_eq!(steps, 6 - from, "outer steps taken again: {stderr}");
    for step in [2, 4, 6].into_iter().filter(|step| *step > from) {
        assert_same_state(&checkpoint(whole, "r", step), &checkpoint(dir, "r", step));
    }
    for pointer in ["best.json", "latest.json"] {
        let [expected, found] = [whole, dir].map(|dir| read_json(&dir.join("r").join(pointer)));
        assert_eq!(expected, found, "{pointer}");
    }
    assert_eq!(logged_steps(&dir.join("r")), (1..=6).collect::<Vec<_>>());
    for (kind, keys) in
        [("outer_step", ["step", "query_loss"]), ("evaluated", ["step", "macro_f1"])]
    {
        let [expected, found] = [whole, dir].map(|dir| events(&dir.join("r"), kind));
        assert_eq!(expected.len(), found.len(), "{kind}");
        for (left, right) in expected.iter().zip(&found) {
            assert!(keys.iter().all(|key| left[key] == right[key]), "{left} and {right}");
        }
    }
    assert_eq!(tensorboard_start(dir), from + 1, "the step from which TensorBoard forgets");
    run(dir, &format!("{PREDICT} r")).success();
}

/// The step in the second record of the last event file of a run.
fn tensorboard_start(dir: &Path) -> u64 {
    let bytes = snapshot(&dir.join("r/tensorboard")).into_values().last().expect("an event file");
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    // After the first record's frame, the second's length and its checksum: a wall time of nine
    // bytes, the tag of a step, and a step below 128.
    let message = &bytes[16 + length + 12..];
    assert_eq!(message[9], 2 << 3, "no step in {message:?}");
    u64::from(message[10])
}

#[test]
fn training_resumes_before_a_damaged_checkpoint_and_ends_in_the_same_bytes() {
    let names: Vec<String> =
        files(&checkpoint(trained(), "r", 6)).iter().map(|file| name_of(file).to_owned()).collect();
    for name in names {
        let dir = copy();
        flip(&checkpoint(dir.path(), "r", 6).join(&name));
        let damaged = "r/checkpoints/step-000006: damaged: ";
        let in_file = if name == MANIFEST { "" } else { &name };
        resumes(dir.path(), 4, &[damaged, in_file]);
    }
}

#[test]
fn training_goes_back_as_far_as_it_has_to() {
    let dir = copy();
    let path = dir.path();
    let cut = checkpoint(path, "r", 6).join("training_state.safetensors");
    fs::write(&cut, &fs::read(&cut).unwrap()[..100]).unwrap();
    fs::remove_file(checkpoint(path, "r", 4).join("tokenizer.json")).unwrap();
    let told = [
        "r/checkpoints/step-000006: damaged: training_state.safetensors: expected ",
        "r/checkpoints/step-000004: damaged: tokenizer.json: expected ",
    ];
    resumes(path, 2, &told);

    let dir = copy();
    fs::remove_dir_all(checkpoint(dir.path(), "r", 6)).unwrap();
    resumes(dir.path(), 4, &["r/checkpoints/step-000006: damaged: "]);
}

#[test]
fn pointers_that_are_lost_or_unreadable_lose_no_checkpoint() {
    for (pointer, text) in [("latest.json", ""), ("best.json", "{\"checkpoint\": 3}")] {
        let dir = copy();
        fs::write(dir.path().join("r").join(pointer), text).unwrap();
        resumes(dir.path(), 6, &[pointer]);
    }
    let dir = copy();
    fs::remove_file(dir.path().join("r/latest.json")).unwrap();
    resumes(dir.path(), 6, &["no latest.json"]);
}

#[test]
fn a_best_pointer_that_a_kill_left_ahead_is_taken_back() {
    // As after a kill between the two pointers of step 6, which is the best.
    let dir = copy();
    let path = dir.path();
    assert_eq!(best(path).0, "r/checkpoints/step-000006");
    let state = read_json(&checkpoint(path, "r", 4).join("training_state.json"));
    let latest = json!({"checkpoint": "step-000004", "step": 4, "macro_f1": null});
    fs::write(path.join("r/latest.json"), latest.to_string()).unwrap();
    let answer = run(path, "train --run-dir r --resume --steps 5 --eval-every 0");
    assert!(!answer.stderr.contains("warning"), "{}", answer.stderr);
    answer.success();
    let found = read_json(&path.join("r/best.json"));
    assert!(found["macro_f1"].as_f64() >= state["best"][1].as_f64(), "{found}");
    assert!(found["step"].as_u64() <= Some(5), "{found}");
    run(path, &format!("{PREDICT} r")).success();
}

#[test]
fn without_an_intact_checkpoint_every_damage_is_named_and_nothing_is_written() {
    let dir = copy();
    let path = dir.path();
    flip(&checkpoint(path, "r", 6).join("model.safetensors"));
    fs::remove_file(checkpoint(path, "r", 4).join("training_state.json")).unwrap();
    fs::write(checkpoint(path, "r", 2).join(MANIFEST), "[]").unwrap();
    let told = "r: none of its checkpoints is intact: |--force\
                |step-000006: damaged: model.safetensors: expected SHA-256 \
                |step-000004: damaged: training_state.json: expected \
                |step-000002: damaged: metabert_manifest.json: expected a list of files";
    refuses(path, "train --run-dir r --resume", told);
}

#[test]
fn resuming_warns_of_a_lost_best_checkpoint_and_keeps_its_pointer() {
    let dir = copy();
    let path = dir.path();
    // The run as if its second step were the best.
    let best = json!({"checkpoint": "step-000002", "step": 2, "macro_f1": 1.5});
    fs::write(path.join("r/best.json"), best.to_string()).unwrap();
    let last = checkpoint(path, "r", 6);
    let mut progress = read_json(&last.join("training_state.json"));
    progress["best"] = json!([2, 1.5]);
    fs::write(last.join("training_state.json"), progress.to_string()).unwrap();
    fs::remove_file(last.join(MANIFEST)).unwrap();
    metabert::run::manifest::write(&last).unwrap();
    flip(&checkpoint(path, "r", 2).join("model.safetensors"));
    let answer = run(path, "train --run-dir r --resume");
    let told = "warning: r/checkpoints/step-000002: damaged: model.safetensors: ";
    assert!(answer.stderr.contains(told), "{}", answer.stderr);
    assert!(answer.stderr.contains("the best so far"), "{}", answer.stderr);
    answer.success();
    assert_eq!(read_json(&path.join("r/best.json")), best);
    refuses(
        path,
        &format!("{PREDICT} r"),
        "step-000002: damaged|intact one instead: r/checkpoints",
    );
}

#[test]
fn a_checkpoint_without_a_manifest_is_used_only_as_a_plain_model() {
    let dir = copy();
    let path = dir.path();
    fs::remove_file(checkpoint(path, "r", 6).join(MANIFEST)).unwrap();
    resumes(path, 4, &["r/checkpoints/step-000006: damaged: metabert_manifest.json: "]);

    let last = "r/checkpoints/step-000006";
    fs::remove_file(path.join(last).join(MANIFEST)).unwrap();
    fs::remove_file(path.join("o")).unwrap();
    let told = format!("{last}: damaged: {MANIFEST}: expected a list of files, found no file");
    for command in [
        format!("{PREDICT} {last}"),
        format!("train --run-dir other --model {last} --steps 1 {SMALL}"),
    ] {
        refuses(path, &command, &format!("{told}|{AS_A_PLAIN_MODEL}"));
    }
    fs::remove_file(path.join(last).join("metabert.toml")).unwrap();
    run(path, &format!("{PREDICT} {last}")).success();
    // A run has no plain models.
    refuses(path, "model info r", &told);
}

#[test]
fn an_adapted_model_is_verified_but_for_its_card() {
    let dir = copy();
    let path = dir.path();
    let finetune = "finetune --domain boots --data @data --folds 0 --inner-steps 1 --device cpu";
    run(path, &format!("{finetune} --checkpoint r --out out")).success();
    fs::write(path.join("out/README.md"), "# My boots\n").unwrap();
    run(path, &format!("{PREDICT} out")).success();
    fs::remove_file(path.join("o")).unwrap();
    flip(&path.join("out/config.json"));
    let told = format!("out: damaged: config.json: expected SHA-256 |{AS_A_PLAIN_MODEL}");
    refuses(path, &format!("{PREDICT} out"), &told);
    flip(&path.join("out/config.json"));
    fs::write(path.join("out/vocab.txt"), "[UNK]\n").unwrap();
    refuses(path, &format!("{PREDICT} out"), "out: damaged: vocab.txt: expected ");
}

#[test]
fn as_many_of_the_best_checkpoints_are_kept_as_asked_for() {
    let dir = work_dir();
    let path = dir.path();
    for keep_best in [1, 3] {
        let run_name = format!("best-{keep_best}");
        let settings = "--steps 9 --eval-every 1 --checkpoint-every 0 --outer-lr 1e-2 \
                        --set evaluate.dev_episodes=2";
        let keep = format!("--set train.keep_best={keep_best} --run-dir {run_name}");
        run(path, &format!("train --model @adapted {keep} {settings} {SMALL}")).success();
        let mut scores: Vec<(f64, u64)> = events(&path.join(&run_name), "evaluated")
            .iter()
            .map(|event| (event["macro_f1"].as_f64().unwrap(), event["step"].as_u64().unwrap()))
            .collect();
        scores.sort_by(|left, right| right.0.total_cmp(&left.0).then(left.1.cmp(&right.1)));
        // The last step is kept as the last.
        let best = scores.iter().take(keep_best).map(|(_, step)| *step).chain([9]);
        let expected: BTreeSet<String> = best.map(|step| format!("step-{step:06}")).collect();
        let checkpoints = path.join(&run_name).join("checkpoints");
        let found: BTreeSet<String> = fs::read_dir(checkpoints)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(found, expected, "{scores:?}");
        let pointer = read_json(&path.join(&run_name).join("best.json"));
        assert_eq!(pointer["step"], scores[0].1, "{scores:?}");
    }
}
