//! Models cross to `transformers` and back, with the same scores: tests/fixtures/check_interop.py.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::python::python;
use crate::support::run::{SMALL, json_lines, run, tiny_records, work_dir};

/// How far two scores of the same text may lie apart (fp32 on both sides, each with its own order
/// of summation).
pub const TOLERANCE: f64 = 1e-4;

/// Writes texts of many lengths to texts.jsonl, labelled: some truncated, some with letters that
/// no vocabulary holds.
pub fn write_texts(dir: &Path) {
    let mut records: Vec<Value> = tiny_records().into_iter().step_by(9).collect();
    let odd =
        ["Na\u{ef}ve caf\u{e9}s!", "\u{4e2d}\u{6587} \u{1f600}", "[SEP] x", "a \u{2028} b", "?"];
    records.extend(odd.iter().map(|text| json!({"text": text, "label": "negative"})));
    let long = records[0]["text"].as_str().expect("a text").repeat(5);
    records.push(json!({"text": long, "label": "positive"}));
    let lines: Vec<String> = records.iter().map(Value::to_string).collect();
    fs::write(dir.join("texts.jsonl"), lines.join("\n")).expect("the texts can be written");
}

/// Writes metabert's answers to these texts to answers.jsonl.
pub fn answers_of(dir: &Path, model: &str, max_length: &str) {
    run(
        dir,
        &format!(
            "predict --checkpoint {model} --input texts.jsonl --output answers.jsonl --force --precision fp32 \
             --max-length {max_length} --threads 1 --device cpu"
        ),
    )
    .success();
}

/// transformers opens `model` and comes to the scores of metabert.
fn transformers_agrees(dir: &Path, model: &str, max_length: &str) {
    answers_of(dir, model, max_length);
    // check_interop.py wants the directory itself, where metabert takes a run as well.
    let arguments = ["export", model, "texts.jsonl", "answers.jsonl", "--max-length", max_length];
    python(dir, "check_interop.py", &arguments);
}

/// metabert comes to the scores of a model that transformers has trained and saved.
fn metabert_agrees(dir: &Path, start: &Path, lr: &str, max_length: &str) {
    let start = start.to_str().expect("a path in UTF-8");
    let finetune =
        ["finetune", start, "theirs", "texts.jsonl", "--steps", "2", "--lr", lr, "--max-length"];
    python(dir, "check_interop.py", &[&finetune[..], &[max_length]].concat());
    let predict = format!(
        "predict --checkpoint theirs --input texts.jsonl --max-length {max_length} --threads 1 --precision fp32 \
         --device cpu"
    );
    let found = json_lines(&run(dir, &predict).success());
    let expected = fs::read_to_string(dir.join("theirs/expected_scores.jsonl")).unwrap();
    let expected = json_lines(&expected);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found["text"], expected["text"]);
        let scores = expected["scores"].as_object().expect("scores by label");
        assert_eq!(found["scores"].as_object().unwrap().len(), scores.len());
        for (label, score) in scores {
            let [a, b] = [&found["scores"][label], score].map(|score| score.as_f64().unwrap());
            assert!((a - b).abs() <= TOLERANCE, "{label}: found {a}, expected {b}: {found}");
        }
        if scores.values().any(|score| (score.as_f64().unwrap() - 0.5).abs() > TOLERANCE) {
            assert_eq!(found["label"], expected["label"], "{found}");
        }
    }
}

#[test]
fn transformers_opens_what_training_and_finetuning_write() {
    let dir = work_dir();
    let path = dir.path();
    write_texts(path);
    let train = format!("train --model @adapted --run-dir r --steps 2 --outer-lr 1e-3 {SMALL}");
    let checkpoint = run(path, &train).success();
    transformers_agrees(path, checkpoint.trim_end(), "32");
    let finetune = "finetune --checkpoint r --domain gardening --data @data --out games --folds 0 \
                    --inner-steps 20 --inner-lr 1e-2 --threads 1 --device cpu";
    run(path, finetune).success();
    transformers_agrees(path, "games", "64");
}

#[test]
fn transformers_opens_what_training_the_real_encoder_writes() {
    let dir = work_dir();
    let path = dir.path();
    write_texts(path);
    let small = SMALL.replace("--support 8 --query 4", "--support 8 --query 2");
    let train = format!(
        "train --algo fomaml --model @minilm --run-dir r --steps 1 --meta-batch 1 --inner-steps 1 --inner-lr 3e-4 \
         --outer-lr 3e-4 --set data.meta_dev_count=0 {}",
        small.replace("--inner-epochs 1", "")
    );
    let checkpoint = run(path, &train).success();
    transformers_agrees(path, checkpoint.trim_end(), "32");
    let finetune = "finetune --checkpoint r --domain gardening --data @data --out garden --folds 0 \
                    --inner-steps 2 --inner-lr 3e-4 --support 8 --threads 1 --device cpu";
    run(path, finetune).success();
    transformers_agrees(path, "garden", "32");
}

#[test]
fn metabert_opens_what_transformers_has_trained() {
    let dir = work_dir();
    write_texts(dir.path());
    metabert_agrees(dir.path(), crate::support::run::tiny(), "3e-3", "32");
}

#[test]
fn metabert_opens_the_real_encoder_trained_by_transformers() {
    let dir = work_dir();
    write_texts(dir.path());
    metabert_agrees(dir.path(), &crate::support::fixtures::minilm(), "3e-4", "32");
}
