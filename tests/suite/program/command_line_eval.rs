//! In `eval` every checkpoint adapts by its own settings, on the same draws.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::evaluation::{number, scored};
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

/// The JSON of `eval` with the common settings, but for those that are given.
fn eval(dir: &Path, arguments: &str) -> Value {
    let json = run(dir, &format!("eval --json {}", evaluation(arguments))).success();
    serde_json::from_str(&json).unwrap()
}

/// These arguments and the common ones that they leave open.
fn evaluation(arguments: &str) -> String {
    let mut all = format!("{COMMON} {arguments}");
    for (flag, common) in [("--support", "--support 8"), ("--query", "--query 4")] {
        if arguments.contains(flag) {
            all = all.replacen(common, "", 1);
        }
    }
    if !arguments.contains("--episodes") {
        all.push_str(" --episodes 2");
    }
    all
}

/// Algorithm, rule, learning rate, minibatch and number of steps of each checkpoint.
fn settings(table: &Value) -> Vec<Value> {
    let checkpoints = table["checkpoints"].as_array().expect("an array of checkpoints");
    let with_scores = checkpoints.iter().zip(scored(table));
    let of_checkpoint = with_scores.map(|(checkpoint, scored)| {
        let (inner, steps) = (&checkpoint["inner"], &scored.domains[0]["inner_steps"]);
        json!([checkpoint["algo"], inner["optimizer"], inner["lr"], inner["batch"], steps])
    });
    of_checkpoint.collect()
}

#[test]
fn every_checkpoint_of_a_table_adapts_by_its_own_settings() {
    let dir = work_dir();
    let path = dir.path();
    train_two(path);
    let table = eval(path, "--checkpoint first --baselines second,@tiny");
    let expected = [
        json!(["fomaml", "adam", 1e-2, 4, 2]),
        json!(["reptile", "sgd", 0.5, 2, 3]),
        // The model that no run made has the defaults: 10 epochs of one minibatch.
        json!(["none", "adam", 5e-5, 12, 10]),
    ];
    assert_eq!(settings(&table), expected);
    // As alone, and so not by the settings of the first.
    let alone = eval(path, "--checkpoint second");
    let [accompanied, own] = [scored(&table)[1].overall, scored(&alone)[0].overall];
    assert_eq!(accompanied["log_loss"], own["log_loss"]);
    assert_eq!(settings(&alone), expected[1..2]);

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
    let expected = [
        json!(["fomaml", "adam", 1e-3, 3, 1]),
        json!(["reptile", "sgd", 1e-3, 3, 1]),
        json!(["none", "adam", 1e-3, 3, 1]),
    ];
    assert_eq!(settings(&table), expected);
}

#[test]
fn the_command_line_does_not_change_how_a_checkpoint_was_trained() {
    let dir = work_dir();
    let path = dir.path();
    train_two(path);
    let arguments = "--checkpoint first --baselines second,@tiny --set train.algo=transfer";
    let table = eval(path, arguments);
    let algorithms = [0, 1, 2].map(|position| table["checkpoints"][position]["algo"].clone());
    assert_eq!(algorithms, ["fomaml", "reptile", "none"]);
}

fn keys(object: &Value) -> BTreeSet<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// Programs read these keys.
#[test]
fn results_have_an_object_for_each_checkpoint_and_domain_and_for_all() {
    let dir = work_dir();
    let table = eval(dir.path(), "--checkpoint @adapted --baselines @tiny --seed 3");
    let drawn = ["dataset", "dataset_sha256", "seed", "episodes", "support", "query", "max_length"];
    let digests = ["draws_sha256", "draws_sha256_by_support", "test_data_sha256"];
    let listed = ["every_label", "support_per_label", "checkpoints", "results"];
    assert_eq!(keys(&table), drawn.into_iter().chain(digests).chain(listed).collect());
    assert!(table["test_data_sha256"].is_null(), "{table}");
    let digest = |arguments: &str| eval(dir.path(), arguments)["draws_sha256"].clone();
    assert_eq!(digest("--checkpoint @tiny --seed 3"), table["draws_sha256"], "the same draws");
    assert_ne!(digest("--checkpoint @tiny --seed 4"), table["draws_sha256"], "others");
    // The draws of a size do not depend on others.
    let sizes = eval(dir.path(), "--checkpoint @tiny --seed 3 --support 6,8");
    assert_ne!(sizes["draws_sha256"], table["draws_sha256"]);
    assert_eq!(sizes["draws_sha256_by_support"]["8"], table["draws_sha256_by_support"]["8"]);
    assert!(table["draws_sha256_by_support"]["8"].is_string(), "{table}");
    assert_eq!([&table["support"], &table["support_per_label"]], [&json!([8]), &json!([])]);

    let of_each = "checkpoint domain support support_per_label num_scored accuracy macro_f1 log_loss \
        calibration_error auc zero_step_accuracy zero_step_macro_f1 zero_step_log_loss \
        zero_step_calibration_error zero_step_auc gain differences";
    let of_domain = format!(
        "{of_each} num_support inner_steps labels confusion reliability zero_step_reliability \
        inner_losses num_fallen_back num_without_names draws"
    );
    let [of_each, of_domain] =
        [of_each, &of_domain].map(|keys| keys.split_whitespace().collect::<BTreeSet<_>>());
    let scored = scored(&table);
    for (scored, checkpoint) in scored.iter().zip(["adapted", "tiny", "majority"]) {
        assert_eq!(scored.domains.len(), 2);
        for result in scored.domains {
            assert_eq!(keys(result), of_domain);
            assert_eq!((&result["support"], &result["num_support"]), (&json!(8), &json!(8)));
        }
        assert_eq!(keys(scored.overall), of_each);
        assert_eq!(scored.overall["num_scored"], 8);
        let name = scored.overall["checkpoint"].as_str().unwrap();
        assert!(name.ends_with(checkpoint), "{name}");
        for estimate in ["accuracy", "macro_f1", "zero_step_accuracy", "zero_step_macro_f1"] {
            assert_eq!(keys(&scored.overall[estimate]), ["mean", "low", "high"].into());
        }
    }
    assert_eq!(scored.len(), 3);
    // A constant answer is certain, and so infinitely wrong once: JSON has no infinity.
    assert_eq!(scored[2].overall["log_loss"], Value::Null);
}

#[test]
fn the_scores_of_a_domain_are_those_of_its_confusion_counts() {
    let dir = work_dir();
    let table = eval(dir.path(), "--checkpoint @adapted --episodes 3 --seed 3");
    for result in scored(&table)[0].domains {
        let counts: Vec<Vec<f64>> = serde_json::from_value(result["confusion"].clone()).unwrap();
        assert_eq!(counts.iter().flatten().sum::<f64>(), 12.0, "3 draws of 4 texts");
        let mut f1 = Vec::new();
        for (at, label) in result["labels"].as_array().unwrap().iter().enumerate() {
            let texts = counts[at].iter().sum::<f64>();
            let answers = counts.iter().map(|row| row[at]).sum::<f64>();
            assert_eq!(number(label, "texts"), texts, "{label}");
            if texts + answers > 0.0 {
                f1.push(2.0 * counts[at][at] / (texts + answers));
                assert!((number(label, "f1") - f1[f1.len() - 1]).abs() < 1e-12, "{label}");
            }
        }
        let macro_f1 = f1.iter().sum::<f64>() / f1.len() as f64;
        let shown = number(result, "macro_f1/mean");
        assert!((shown - macro_f1).abs() < 1e-12, "shown {shown}, by the counts {macro_f1}");
        let accuracy = (0..counts.len()).map(|at| counts[at][at]).sum::<f64>() / 12.0;
        assert!((number(result, "accuracy/mean") - accuracy).abs() < 1e-12, "{result}");
    }
}

#[test]
fn every_support_size_is_scored_on_all_other_texts() {
    let dir = work_dir();
    let arguments = "--checkpoint @adapted --support 12,4 --query all";
    let table = eval(dir.path(), arguments);
    assert_eq!((&table["support"], &table["query"]), (&json!([12, 4]), &json!("all")));
    let scored = scored(&table);
    // The checkpoint and the majority, each with two sizes; the domains have 14 and 15 texts.
    assert_eq!(scored.len(), 4);
    for (scored, (support, steps, num_scored)) in
        scored.iter().zip([(12, 60, [2, 3]), (4, 60, [10, 11])])
    {
        for (result, num_scored) in scored.domains.iter().zip(num_scored) {
            let found = ["support", "inner_steps", "num_scored"].map(|key| result[key].clone());
            assert_eq!(found, [support, steps, num_scored].map(Value::from), "{result}");
        }
        assert_eq!(scored.overall["num_scored"], num_scored.iter().sum::<i32>());
    }
    // As each size by itself.
    let alone = eval(dir.path(), &arguments.replace("12,4", "4"));
    assert_eq!(self::scored(&alone)[0].overall, scored[1].overall);

    let text = run(dir.path(), &format!("eval {}", evaluation(arguments))).success();
    let (_, comparison) = text.rsplit_once("all domains").unwrap();
    assert!(comparison.contains("support 12") && comparison.contains("support 4"), "{text}");
}

#[test]
fn support_sets_are_counted_by_label() {
    let dir = work_dir();
    let table = eval(dir.path(), "--checkpoint @tiny --support-per-label 1,3");
    assert_eq!([&table["support"], &table["support_per_label"]], [&json!([]), &json!([1, 3])]);
    for (scored, per_label) in scored(&table).iter().zip([1, 3]) {
        for result in scored.domains {
            let found = ["support_per_label", "num_support"].map(|key| result[key].clone());
            assert_eq!(found, [per_label, 2 * per_label].map(Value::from), "{result}");
        }
    }
}
