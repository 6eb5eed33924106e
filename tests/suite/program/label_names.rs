//! Names of labels that are read as texts, where they belong to the texts.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::evaluation::{number, of_domains};
use crate::support::run::{run, work_dir};

const SUBJECTS: [&str; 4] = ["change address", "lost card", "money back", "open account"];
/// What a program would call them, in the same order of the alphabet, and keys without meaning.
const NAMES: [&str; 4] = ["changeAddress", "lost-card", "money.back", "open_account"];
const KEYS: [&str; 4] = ["17", "4", "33", "8"];

/// Writes a domain whose texts repeat the subject of their label.
fn write_data(path: &Path, labels: [&str; 4]) {
    let mut records = Vec::new();
    for (label, subject) in labels.iter().zip(SUBJECTS) {
        for position in 0..6 {
            let text = format!("{subject} {subject} {position}");
            records.push(json!({"text": text, "label": label, "domain": "desk"}));
        }
    }
    fs::write(path, json!(records).to_string()).unwrap();
}

const SIZES: &str = "--support-per-label 2 --max-length 32 --threads 1 --device cpu --folds 0 \
     --set data.label_sets=domain";
const SAID: &str = "the names of labels do not belong to their texts, and are not read";

#[test]
fn names_that_say_nothing_are_left_out() {
    let dir = work_dir();
    write_data(&dir.path().join("keys.json"), KEYS);
    let eval = |more: &str| -> String {
        let eval = "eval --checkpoint @tiny --data keys.json --domain desk --query all --episodes 3 --inner-steps 2";
        run(dir.path(), &format!("{eval} {SIZES} {more}")).success()
    };
    let said = eval("--head label-names");
    assert!(said.contains("  3 of 3 draws did not read the names of labels"), "{said}");
    let scores = |head: &str| -> Value {
        let report: Value = serde_json::from_str(&eval(&format!("--head {head} --json"))).unwrap();
        of_domains(&report)[0]["draws"].clone()
    };
    // Neither the prototypes nor the steps read them.
    assert_eq!(scores("label-names"), scores("prototypes"));
    let finetune =
        "finetune --checkpoint @tiny --data keys.json --domain desk --head label-names --out model";
    let answer = run(dir.path(), &format!("{finetune} {SIZES}"));
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    assert!(answer.stderr.contains(&format!("desk: {SAID}")), "{}", answer.stderr);
    let card = fs::read_to_string(dir.path().join("model/README.md")).unwrap();
    assert!(card.contains("the names of labels were not read"), "{card}");
}

#[test]
fn names_are_read_as_words() {
    let dir = work_dir();
    let eval = |labels| -> Value {
        write_data(&dir.path().join("data.json"), labels);
        let eval = "eval --checkpoint @tiny --data data.json --domain desk --query all --episodes 3 --inner-steps 0 --json";
        let report = run(dir.path(), &format!("{eval} {SIZES} --head label-names")).success();
        serde_json::from_str(&report).unwrap()
    };
    let [names, subjects, keys] = [NAMES, SUBJECTS, KEYS].map(eval);
    let of_domain = |report: &Value, key: &str| number(&of_domains(report)[0], key);
    for (report, expected) in [(&names, 0.0), (&subjects, 0.0), (&keys, 3.0)] {
        assert_eq!(of_domain(report, "num_without_names"), expected);
    }
    assert_eq!(of_domain(&names, "log_loss"), of_domain(&subjects, "log_loss"));
}
