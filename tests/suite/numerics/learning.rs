//! Adapting learns something, and an evaluation measures the domains and draws that were asked for.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::evaluation::{number, of_domains, scored};
use crate::support::run::{ARCHITECTURE, SMALL, events, json_lines, run, tiny_records, work_dir};

#[test]
fn adapting_drives_the_loss_on_the_support_set_down() {
    let dir = work_dir();
    let path = dir.path();
    // Without dropout, and with the whole support set in every step: the loss is then a function
    // of the parameters alone.
    let mut architecture: Value = serde_json::from_str(ARCHITECTURE).unwrap();
    architecture["hidden_dropout_prob"] = json!(0.0);
    architecture["attention_probs_dropout_prob"] = json!(0.0);
    fs::write(path.join("a.json"), architecture.to_string()).unwrap();
    run(path, "model init --config a.json --tokenizer @plain --out model").success();
    run(
        path,
        "train --model model --run-dir r --algo reptile --steps 1 --meta-batch 1 --data @data \
         --low-resource-max 16 --set data.meta_dev_count=0 --support 16 --query 4 \
         --inner-steps 60 --inner-batch 16 --inner-lr 1e-2 --max-length 64 --threads 1 --device cpu",
    )
    .success();
    let step = events(&path.join("r"), "outer_step").remove(0);
    let [first, last] =
        ["support_loss_first", "support_loss_last"].map(|key| step[key].as_f64().unwrap());
    // The random model cannot distinguish two labels.
    assert!((first - 2f64.ln()).abs() < 0.05, "the first loss is {first}");
    // Over six seeds it ended below 0.001.
    assert!(last < first / 3.0, "the support loss went from {first} to {last} only");
}

/// What `eval` prints about the adapted random model, with more arguments.
fn evaluate(dir: &Path, more: &str) -> String {
    let eval = format!("eval --checkpoint @adapted --episodes 4 {SMALL} --inner-lr 1e-2 {more}");
    run(dir, &eval).success()
}

fn evaluate_as_json(dir: &Path, more: &str) -> Value {
    serde_json::from_str(&evaluate(dir, &format!("--json {more}"))).expect("one JSON object")
}

/// The names of the domains of some results, in their order.
fn names(domains: &[Value]) -> Vec<&str> {
    domains.iter().map(|domain| domain["domain"].as_str().expect("a name")).collect()
}

#[test]
fn evaluation_reports_each_domain_and_repeats_to_the_digit() {
    let dir = work_dir();
    let report = evaluate_as_json(dir.path(), "");
    let first = &scored(&report)[0];
    assert_eq!(names(first.domains), ["board_games_&_puzzles", "gardening"]);
    for result in first.domains.iter().chain([first.overall]) {
        for score in ["accuracy", "macro_f1", "zero_step_accuracy", "zero_step_macro_f1"] {
            let [mean, low, high] = ["mean", "low", "high"].map(|end| number(&result[score], end));
            assert!(0.0 <= low && low <= mean && mean <= high && high <= 1.0, "{score}: {result}");
        }
    }
    for domain in first.domains {
        let draws = domain["draws"].as_array().unwrap();
        assert_eq!((draws.len(), &domain["num_scored"]), (4, &json!(4)));
        // Every draw scores 4 texts: the accuracy of all together is the mean of the draws'.
        let mean = draws.iter().map(|draw| number(draw, "accuracy")).sum::<f64>() / 4.0;
        let shown = number(domain, "accuracy/mean");
        assert!((mean - shown).abs() < 1e-12, "mean of the draws {mean}, shown {shown}");
    }
    assert_eq!(report, evaluate_as_json(dir.path(), ""));

    let table = evaluate(dir.path(), "");
    let row = table.lines().find(|line| line.trim_start().starts_with("gardening")).unwrap();
    let shown = format!(" {:.3} [", number(&first.domains[1], "accuracy/mean"));
    assert!(row.contains(&shown), "expected {shown} in {row}");
    assert!(table.contains("all domains"), "{table}");
}

/// The query set of training does not matter to an evaluation, which draws its own.
#[test]
fn a_domain_needs_only_the_query_texts_that_an_evaluation_draws() {
    let dir = work_dir();
    fs::write(dir.path().join("c.toml"), "[episode]\nquery = 20\n").unwrap();
    run(dir.path(), &format!("eval --checkpoint @tiny --config c.toml --episodes 1 {SMALL}"))
        .success();
}

#[test]
fn chosen_domains_and_baselines_are_evaluated_in_their_order() {
    let dir = work_dir();
    let chosen = "--domain gardening --domain boots --baselines @tiny,@adapted";
    let report = evaluate_as_json(dir.path(), chosen);
    let results = scored(&report);
    // The checkpoint, its two baselines, and the majority answer.
    assert_eq!(results.len(), 4);
    for result in &results {
        assert_eq!(names(result.domains), ["gardening", "boots"]);
    }
    assert_eq!(results[0].overall["differences"], Value::Null);
    // The checkpoint as its own baseline: the draws are the same, so the difference is exactly 0.
    assert_eq!(results[2].overall["macro_f1"], results[0].overall["macro_f1"]);
    let nothing = json!({"mean": 0.0, "low": 0.0, "high": 0.0});
    assert_eq!(results[2].overall["differences"]["macro_f1"], nothing);
    let [first, other] = [0, 1].map(|position| number(results[position].overall, "macro_f1/mean"));
    let difference = number(results[1].overall, "differences/macro_f1/mean");
    assert!((difference - (other - first)).abs() < 1e-12, "{difference} is not {other} - {first}");
}

/// Records of data/tiny.json of one domain, each text with a word that makes it another one: a
/// text that is adapted to is not tested on.
fn new_texts(domain: &str) -> Vec<Value> {
    let of_domain = tiny_records().into_iter().filter(|record| record["domain"] == domain);
    let renewed = of_domain.map(|mut record| {
        record["text"] = format!("Well. {}", record["text"].as_str().expect("a text")).into();
        record
    });
    renewed.collect()
}

#[test]
fn test_data_replaces_the_query_sets() {
    let dir = work_dir();
    let gardening = new_texts("gardening");
    fs::write(dir.path().join("same.json"), json!(gardening).to_string()).unwrap();
    let report = evaluate_as_json(dir.path(), "--domain gardening --test-data same.json");
    assert_eq!(of_domains(&report)[0]["num_scored"], 15);
    // Texts of none of the evaluated domains are for all of them.
    fs::write(dir.path().join("other.json"), json!(new_texts("kettles")).to_string()).unwrap();
    let report = evaluate_as_json(dir.path(), "--test-data other.json");
    for domain in of_domains(&report) {
        assert_eq!(domain["num_scored"], 24, "{domain}");
    }
    // With no query to draw, all 14 texts of the smallest domain may be adapted to.
    let whole = SMALL.replace("--support 8", "--support 14");
    let eval = format!("eval --checkpoint @adapted --episodes 1 --test-data other.json {whole}");
    run(dir.path(), &eval).success();
}

/// Accuracy and macro F1 of pairs (truth, answer), by their definitions.
fn scores(pairs: &[(String, String)]) -> (f64, f64) {
    let count = |is_so: &dyn Fn(&(String, String)) -> bool| {
        pairs.iter().filter(|p| is_so(p)).count() as f64
    };
    let labels: BTreeSet<&String> =
        pairs.iter().flat_map(|(truth, answer)| [truth, answer]).collect();
    let f1 = labels.iter().map(|&label| {
        let hits = count(&|(truth, answer)| truth == label && answer == label);
        let misses = count(&|(truth, answer)| (truth == label) != (answer == label));
        2.0 * hits / (2.0 * hits + misses)
    });
    (
        count(&|(truth, answer)| truth == answer) / pairs.len() as f64,
        f1.sum::<f64>() / labels.len() as f64,
    )
}

#[test]
fn zero_step_scores_are_those_of_the_predictions() {
    let dir = work_dir();
    let path = dir.path();
    let texts = new_texts("podcasts");
    fs::write(path.join("test.json"), json!(texts).to_string()).unwrap();
    let lines: Vec<&str> = texts.iter().map(|record| record["text"].as_str().unwrap()).collect();
    fs::write(path.join("texts.txt"), lines.join("\n")).unwrap();
    let predict =
        "predict --checkpoint @adapted --input texts.txt --max-length 32 --threads 1 --device cpu";
    let answers = json_lines(&run(path, predict).success());
    let label = |record: &Value| record["label"].as_str().expect("a label").to_owned();
    let pairs: Vec<(String, String)> =
        texts.iter().zip(&answers).map(|(text, answer)| (label(text), label(answer))).collect();
    assert_eq!(pairs.len(), 23);
    let (accuracy, macro_f1) = scores(&pairs);
    assert!(accuracy < 1.0 && macro_f1 != accuracy, "{accuracy}, {macro_f1}: too easy a test");

    let report = evaluate_as_json(path, "--domain gardening --test-data test.json");
    let result = &of_domains(&report)[0];
    for (score, expected) in [("zero_step_accuracy", accuracy), ("zero_step_macro_f1", macro_f1)] {
        let [found, low, high] = ["mean", "low", "high"].map(|end| number(&result[score], end));
        assert!((found - expected).abs() < 1e-12, "{score}: found {found}, expected {expected}");
        // The texts are the same in every draw, and so is the model.
        assert_eq!((low, high), (found, found), "{score}: {result}");
    }
}

#[test]
fn the_draws_of_a_domain_do_not_depend_on_its_company() {
    let dir = work_dir();
    let alone = evaluate_as_json(dir.path(), "--domain gardening");
    let chosen = "--domain boots --domain gardening --domain kettles";
    let accompanied = evaluate_as_json(dir.path(), chosen);
    assert_eq!(of_domains(&alone)[0], of_domains(&accompanied)[1]);
    let [boots, gardening] = [0, 1].map(|place| &of_domains(&accompanied)[place]["draws"]);
    assert_ne!(boots, gardening, "every domain scores alike: the test proves nothing");
}

#[test]
fn draws_depend_on_the_seed() {
    let dir = work_dir();
    let [first, again, other] =
        ["--seed 1", "--seed 1", "--seed 2"].map(|seed| evaluate_as_json(dir.path(), seed));
    assert_eq!(of_domains(&first), of_domains(&again));
    assert_ne!(of_domains(&first), of_domains(&other));
}
