//! Numbers that are not finite stop a run, which can resume, or are left out, as configured.

use std::fs;
use std::path::Path;

use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::support::run::{
    Answer, SMALL, assert_same_bytes, events, json as read_json, logged_steps, repository, run,
    tiny, tiny_records, work_dir,
};

/// A wordpiece that no text of data/tiny.json has.
const RARE: &str = "中";

/// Writes `data.json`, where every text of one domain holds [`RARE`], and `model`, whose embedding of it is infinite: what
/// an exploded gradient leaves.
fn poison(dir: &Path, domain: &str) {
    let mut records = tiny_records();
    for record in records.iter_mut().filter(|record| record["domain"] == domain) {
        record["text"] = format!("{RARE} {}", record["text"].as_str().unwrap()).into();
    }
    fs::write(dir.join("data.json"), Value::from(records).to_string()).unwrap();
    fs::create_dir(dir.join("model")).unwrap();
    for entry in fs::read_dir(tiny()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), dir.join("model").join(entry.file_name())).unwrap();
    }
    let vocabulary = fs::read_to_string(repository("tests/fixtures/bert/plain/vocab.txt")).unwrap();
    let row = vocabulary.lines().position(|wordpiece| wordpiece == RARE).unwrap();
    let file = dir.join("model/model.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    let (header, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let table = metadata.info("bert.embeddings.word_embeddings.weight").unwrap();
    let row_bytes = table.shape[1] * 4;
    let start = 8 + header + table.data_offsets.0 + row * row_bytes;
    for element in bytes[start..start + row_bytes].chunks_mut(4) {
        element.copy_from_slice(&f32::INFINITY.to_le_bytes());
    }
    fs::write(file, bytes).unwrap();
}

fn train(dir: &Path, run_dir: &str, more: &str) -> Answer {
    let small = SMALL.replace("@data", "data.json");
    let settings = "--algo fomaml --outer-lr 1e-2 --workers 2 --checkpoint-every 0 \
                    --set evaluate.dev_episodes=1";
    run(dir, &format!("train --run-dir {run_dir} {settings} {small} {more}"))
}

const NO_DEV: &str = "--set data.meta_dev_count=0";
const SKIP: &str = "--set train.non_finite=skip";

fn episodes_of(event: &Value) -> Vec<u64> {
    let episodes = event["episodes"].as_array().expect("a list of episodes");
    episodes.iter().map(|index| index.as_u64().unwrap()).collect()
}

#[test]
fn a_run_that_stops_names_the_episode_and_resumes_before_it() {
    let dir = work_dir();
    let path = dir.path();
    poison(path, "kettles");
    train(path, "skipping", &format!("--model model --steps 12 --meta-batch 2 {NO_DEV} {SKIP}"))
        .success();
    let skipped = events(&path.join("skipping"), "skipped");
    assert!(!skipped.is_empty() && skipped.len() < 20, "a poor choice of seeds: {skipped:?}");
    for event in &skipped {
        assert_eq!(event["domain"], "kettles");
    }
    // Every episode is either learned from or left out, and no other is left out.
    let steps = events(&path.join("skipping"), "outer_step");
    let mut all: Vec<u64> = steps.iter().chain(&skipped).flat_map(episodes_of).collect();
    all.sort_unstable();
    assert_eq!(all, (0..24).collect::<Vec<_>>());
    assert!(!steps.iter().any(|step| step["domains"].to_string().contains("kettles")));
    assert!(steps.iter().all(|step| step["query_loss"].is_f64()), "{steps:?}");

    let stopped =
        train(path, "stopping", &format!("--model model --steps 12 --meta-batch 2 {NO_DEV}"));
    assert_eq!(stopped.code, Some(1), "{}", stopped.stderr);
    let (step, episode) = (skipped[0]["step"].as_u64().unwrap(), &skipped[0]["episodes"][0]);
    let told = format!(
        "outer step {step}: the support loss is NaN in episode {episode} (domain kettles); "
    );
    assert!(stopped.stderr.contains(&told), "expected {told:?} in {}", stopped.stderr);
    assert_eq!(events(&path.join("stopping"), "finished").last().unwrap()["reason"], "failed");
    assert_eq!(read_json(&path.join("stopping/latest.json"))["step"], step - 1);

    // The command in its message brings it to the end of the other run.
    let (_, rest) = stopped.stderr.split_once("`metabert ").expect("a command");
    let (command, _) = rest.split_once('`').expect("a command in backquotes");
    run(path, command).success();
    for file in ["model.safetensors", "training_state.safetensors"] {
        let last = format!("checkpoints/step-000012/{file}");
        assert_same_bytes(&path.join("skipping").join(&last), &path.join("stopping").join(&last));
    }
    let log = fs::read_to_string(path.join("stopping/config.toml")).unwrap();
    assert!(log.contains("non_finite = \"skip\""), "a changed setting is not recorded: {log}");
}

#[test]
fn steps_without_a_finite_episode_move_nothing_across_a_resume() {
    let dir = work_dir();
    let path = dir.path();
    poison(path, "kettles");
    let settings = format!("--meta-batch 1 {NO_DEV} {SKIP}");
    train(path, "whole", &format!("--model model --steps 16 {settings}")).success();
    let skipped = events(&path.join("whole"), "skipped");
    let empty: Vec<u64> = skipped.iter().map(|event| event["step"].as_u64().unwrap()).collect();
    let half = empty[0];
    assert!(half < 16, "{empty:?}");
    train(path, "parts", &format!("--model model --steps {half} {settings}")).success();
    let state =
        read_json(&path.join(format!("parts/checkpoints/step-{half:06}/training_state.json")));
    assert_eq!(state["skipped_steps"], 1);
    train(path, "parts", &format!("--model model --steps 16 {settings} --resume")).success();
    for file in ["model.safetensors", "training_state.safetensors"] {
        let last = format!("checkpoints/step-000016/{file}");
        assert_same_bytes(&path.join("whole").join(&last), &path.join("parts").join(&last));
    }
    let taken = logged_steps(&path.join("parts"));
    assert_eq!(taken, (1..=16).filter(|step| !empty.contains(step)).collect::<Vec<_>>());
}

#[test]
fn a_run_of_which_nothing_is_finite_stops_all_the_same() {
    let dir = work_dir();
    let path = dir.path();
    poison(path, "kettles");
    let answer =
        train(path, "r", &format!("--model model --steps 100 --inner-lr 1e30 {NO_DEV} {SKIP}"));
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    assert!(answer.stderr.contains("outer step 10: "), "{}", answer.stderr);
    let told = "no episode of the last 10 outer steps was finite";
    assert!(answer.stderr.contains(told), "{}", answer.stderr);
    assert!(!answer.stderr.contains("non_finite=skip"), "advises what was done: {}", answer.stderr);
    assert_eq!(events(&path.join("r"), "outer_step"), Vec::<Value>::new());
    assert_eq!(events(&path.join("r"), "skipped").len(), 20);
}

#[test]
fn an_evaluation_that_diverges_stops_the_run_or_is_left_out() {
    let dir = work_dir();
    let path = dir.path();
    poison(path, "kettles");
    let settings = "--model model --steps 2 --eval-every 1 --set data.meta_dev=[\"kettles\"]";
    let stopped = train(path, "r", settings);
    assert_eq!(stopped.code, Some(1), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("not finite"), "{}", stopped.stderr);
    assert_eq!(read_json(&path.join("r/latest.json"))["step"], 1);
    run(path, &format!("train --run-dir r --resume {SKIP}")).success();
    let skipped = events(&path.join("r"), "skipped");
    let steps: Vec<&Value> = skipped.iter().map(|event| &event["step"]).collect();
    assert_eq!(steps, [&json!(1), &json!(2)], "{skipped:?}");
    assert!(!path.join("r/best.json").exists(), "a best of no evaluation");
    assert_eq!(logged_steps(&path.join("r")), [1, 2]);
}

#[test]
fn a_domain_of_one_label_is_warned_of_refused_or_left_out() {
    let dir = work_dir();
    let path = dir.path();
    let mut records = tiny_records();
    records.retain(|record| record["domain"] != "podcasts" || record["label"] == "positive");
    fs::write(path.join("data.json"), Value::from(records).to_string()).unwrap();
    let train = |run_dir: &str, policy: &str| {
        let policy = format!("--set data.single_label_domains={policy}");
        // The domain has 13 texts left, and is no low-resource one.
        let fewer = "--set data.low_resource=[\"gardening\"]";
        train(path, run_dir, &format!("--model @tiny --steps 2 {NO_DEV} {fewer} {policy}"))
    };
    let told = "data.json: every text of the domain \"podcasts\" has the label \"positive\"";
    let warned = train("warned", "warn");
    assert!(warned.stderr.contains(&format!("warning: {told}\n")), "{}", warned.stderr);
    warned.success();

    let refused = train("refused", "error");
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("the domain \"podcasts\" has the label"), "{}", refused.stderr);
    assert!(!path.join("refused").exists());

    let dropped = train("dropped", "drop");
    assert!(
        dropped.stderr.contains(&format!("warning: {told}; it is left out\n")),
        "{}",
        dropped.stderr
    );
    dropped.success();
    let provenance = read_json(&path.join("dropped/checkpoints/step-000002/provenance.json"));
    let domains = provenance.to_string();
    assert!(domains.contains("boots") && !domains.contains("podcasts"), "{domains}");
}
