//! Every algorithm of the family on domains with label sets of their own: trained, killed and resumed, on several workers,
//! evaluated, adapted to a domain that training never saw, and opened by the libraries of Hugging Face.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::interop::write_texts;
use super::interop_sentence::write_encoder;
use crate::support::python::python;
use crate::support::run::{
    assert_same_bytes, checkpoint, json as read_json, json_lines, run, work_dir,
};
use crate::survival::resume::{send, spawn};

/// Each algorithm with what it needs beside the settings of all.
const ALGORITHMS: [(&str, &str); 9] = [
    ("fomaml", "--inner-batch 0"),
    ("maml", "--set outer.average=0.9"),
    ("anil", "--set meta.head=zeros"),
    ("meta-sgd", "--set outer.step_size_lr=1e-3"),
    ("maml++", "--set meta.annealing_steps=2"),
    ("proto-maml", "--set model.pooling=mean --set meta.zero_step_weight=0.3"),
    ("protonet", "--set model.pooling=mean --set meta.head=label-names"),
    ("reptile", "--set meta.head=shared"),
    ("transfer", ""),
];

/// The labels of each domain; those of `desk` are nowhere else.
const DOMAINS: [(&str, [&str; 3]); 5] = [
    ("bank", ["lost_card", "new_loan", "rates"]),
    ("home", ["clean-up", "cook", "rates"]),
    ("shop", ["cook", "pay", "send_back"]),
    ("work", ["meeting", "pay", "time_off"]),
    ("desk", ["broken", "how_to", "thanks"]),
];

/// Writes `data.json`, in which `domains` have this many texts of each label.
fn write_data(dir: &Path, file: &str, domains: &[(&str, [&str; 3])], size: usize) {
    let mut records = Vec::new();
    for (domain, labels) in domains {
        for (label, sign) in labels.iter().zip(["good great", "bad poor", "not very cheap"]) {
            for number in 0..size {
                let text = format!("the {domain} {sign} is {number} of {domain}");
                records.push(json!({"text": text, "label": label, "domain": domain}));
            }
        }
    }
    fs::write(dir.join(file), json!(records).to_string()).unwrap();
}

const SETTINGS: &str = "--low-resource work --set data.meta_dev=[\"shop\"] --support-per-label 2 --query 6 --max-length 32 \
                        --threads 1 --device cpu --precision fp32";

fn train(algo: &str, more: &str, steps: u64) -> String {
    format!(
        "train --algo {algo} --data data.json --model encoder --steps {steps} --meta-batch 3 --outer-lr 1e-2 --eval-every 2 \
         --checkpoint-every 1 --set evaluate.dev_episodes=1 --set train.keep_last=9 --inner-steps 3 \
         --inner-lr 1e-2 {SETTINGS} {more}"
    )
}

/// A directory with the data, a domain of its own file, and an encoder without a head.
fn prepared() -> tempfile::TempDir {
    let dir = work_dir();
    let path = dir.path();
    write_data(path, "data.json", &DOMAINS[..4], 8);
    write_data(path, "desk.json", &DOMAINS[4..], 6);
    write_encoder(path);
    dir
}

fn files_of_state(checkpoint: &Path) -> Vec<String> {
    let files = ["model.safetensors", "training_state.safetensors", "meta.safetensors"];
    let files = files.into_iter().chain(["3_Dense/model.safetensors"]);
    files.filter(|file| checkpoint.join(file).exists()).map(str::to_owned).collect()
}

fn assert_same_state(left: &Path, right: &Path) {
    let files = files_of_state(left);
    assert_eq!(files, files_of_state(right));
    assert!(files.len() >= 2, "{files:?}");
    files.iter().for_each(|file| assert_same_bytes(&left.join(file), &right.join(file)));
}

#[test]
fn every_algorithm_ends_at_the_same_bytes_killed_or_not_on_one_worker_or_three() {
    let dir = prepared();
    let path = dir.path();
    for (algo, more) in ALGORITHMS {
        run(path, &format!("{} --run-dir {algo} --workers 1", train(algo, more, 4))).success();
        let killed = format!("{algo}-killed");
        let arguments = format!("{} --run-dir {killed} --workers 3", train(algo, more, 4));
        let mut child = spawn(path, &arguments);
        let latest = path.join(&killed).join("latest.json");
        let is_there = || latest.exists();
        while !is_there() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        send_kill(&mut child);
        run(path, &format!("train --run-dir {killed} --resume")).success();
        for step in [2, 4] {
            assert_same_state(&checkpoint(path, algo, step), &checkpoint(path, &killed, step));
        }
        let has_step_sizes = checkpoint(path, algo, 4).join("meta.safetensors").exists();
        assert_eq!(has_step_sizes, ["meta-sgd", "maml++"].contains(&algo), "{algo}");
    }
}

/// Kills a run that may have ended already.
fn send_kill(child: &mut std::process::Child) {
    if child.try_wait().unwrap().is_none() {
        send("-KILL", child);
    }
    child.wait().unwrap();
}

/// The results of `eval` on a domain.
fn evaluate(path: &Path, run_dir: &str, more: &str) -> Vec<Value> {
    let eval = format!(
        "eval --checkpoint {run_dir} --support-per-label 1,3 --episodes 2 --set evaluate.query=all --max-length 32 --threads 1 \
         --device cpu --precision fp32 --json {more}"
    );
    let report: Value = serde_json::from_str(&run(path, &eval).success()).unwrap();
    let results = report["results"].as_array().unwrap().clone();
    results
        .into_iter()
        .filter(|it| it["checkpoint"] != "majority" && it["domain"] != "all")
        .collect()
}

#[test]
fn every_algorithm_adapts_to_labels_that_no_training_domain_had() {
    let dir = prepared();
    let path = dir.path();
    write_texts(path);
    for (algo, more) in ALGORITHMS {
        run(path, &format!("{} --run-dir {algo}", train(algo, more, 2))).success();
        let own = evaluate(path, algo, "--data data.json --domain work");
        assert_eq!(own.len(), 2, "{algo}: {own:?}");
        for (result, scored) in own.iter().zip([21, 15]) {
            assert_eq!(result["num_scored"], scored, "{algo}: all other texts of the domain");
            let labels = result["labels"].as_array().unwrap().iter();
            let names: Vec<&str> = labels.map(|label| label["name"].as_str().unwrap()).collect();
            assert_eq!(names, DOMAINS[3].1, "{algo}");
        }
        // A domain in a file of its own, with labels of its own.
        let new = evaluate(path, algo, "--data desk.json --domain desk");
        assert_eq!(new[0]["domain"], "desk", "{algo}");

        // Where the head is made of a support set, a run by itself answers nothing.
        let predict = format!("predict --checkpoint {algo} --input texts.jsonl --device cpu");
        let makes_head = ["anil", "proto-maml", "protonet"].contains(&algo);
        assert_eq!(run(path, &predict).code, Some(if makes_head { 2 } else { 0 }), "{algo}");

        let out = format!("{algo}-desk");
        let finetune = format!(
            "finetune --checkpoint {algo} --data desk.json --domain desk --out {out} --folds 2 --set train.algo=none \
             --max-length 32 --threads 1 --device cpu --precision fp32"
        );
        run(path, &finetune).success();
        let settings = fs::read_to_string(path.join(&out).join("metabert.toml")).unwrap();
        assert!(settings.contains(&format!("algo = \"{algo}\"\n")), "{algo}: {settings}");
        let config = read_json(&path.join(&out).join("config.json"));
        assert_eq!(config["id2label"], json!({"0": "broken", "1": "how_to", "2": "thanks"}));
        opened_elsewhere(path, &out, more.contains("pooling=mean"));
    }
}

/// The library that the model is written for comes to metabert's scores.
fn opened_elsewhere(dir: &Path, model: &str, is_mean_pooled: bool) {
    let texts = fs::read_to_string(dir.join("texts.jsonl")).unwrap();
    let unlabelled =
        json_lines(&texts).into_iter().map(|it| json!({"text": it["text"]}).to_string());
    fs::write(dir.join("plain.jsonl"), unlabelled.collect::<Vec<_>>().join("\n")).unwrap();
    let predict = format!(
        "predict --checkpoint {model} --input plain.jsonl --output answers.jsonl --force --max-length 32 --threads 1 --device cpu \
         --precision fp32"
    );
    run(dir, &predict).success();
    let script = match is_mean_pooled {
        true => "check_sentence_transformers.py",
        false => "check_interop.py",
    };
    let arguments = ["export", model, "plain.jsonl", "answers.jsonl", "--max-length", "32"];
    python(dir, script, &arguments);
}

/// What is asked for and cannot be done is refused in one message, before anything is written.
#[test]
fn combinations_that_mean_nothing_are_refused() {
    let dir = prepared();
    let path = dir.path();
    for (arguments, expected) in [
        ("--algo maml --set inner.optimizer=adam", "meta.order: expected first for adam"),
        ("--algo maml --inner-steps 99", "inner.steps: expected at most 32"),
        ("--algo maml++", "inner.steps: expected the number of steps"),
        (
            "--algo reptile --set meta.zero_step_weight=0.5",
            "meta.zero_step_weight: expected 0 for reptile",
        ),
        (
            "--algo fomaml --scope lora:0",
            "expected auto, all, head, last:N, bias or lora:R, found \"lora:0\"",
        ),
        (
            "--algo fomaml --head heads",
            "expected auto, meta, shared, zeros, prototypes, label-names, found \"heads\"",
        ),
        (
            "--algo protonet --ways 5",
            "domain \"bank\": expected at least 5 labels (episode.ways), found 3",
        ),
        (
            "--algo protonet --support-per-label 8",
            "label \"lost_card\": expected at least 8 + 1 texts",
        ),
        (
            "--algo protonet --support 2",
            "expected a support set of at least 3 texts, one for each label, found 2",
        ),
    ] {
        let settings = match arguments.contains("--support") {
            true => SETTINGS.replace("--support-per-label 2 ", ""),
            false => SETTINGS.to_owned(),
        };
        let train =
            format!("train --data data.json --model encoder --run-dir r {settings} {arguments}");
        let answer = run(path, &train);
        assert_eq!(answer.code, Some(2), "{arguments}: {}", answer.stderr);
        assert!(answer.stderr.contains(expected), "{arguments}: {}", answer.stderr);
        assert!(!path.join("r").exists(), "{arguments}");
    }
}

#[test]
fn test_texts_have_labels_of_their_domain() {
    let dir = prepared();
    let path = dir.path();
    let record =
        |label: &str| json!({"text": format!("new {label}"), "label": label, "domain": "work"});
    let eval = "eval --checkpoint encoder --data data.json --domain work --support-per-label 2 --episodes 1 --inner-epochs 1 \
                --max-length 32 --threads 1 --device cpu --json --test-data test.json";
    fs::write(path.join("test.json"), json!([record("pay"), record("meeting")]).to_string())
        .unwrap();
    run(path, eval).success();
    // Test texts take the place of whatever query set is asked for.
    let all = eval.replace("--support-per-label 2", "--support-per-label 8 --query all");
    run(path, &all).success();
    fs::write(path.join("test.json"), json!([record("pay"), record("rates")]).to_string()).unwrap();
    let answer = run(path, eval);
    assert_eq!(answer.code, Some(2), "{}", answer.stderr);
    let expected = "test.json: record 2, field \"label\": expected a label of the domain \"work\": [\"meeting\", \"pay\", \
                    \"time_off\"], found \"rates\"";
    assert!(answer.stderr.contains(expected), "{}", answer.stderr);
}
