//! Models with mean pooling cross to `sentence_transformers` and back, with the same scores:
//! tests/fixtures/check_sentence_transformers.py.

use std::fs;
use std::path::Path;

use super::interop::{TOLERANCE, answers_of, write_texts};
use crate::support::fixtures::minilm;
use crate::support::python::python;
use crate::support::run::{SMALL, change_tensors, json_lines, run, snapshot, tiny, work_dir};

const SCRIPT: &str = "check_sentence_transformers.py";

/// A tiny encoder without a head, in `dir/encoder`.
pub fn write_encoder(dir: &Path) {
    let model = dir.join("encoder");
    fs::create_dir(&model).unwrap();
    for (file, bytes) in snapshot(tiny()) {
        fs::write(model.join(file.file_name().expect("a name")), bytes).unwrap();
    }
    change_tensors(&model, |name, shape| (!name.starts_with("classifier.")).then_some(shape));
}

/// sentence_transformers opens `model` and comes to the logits of metabert.
fn sentence_transformers_agrees(dir: &Path, model: &str, max_length: &str) {
    answers_of(dir, model, max_length);
    let arguments = ["export", model, "texts.jsonl", "answers.jsonl", "--max-length", max_length];
    python(dir, SCRIPT, &arguments);
}

/// The largest distance between two texts of metabert's last answers.
fn spread(dir: &Path) -> f64 {
    let answers = json_lines(&fs::read_to_string(dir.join("answers.jsonl")).unwrap());
    let scores = answers.iter().map(|answer| answer["scores"]["positive"].as_f64().unwrap());
    let (least, most) =
        scores.fold((1.0_f64, 0.0_f64), |(least, most), score| (least.min(score), most.max(score)));
    most - least
}

#[test]
fn sentence_transformers_opens_what_training_and_finetuning_with_mean_pooling_write() {
    let dir = work_dir();
    let path = dir.path();
    write_texts(path);
    write_encoder(path);
    let train =
        format!("train --model encoder --set model.pooling=mean --run-dir r --steps 2 {SMALL}");
    let checkpoint = run(path, &train).success();
    sentence_transformers_agrees(path, checkpoint.trim_end(), "32");
    // The checkpoint says how it is pooled.
    let finetune = "finetune --checkpoint r --domain boots --data @data --out boots --folds 0 --inner-steps 60 \
                    --inner-lr 1e-2 --max-length 32 --threads 1 --device cpu";
    run(path, finetune).success();
    sentence_transformers_agrees(path, "boots", "32");
    let found = spread(path);
    assert!(found > 100.0 * TOLERANCE, "texts differ by {found}: too little to compare");

    let head = path.join(checkpoint.trim_end()).join("3_Dense/model.safetensors");
    let mut bytes = fs::read(&head).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&head, bytes).unwrap();
    let answer = run(path, &format!("predict --checkpoint {}", checkpoint.trim_end()));
    assert_eq!(answer.code, Some(2));
    let expected = "damaged: 3_Dense/model.safetensors: expected SHA-256";
    assert!(answer.stderr.contains(expected), "{}", answer.stderr);
}

#[test]
fn sentence_transformers_opens_the_real_encoder_with_a_head_from_finetuning() {
    let dir = work_dir();
    let path = dir.path();
    write_texts(path);
    let finetune = "finetune --checkpoint @minilm --set model.pooling=mean --domain boots --data @data --out boots \
                    --folds 0 --inner-steps 4 --inner-lr 1e-3 --max-length 32 --threads 1 --device cpu";
    run(path, finetune).success();
    sentence_transformers_agrees(path, "boots", "32");
    let found = spread(path);
    assert!(found > 100.0 * TOLERANCE, "texts differ by {found}: too little to compare");
}

#[test]
fn metabert_opens_what_sentence_transformers_saves() {
    let dir = work_dir();
    let path = dir.path();
    write_texts(path);
    write_encoder(path);
    let minilm = minilm();
    let minilm = minilm.to_str().expect("a path in UTF-8");
    let (named, unnamed) = (["negative", "positive"], ["LABEL_0", "LABEL_1"]);
    for (encoder, saved, old, labels) in [
        ("encoder", "new", false, named),
        ("encoder", "old", true, named),
        (minilm, "real", false, unnamed),
    ] {
        let mut arguments = vec!["save", encoder, saved, "texts.jsonl", "--max-length", "32"];
        arguments.extend(old.then_some("--old"));
        python(path, SCRIPT, &arguments);
        answers_of(path, saved, "32");
        let found = json_lines(&fs::read_to_string(path.join("answers.jsonl")).unwrap());
        let expected = fs::read_to_string(path.join(saved).join("expected_scores.jsonl")).unwrap();
        let expected = json_lines(&expected);
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found["text"], expected["text"]);
            // The logarithm of the ratio of two scores is the difference of their logits.
            let [found, expected] = [found, expected].map(|answer| {
                let scores = answer["scores"].as_object().expect("scores by label");
                let [first, second] = labels.map(|label| scores[label].as_f64().unwrap());
                (first / second).ln()
            });
            assert!(
                (found - expected).abs() < TOLERANCE,
                "{saved}: found {found}, expected {expected}"
            );
        }
    }
}

#[test]
fn a_head_commits_to_its_pooling() {
    let dir = work_dir();
    let path = dir.path();
    write_encoder(path);
    let finetune = |start: &str, pooling: &str| {
        format!(
            "finetune --checkpoint {start} --set model.pooling={pooling} --domain boots --data @data --out out-{pooling} \
             --folds 0 --inner-steps 1 --max-length 32 --threads 1 --device cpu"
        )
    };
    run(path, &finetune("encoder", "mean")).success();
    for (start, own, other) in [("out-mean", "mean", "cls"), ("@plain", "cls", "mean")] {
        let answer = run(path, &finetune(start, other).replace("--out ", "--out again-"));
        assert_eq!(answer.code, Some(2), "{}", answer.stderr);
        let expected = format!("model.pooling: expected auto or {own}, which the head of ");
        assert!(answer.stderr.contains(&expected), "{}", answer.stderr);
        assert!(
            answer.stderr.contains(&format!("was trained with, found {other}")),
            "{}",
            answer.stderr
        );
    }
}
