//! Every random stream of the program stays as it is: weights, domains, episodes, orders, masks, folds.
//!
//! The numbers are those of this program, recorded: they show a change, not an error. `src/seed.rs` compares the bits below
//! them with an independent implementation. `golden_curves` holds the order of a support set and its masks in training.

use std::path::Path;

use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::support::evaluation::{number, of_domains};
use crate::support::run::{
    ARCHITECTURE, SMALL, change_tensors, copied_model, events, json as read_json, json_lines, run,
    work_dir,
};

/// The first four values of a float32 tensor in the weights of a model directory.
fn first_values(model: &Path, tensor: &str) -> [f32; 4] {
    let bytes = std::fs::read(model.join("model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let data = tensors.tensor(tensor).unwrap().data();
    [0, 4, 8, 12].map(|start| f32::from_le_bytes(data[start..start + 4].try_into().unwrap()))
}

fn assert_close(what: &str, found: &[f32], recorded: &[f32], tolerance: f32) {
    let distance = found.iter().zip(recorded).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let is_close = found.len() == recorded.len() && distance <= tolerance;
    assert!(is_close, "{what}: off by {distance:e}\nfound    {found:?}\nrecorded {recorded:?}");
}

/// A draw is the same on every machine but for the last bit of a logarithm.
const DRAWN: f32 = 1e-7;
/// After steps of the adaptation, as between the instruction sets of `golden_curves`.
const COMPUTED: f32 = 1e-4;

#[test]
fn first_weights_are_the_recorded_ones() {
    let dir = work_dir();
    let path = dir.path();
    std::fs::write(path.join("a.json"), ARCHITECTURE).unwrap();
    run(path, "model init --config a.json --tokenizer @plain --seed 7 --out m").success();
    let found = first_values(&path.join("m"), "bert.embeddings.word_embeddings.weight");
    assert_close(
        "embeddings",
        &found,
        &[0.12709214, -0.029104704, -0.04444328, -0.10887674],
        DRAWN,
    );
    let found = first_values(&path.join("m"), "classifier.weight");
    assert_close("head", &found, &[0.14560787, -0.20024776, 0.113048494, -0.0870448], DRAWN);
}

#[test]
fn a_fresh_head_is_the_recorded_one() {
    let dir = work_dir();
    let path = dir.path();
    change_tensors(&copied_model(path, "encoder"), |name, shape| {
        (!name.starts_with("classifier.")).then_some(shape)
    });
    // One step too small to change a float32.
    let answer = run(
        path,
        "finetune --checkpoint encoder --domain boots --data @data --folds 0 --seed 7 --inner-steps 1 --inner-lr 1e-30 \
         --max-length 32 --threads 1 --device cpu --out out",
    );
    assert!(answer.stderr.contains("classifier.weight"), "not drawn: {}", answer.stderr);
    answer.success();
    let found = first_values(&path.join("out"), "classifier.weight");
    assert_close(
        "fresh head",
        &found,
        &[0.029121574, -0.040049553, 0.022609698, -0.01740896],
        DRAWN,
    );
}

#[test]
fn meta_train_episodes_are_the_recorded_ones() {
    let dir = work_dir();
    let list =
        "data episodes --data @data --low-resource-max 16 --support 4 --query 2 --seed 3 --count 4";
    let found = json_lines(&run(dir.path(), list).success());
    let recorded = [
        json!({"index": 0, "domain": "kettles", "support": [5, 13, 19, 18], "query": [9, 11]}),
        json!({"index": 1, "domain": "train_rides", "support": [83, 81, 88, 86], "query": [73, 92]}),
        json!({"index": 2, "domain": "kettles", "support": [3, 12, 20, 22], "query": [23, 18]}),
        json!({"index": 3, "domain": "kettles", "support": [11, 3, 17, 22], "query": [2, 5]}),
    ];
    assert_eq!(found, recorded, "found {}", json!(found));
}

/// The numbers of the events of one kind, event by event.
fn numbers(run_dir: &Path, kind: &str, keys: &[&str]) -> Vec<f32> {
    let events = events(run_dir, kind);
    let numbers = events.iter().flat_map(|event| keys.iter().map(|key| &event[*key]));
    numbers.map(|number| number.as_f64().expect("a number") as f32).collect()
}

/// The order of pooled minibatches, and the masks of a run.
#[test]
fn pooled_minibatches_are_the_recorded_ones() {
    let dir = work_dir();
    let settings = "--algo transfer --steps 3 --outer-lr 1e-2 --seed 3";
    run(dir.path(), &format!("train --model @tiny --run-dir r {settings} {SMALL}")).success();
    let losses = numbers(&dir.path().join("r"), "outer_step", &["query_loss"]);
    assert_close("losses", &losses, &[0.6747952, 0.63752204, 0.69595087], COMPUTED);
}

/// The choice of the meta-dev domains, their draws, and the adaptations to them.
#[test]
fn meta_dev_draws_are_the_recorded_ones() {
    let dir = work_dir();
    let settings = "--algo transfer --steps 1 --eval-every 1 --outer-lr 1e-6 --seed 3 --inner-lr 1e-2 \
                    --set evaluate.dev_episodes=6";
    run(dir.path(), &format!("train --model @adapted --run-dir r {settings} {SMALL}")).success();
    let environment = read_json(&dir.path().join("r/environment.json"));
    assert_eq!(environment["meta_dev"], json!(["boots", "podcasts"]));
    let keys = ["accuracy", "macro_f1", "zero_step_macro_f1"];
    let scores = numbers(&dir.path().join("r"), "evaluated", &keys);
    assert_close("scores", &scores, &[0.75, 0.74375623, 0.6920635], COMPUTED);
}

#[test]
fn evaluation_draws_are_the_recorded_ones() {
    let dir = work_dir();
    let eval = "eval --checkpoint @adapted --episodes 6 --seed 3 --inner-lr 1e-2 --json";
    let report = run(dir.path(), &format!("{eval} {SMALL}")).success();
    let report: Value = serde_json::from_str(&report).unwrap();
    let accuracies = |score: &str| -> Vec<f32> {
        let domains = of_domains(&report).iter();
        let draws = domains.flat_map(|domain| domain["draws"].as_array().unwrap());
        draws.map(|draw| number(draw, score) as f32).collect()
    };
    let zero_step = [0.75, 0.75, 0.5, 1.0, 0.75, 0.75, 0.0, 0.5, 0.0, 0.5, 0.25, 0.25];
    assert_close("zero-step", &accuracies("zero_step_accuracy"), &zero_step, COMPUTED);
    let adapted = [0.75, 0.75, 0.75, 1.0, 0.5, 0.75, 0.25, 0.25, 0.0, 0.75, 0.25, 0.25];
    assert_close("adapted", &accuracies("accuracy"), &adapted, COMPUTED);
}

/// The texts adapted to, their folds, the order of their minibatches and the masks.
#[test]
fn an_adapted_model_and_its_cross_validation_are_the_recorded_ones() {
    let dir = work_dir();
    let path = dir.path();
    let found = run(
        path,
        "finetune --checkpoint @tiny --domain boots --data @data --support 16 --folds 4 --seed 3 --inner-steps 8 \
         --set safeguard.calibrate=false --set safeguard.fall_back=false \
         --inner-batch 6 --inner-lr 1e-2 --max-length 32 --threads 1 --device cpu --out out",
    )
    .success();
    let recorded = "boots: accuracy 0.438 [0.312, 0.500], macro F1 0.377 [0.310, 0.377] \
                    (4-fold cross-validation, 95 % intervals over the folds)\nout\n";
    assert_eq!(found, recorded);
    let found = first_values(&path.join("out"), "classifier.weight");
    assert_close(
        "adapted head",
        &found,
        &[-0.13777797, -0.048779074, -0.015800165, 0.057684977],
        COMPUTED,
    );
}
