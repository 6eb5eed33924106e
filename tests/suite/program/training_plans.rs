//! Plans that a single `train` of so many steps does not make: one training after another, and a budget of time.

use std::fs;

use serde_json::{Value, json};

use crate::support::run::{SMALL, events, run, work_dir};

const TRAIN: &str = "--set data.meta_dev_count=1 --set outer.schedule=linear";

#[test]
fn training_starts_from_the_best_checkpoint_of_another_run() {
    let dir = work_dir();
    let path = dir.path();
    let train = |arguments: &str| run(path, &format!("train {TRAIN} {SMALL} {arguments}"));
    train("--algo transfer --model @tiny --steps 2 --outer-lr 1e-2 --run-dir first").success();
    // A step of no length at all: what is saved is the start.
    let second = "--algo fomaml --model first --run-dir second --outer-lr 1e-60 --steps 1";
    train(second).success();
    let best = |run: &str| -> Vec<u8> {
        let pointer = fs::read(path.join(run).join("best.json")).unwrap();
        let pointer: Value = serde_json::from_slice(&pointer).unwrap();
        let name = pointer["checkpoint"].as_str().unwrap();
        fs::read(path.join(run).join("checkpoints").join(name).join("model.safetensors")).unwrap()
    };
    assert!(best("first") == best("second"), "training began elsewhere");

    let environment = fs::read(path.join("second/environment.json")).unwrap();
    let environment: Value = serde_json::from_slice(&environment).unwrap();
    let seen = environment["seen_before"].as_array().unwrap().len();
    let trained_on = |side: &str| environment[side].as_array().unwrap().len();
    assert_eq!(seen, trained_on("meta_train") + trained_on("meta_dev"), "{environment}");
    // A domain that the first run was trained on is new to nobody.
    let name = environment["meta_train"][0].as_str().unwrap();
    let settings = SMALL.replace("--low-resource-max 16", &format!("--low-resource {name}"));
    let found = run(
        path,
        &format!("train --algo fomaml {TRAIN} {settings} --model first --steps 1 --run-dir third"),
    );
    let warning = format!("warning: {name} was a training or meta-dev domain of ");
    assert!(found.stderr.contains(&warning), "{}", found.stderr);
    // Nor is it where its training came before that of the run that is started from.
    let found =
        run(path, &format!("eval --checkpoint second --domain {name} --episodes 1 {SMALL}"));
    assert!(found.stderr.contains("was a training or meta-dev domain of"), "{}", found.stderr);
}

#[test]
fn one_command_starts_a_run_and_continues_it() {
    let dir = work_dir();
    let path = dir.path();
    let settings =
        format!("--algo fomaml --model @tiny --outer-lr 1e-2 --set data.meta_dev_count=1 {SMALL}");
    let train = |arguments: &str| run(path, &format!("train {settings} {arguments}"));
    train("--run-dir whole --steps 4").success();
    for steps in [2, 4, 4] {
        train(&format!("--run-dir parts --steps {steps} --resume auto")).success();
    }
    let [whole, parts] = ["whole", "parts"].map(|run| {
        fs::read(path.join(run).join("checkpoints/step-000004/model.safetensors")).unwrap()
    });
    assert!(whole == parts, "the run in parts ended elsewhere");
    // Without the word it resumes in any case.
    let found = train("--run-dir none --resume --steps 4");
    assert_eq!(found.code, Some(2), "{}", found.stderr);
    // Files that are no run are not taken for one.
    fs::create_dir(path.join("other")).unwrap();
    fs::write(path.join("other/notes.txt"), "mine").unwrap();
    let found = train("--run-dir other --resume auto --steps 4");
    assert_eq!(found.code, Some(2), "{}", found.stderr);
    assert!(found.stderr.contains("other"), "{}", found.stderr);
}

#[test]
fn a_budget_of_time_ends_training_and_learning_rates_decay_over_it() {
    let dir = work_dir();
    let path = dir.path();
    let timed = format!(
        "train --algo fomaml --model @tiny --time 2s --outer-lr 1e-2 --eval-every 0 --run-dir timed {TRAIN} {SMALL}"
    );
    run(path, &timed).success();
    let steps = events(&path.join("timed"), "outer_step");
    let number = |event: &Value, key: &str| event[key].as_f64().unwrap();
    let (first, last) = (&steps[0], &steps[steps.len() - 1]);
    // The last step begins within the budget, and the first is taken at the full rate.
    assert!(number(&steps[steps.len() - 2], "elapsed_s") < 2.0, "{last}");
    assert!(number(last, "elapsed_s") >= 2.0, "{last}");
    assert_eq!(number(first, "lr"), 1e-2);
    for step in &steps[1..] {
        // The rate of a step is decided before it is taken.
        let left = 1.0 - number(step, "elapsed_s") / 2.0;
        assert!(number(step, "lr") / 1e-2 > left - 1e-3, "{step}");
    }
    assert!(number(last, "lr") < 0.3e-2, "{last}");
    let started = events(&path.join("timed"), "started");
    assert_eq!(started[0]["steps"], json!(null));

    for (given, expected) in
        [("5", "such as 90s, 30m or 2h"), ("0m", "such as 90s"), ("m", "such as")]
    {
        let found = run(
            path,
            &format!("train --algo fomaml --model @tiny --run-dir r --time {given} {SMALL}"),
        );
        assert_eq!(found.code, Some(2), "{}", found.stderr);
        assert!(found.stderr.contains(expected), "{}", found.stderr);
    }
    let both = run(
        path,
        &format!("train --algo fomaml --model @tiny --run-dir r --time 5s --steps 3 {SMALL}"),
    );
    assert_eq!(both.code, Some(2), "{}", both.stderr);
}

#[test]
fn training_takes_the_best_known_recipe_for_the_label_sets_of_its_data() {
    let dir = work_dir();
    let path = dir.path();
    let record = |domain: usize, label: usize, text: usize| {
        json!({"domain": format!("d{domain}"), "label": format!("{domain}-{label}"),
               "text": format!("text {text} of {label} in {domain}")})
    };
    let records: Vec<Value> =
        (0..4).flat_map(|domain| (0..60).map(move |text| record(domain, text % 3, text))).collect();
    fs::write(path.join("own.json"), json!(records).to_string()).unwrap();
    fs::write(path.join("empty.toml"), "").unwrap();
    let settings = |arguments: &str| {
        let printed = run(path, &format!("train --model @tiny {arguments} --print-config"));
        let settings: toml::Table = printed.success().parse().expect("printed settings are TOML");
        [settings["preset"].clone(), settings["train"]["algo"].clone()]
            .map(|value| value.as_str().expect("a name").to_owned())
    };
    for (arguments, expected) in [
        ("--data @data", ["reviews", "transfer"]),
        ("--data own.json", ["intents", "protonet"]),
        ("--data own.json --outer-lr 1e-3", ["intents", "protonet"]),
        ("--data own.json --algo transfer", ["", "transfer"]),
        ("--data own.json --set train.algo=anil", ["", "anil"]),
        ("--data own.json --preset reviews", ["reviews", "transfer"]),
        ("--data own.json --config empty.toml", ["", "fomaml"]),
        ("", ["", "fomaml"]),
    ] {
        assert_eq!(settings(arguments), expected, "{arguments}");
    }
    let train = "train --data own.json --model @tiny --run-dir run --steps 2 --low-resource d3 \
                 --set data.meta_dev_count=1 --query 8 --threads 1 --device cpu";
    let found = run(path, train);
    assert!(found.stderr.contains("the domains have labels of their own: --preset intents"));
    found.success();
    let stored = fs::read_to_string(path.join("run/config.toml")).unwrap();
    assert!(stored.contains("preset = \"intents\""), "{stored}");
    run(path, "train --run-dir run --resume").success();
}
