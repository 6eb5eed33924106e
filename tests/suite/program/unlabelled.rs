//! Texts without labels: read by heads that are made of the support set.

use std::fs;

use serde_json::Value;

use crate::support::evaluation::{number, of_domains};
use crate::support::run::{SMALL, repository, run, work_dir};

const FINETUNE: &str = "finetune --checkpoint @tiny --data @data --domain gardening --support-per-label 2 --folds 0 \
     --inner-steps 1 --inner-lr 1e-5 --max-length 32 --threads 1 --device cpu";

/// The texts of the domain of the tests.
fn texts() -> Vec<String> {
    let records: Vec<Value> =
        serde_json::from_slice(&fs::read(repository("data/tiny.json")).unwrap()).unwrap();
    let of_domain = records.into_iter().filter(|record| record["domain"] == "gardening");
    of_domain.map(|record| record["text"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn unlabelled_texts_help_to_make_prototypes() {
    let dir = work_dir();
    let path = dir.path();
    let lines: Vec<String> = texts();
    fs::write(path.join("texts.txt"), lines.join("\n")).unwrap();
    let record = |text: &String| serde_json::json!({ "text": text }).to_string() + "\n";
    fs::write(path.join("texts.jsonl"), lines.iter().map(record).collect::<String>()).unwrap();
    let head = "--head prototypes";
    run(path, &format!("{FINETUNE} {head} --out without")).success();
    let mut models = vec![fs::read(path.join("without/model.safetensors")).unwrap()];
    for file in ["texts.txt", "texts.jsonl"] {
        let out = file.replace('.', "-");
        let answer = run(path, &format!("{FINETUNE} {head} --unlabelled {file} --out {out}"));
        assert_eq!(answer.code, Some(0), "{}", answer.stderr);
        models.push(fs::read(path.join(&out).join("model.safetensors")).unwrap());
        let card = fs::read_to_string(path.join(out).join("README.md")).unwrap();
        // Two labels with two texts each, which the file has as well.
        let said = format!("which {} texts without labels help to make", lines.len() - 4);
        assert!(card.contains(&said), "{card}");
        let note = format!("{file}: left out 4 texts that are adapted to with their labels");
        assert!(answer.stderr.contains(&note), "{}", answer.stderr);
    }
    assert!(models[0] != models[1]);
    assert!(models[1] == models[2]);
    let weightless = format!(
        "{FINETUNE} {head} --unlabelled texts.txt --set meta.unlabelled_weight=0 --out weightless"
    );
    run(path, &weightless).success();
    let weights = |model: &str| {
        let tensors = tch::Tensor::read_safetensors(path.join(model).join("model.safetensors"));
        tensors.unwrap().into_iter().find(|(name, _)| name == "classifier.weight").unwrap().1
    };
    assert!(weights("weightless").allclose(&weights("without"), 1e-4, 1e-6, false));
}

#[test]
fn evaluations_set_texts_aside_that_are_not_scored() {
    let dir = work_dir();
    let eval = |arguments: &str| -> Value {
        let eval = "eval --checkpoint @tiny --data @data --domain gardening --support-per-label 1 --episodes 2 --folds 0 \
                    --max-length 32 --threads 1 --device cpu --query all --json";
        serde_json::from_str(&run(dir.path(), &format!("{eval} {arguments}")).success()).unwrap()
    };
    let aside = "--set evaluate.unlabelled=6";
    let weightless = "--set evaluate.unlabelled=6 --set meta.unlabelled_weight=0";
    let [without, with, weightless] = ["", aside, weightless]
        .map(|more| eval(&format!("--head prototypes --inner-epochs 1 {more}")));
    assert_eq!(with["unlabelled"], 6);
    let of_domain = |report: &Value, key: &str| number(&of_domains(report)[0], key);
    let [scored, scored_of_all] = [&with, &without].map(|report| of_domain(report, "num_scored"));
    assert_eq!(scored_of_all - scored, 6.0);
    // On the same query sets: what they say counts.
    assert_eq!(of_domain(&weightless, "num_scored"), scored);
    let [read, unread] = [&with, &weightless].map(|report| of_domain(report, "log_loss"));
    assert!((read - unread).abs() > 1e-6, "{read} {unread}");
    let list = "data episodes --evaluation --data @data --domain gardening --support-per-label 1 --query 2";
    let listed = run(dir.path(), &format!("{list} --set evaluate.episodes=1 {aside}"));
    let line: Value = serde_json::from_str(&listed.success()).unwrap();
    assert_eq!(line["unlabelled"].as_array().unwrap().len(), 6);
}

#[test]
fn unlabelled_texts_that_nothing_reads_are_refused() {
    let dir = work_dir();
    let path = dir.path();
    fs::write(path.join("none.txt"), "").unwrap();
    for (arguments, expected) in [
        (
            "--unlabelled none.txt --head zeros",
            "--unlabelled: expected a head that is made of the texts adapted to",
        ),
        (
            "--unlabelled none.txt --head prototypes",
            "none.txt: expected a text a line, or JSONL, that is not adapted to with its label, found no text",
        ),
        ("--unlabelled missing.txt --head prototypes", "missing.txt: "),
    ] {
        let answer = run(path, &format!("{FINETUNE} {arguments} --out out"));
        assert_eq!(answer.code, Some(2), "{}", answer.stderr);
        assert!(answer.stderr.contains(expected), "{}", answer.stderr);
        assert!(!path.join("out").exists());
    }
    let train = format!("train --model @tiny --run-dir out {SMALL} --set evaluate.unlabelled=2");
    let answer = run(path, &train);
    assert_eq!(answer.code, Some(2), "{}", answer.stderr);
    let expected = "evaluate.unlabelled: expected 0 where no head is made of the support set";
    assert!(answer.stderr.contains(expected), "{}", answer.stderr);
    let eval =
        "eval --checkpoint @tiny --data @data --domain gardening --support-per-label 1 --query 1";
    for (arguments, expected) in [
        (
            "--head prototypes --set evaluate.unlabelled=9999",
            "lower evaluate.unlabelled, or add examples",
        ),
        (
            "--head zeros --set evaluate.unlabelled=2",
            "evaluate.unlabelled: expected 0 where no head",
        ),
    ] {
        let answer = run(path, &format!("{eval} {arguments}"));
        assert_eq!(answer.code, Some(2), "{}", answer.stderr);
        assert!(answer.stderr.contains(expected), "{}", answer.stderr);
    }
}
