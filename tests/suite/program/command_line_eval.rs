//! In `eval` every checkpoint adapts by its own settings, on the same draws.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::run::{run, work_dir};

/// The settings that the checkpoints here have in common.
const COMMON: &str = "--data @data --low-resource-max 16 --support 8 --query 4 --max-length 32 \
                      --threads 1 --device cpu --precision fp32";

/// Trains two checkpoints with other inner settings.
fn train_two(dir: &Path) {
    let fomaml = "--algo fomaml --inner-lr 1e-2 --inner-epochs 1 --inner-batch 4";
    let reptile = "--algo reptile --set inner.optimizer=sgd --inner-lr 0.5 --inner-steps 3 \
                   --inner-batch 2 --set episode.domain_law=size";
    for (name, inner) in [("first", fomaml), ("second", reptile)] {
        let train = "train --model @tiny --steps 1";
        run(dir, &format!("{train} --run-dir {name} {COMMON} {inner}")).success();
    }
}

fn eval(dir: &Path, arguments: &str) -> Value {
    let eval = format!("eval --episodes 2 --json {COMMON} {arguments}");
    serde_json::from_str(&run(dir, &eval).success()).unwrap()
}

/// Algorithm, rule, learning rate, minibatch and number of steps of one row.
fn settings(row: &Value) -> Value {
    let inner = &row["inner"];
    json!([row["algo"], inner["optimizer"], inner["lr"], inner["batch"], row["inner_steps"]])
}

#[test]
fn every_checkpoint_of_a_table_adapts_by_its_own_settings() {
    let dir = work_dir();
    let path = dir.path();
    train_two(path);
    let table = eval(path, "--checkpoint first --baselines second,@tiny");
    assert_eq!(settings(&table), json!(["fomaml", "adam", 1e-2, 4, 2]));
    let baselines = table["baselines"].as_array().unwrap();
    assert_eq!(settings(&baselines[0]), json!(["reptile", "sgd", 0.5, 2, 3]));
    // The model that no run made has the defaults: 10 epochs of one minibatch.
    assert_eq!(settings(&baselines[1]), json!(["none", "adam", 5e-5, 12, 10]));
    // As alone, and so not by the settings of the first.
    let alone = eval(path, "--checkpoint second");
    assert_eq!(baselines[0]["domains"], alone["domains"]);
    assert_eq!(settings(&alone), settings(&baselines[0]));

    let text = format!("eval --episodes 2 {COMMON} --checkpoint first --baselines second,@tiny");
    let text = run(path, &text).success();
    for line in [
        "trained by fomaml; adapts in 2 steps of adam, lr 1e-2, batch 4",
        "trained by reptile; adapts in 3 steps of sgd, lr 5e-1, batch 2",
        "trained by none; adapts in 10 steps of adam, lr 5e-5, batch 12",
    ] {
        assert!(text.contains(line), "no {line} in {text}");
    }
}

#[test]
fn settings_on_the_command_line_override_those_of_every_checkpoint() {
    let dir = work_dir();
    let path = dir.path();
    train_two(path);
    let flags = "--inner-lr 1e-3 --inner-steps 1 --set inner.batch=3";
    let table = eval(path, &format!("--checkpoint first --baselines second,@tiny {flags}"));
    assert_eq!(settings(&table), json!(["fomaml", "adam", 1e-3, 3, 1]));
    assert_eq!(settings(&table["baselines"][0]), json!(["reptile", "sgd", 1e-3, 3, 1]));
    assert_eq!(settings(&table["baselines"][1]), json!(["none", "adam", 1e-3, 3, 1]));
}

#[test]
fn the_command_line_does_not_change_how_a_checkpoint_was_trained() {
    let dir = work_dir();
    let path = dir.path();
    train_two(path);
    let arguments = "--checkpoint first --baselines second,@tiny --set train.algo=transfer";
    let table = eval(path, arguments);
    let baselines = table["baselines"].as_array().unwrap();
    let algorithms = [&table, &baselines[0], &baselines[1]].map(|row| row["algo"].clone());
    assert_eq!(algorithms, ["fomaml", "reptile", "none"]);
}
