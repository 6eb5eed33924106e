//! From training to predictions with other label sets than two labels in equal shares.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::evaluation::{number, of_domains};
use crate::support::run::{ARCHITECTURE, SMALL, json as read_json, json_lines, run, work_dir};

const LABELS: [&str; 3] = ["bad", "fine", "good"];
/// Large domains to train on, and a small one to adapt to.
const DOMAINS: [(&str, usize); 4] = [("book", 30), ("camera", 30), ("phone", 30), ("screen", 15)];

/// Words of a text of each label: with them the labels can be learned.
const SIGNS: [&str; 3] = ["bad, poor", "not very cheap", "good! great"];

/// Writes `data.json`. `label_of` says which label the text of a position in its domain has.
fn write_data(dir: &Path, label_of: impl Fn(&str, usize) -> usize) {
    let mut records = Vec::new();
    for (domain, size) in DOMAINS {
        for position in 0..size {
            let label = label_of(domain, position);
            let text = format!("the {domain} {position} is {}", SIGNS[label]);
            records.push(json!({"text": text, "label": LABELS[label], "domain": domain}));
        }
    }
    fs::write(dir.join("data.json"), json!(records).to_string()).unwrap();
}

/// Arguments that hold for every command here.
fn small() -> String {
    SMALL.replace("@data", "data.json").replace("--support 8 --query 4", "--support 9 --query 6")
}

/// Trains on the large domains, adapts to the small one, and returns the directory of the adapted model.
fn train_and_finetune(dir: &Path, algo: &str) -> String {
    fs::write(dir.join("a.json"), ARCHITECTURE).unwrap();
    let labels = LABELS.join(",");
    run(
        dir,
        &format!(
            "model init --config a.json --tokenizer @plain --labels {labels} --out model --force"
        ),
    )
    .success();
    let settings = "--steps 3 --meta-batch 2 --eval-every 3 --set evaluate.dev_episodes=2";
    let small = small();
    run(dir, &format!("train --algo {algo} --model model --run-dir {algo} {settings} {small}"))
        .success();
    let out = format!("{algo}-screen");
    run(
        dir,
        &format!(
            "finetune --checkpoint {algo} --domain screen --data data.json --out {out} --folds 3 \
             --inner-steps 60 --inner-batch 8 --inner-lr 1e-2 --max-length 32 --threads 1 --device cpu"
        ),
    )
    .success();
    out
}

/// Asserts that predictions are distributions over all labels, and returns the share of `expected` that they hit.
fn accuracy(dir: &Path, model: &str, texts: &[String], expected: &[&str]) -> f64 {
    fs::write(dir.join("texts.txt"), texts.join("\n")).unwrap();
    let predict = format!(
        "predict --checkpoint {model} --input texts.txt --max-length 32 --threads 1 --device cpu"
    );
    let answers = json_lines(&run(dir, &predict).success());
    assert_eq!(answers.len(), texts.len());
    for answer in &answers {
        let scores: BTreeMap<String, f64> =
            serde_json::from_value(answer["scores"].clone()).unwrap();
        assert!(scores.keys().eq(LABELS), "{answer}");
        assert!((scores.values().sum::<f64>() - 1.0).abs() < 1e-5, "{answer}");
        let best = scores.iter().max_by(|left, right| left.1.total_cmp(right.1)).unwrap().0;
        assert_eq!(answer["label"], *best, "{answer}");
    }
    let hits = answers.iter().zip(expected).filter(|(answer, label)| answer["label"] == **label);
    hits.count() as f64 / texts.len() as f64
}

/// What `eval` finds in the small domain and in a large one.
fn evaluate(dir: &Path, run_name: &str) -> Vec<Value> {
    let eval = format!(
        "eval --checkpoint {run_name} --episodes 3 --domain screen --domain book --json {}",
        small()
    );
    let report: Value = serde_json::from_str(&run(dir, &eval).success()).unwrap();
    let domains = of_domains(&report).to_vec();
    for domain in &domains {
        for score in ["accuracy", "macro_f1", "zero_step_accuracy", "zero_step_macro_f1"] {
            let mean = number(&domain[score], "mean");
            assert!((0.0..=1.0).contains(&mean), "{score}: {domain}");
        }
    }
    domains
}

fn new_texts(labels: &[usize]) -> Vec<String> {
    let numbered = (100..).zip(labels);
    numbered.map(|(number, label)| format!("the screen {number} is {}", SIGNS[*label])).collect()
}

#[test]
fn three_labels_are_learned_and_predicted() {
    let dir = work_dir();
    let path = dir.path();
    write_data(path, |_, position| position % 3);
    for algo in ["fomaml", "reptile", "transfer"] {
        let adapted = train_and_finetune(path, algo);
        assert_eq!(evaluate(path, algo).len(), 2);
        for model in [&adapted, &format!("{algo}/checkpoints/step-000003")] {
            let config = read_json(&path.join(model).join("config.json"));
            let expected = json!({"0": "bad", "1": "fine", "2": "good"});
            assert_eq!(config["id2label"], expected, "{model}");
        }
        let labels = [0, 1, 2, 2, 1, 0];
        let expected = labels.map(|label| LABELS[label]);
        let accuracy = accuracy(path, &adapted, &new_texts(&labels), &expected);
        assert_eq!(accuracy, 1.0, "{algo}: labels that a word gives away");
    }
}

#[test]
fn rare_labels_are_in_every_support_set_and_a_missing_one_in_none() {
    let dir = work_dir();
    let path = dir.path();
    // One text in ten is bad; "camera" has no other than good and bad ones.
    write_data(path, |domain, position| match (position % 10, domain) {
        (0, _) => 0,
        (3 | 6, "book" | "phone" | "screen") => 1,
        _ => 2,
    });
    let list = "data episodes --data data.json --low-resource-max 16 --set data.meta_dev_count=0 \
                --support 9 --query 6 --count 20";
    let records = read_json(&path.join("data.json"));
    let mut domains = BTreeSet::new();
    for episode in json_lines(&run(path, list).success()) {
        let labels: BTreeSet<&str> = episode["support"]
            .as_array()
            .unwrap()
            .iter()
            .map(|position| records[position.as_u64().unwrap() as usize]["label"].as_str().unwrap())
            .collect();
        let domain = episode["domain"].as_str().unwrap().to_owned();
        let expected: &[&str] = if domain == "camera" { &["bad", "good"] } else { &LABELS };
        assert!(labels.iter().eq(expected), "{domain}: {labels:?}");
        domains.insert(domain);
    }
    assert_eq!(domains.len(), 3, "{domains:?}");

    let adapted = train_and_finetune(path, "fomaml");
    let evaluated = evaluate(path, "fomaml");
    assert_eq!(evaluated[0]["domain"], "screen");
    let labels = [0, 1, 2, 2, 2, 2, 2, 2, 1, 0];
    let expected = labels.map(|label| LABELS[label]);
    let accuracy = accuracy(path, &adapted, &new_texts(&labels), &expected);
    // More than the most frequent label alone would get.
    assert!(accuracy > 0.6, "{accuracy}");
}
