//! `data` and its neighbours where every domain has labels of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::command_line_errors::refuses;
use crate::support::run::{json_lines, run, work_dir};

/// Domains, and how many texts of each of their labels they have. One label is in two of them.
const DOMAINS: [(&str, &[(&str, usize)]); 4] = [
    ("bank", &[("card", 8), ("loan", 6), ("rate", 4)]),
    ("home", &[("clean", 7), ("cook", 7)]),
    ("travel", &[("flight", 6), ("loan", 5), ("visa", 6)]),
    ("work", &[("meeting", 4), ("pay", 4)]),
];

/// How the file is read: "bank" and "home" are learned from, "work" is low-resource.
const DATA: &str = "--data data.json --low-resource-max 8 --set data.meta_dev=[\"travel\"]";

/// Writes `data.json` with some domains more, and returns its records.
fn write_data(dir: &Path, more: &[(&str, &[(&str, usize)])]) -> Vec<Value> {
    let mut records = Vec::new();
    for (domain, labels) in DOMAINS.iter().chain(more) {
        for (label, size) in *labels {
            for number in 0..*size {
                let text = format!("in {domain}, number {number} on {label}");
                records.push(json!({"text": text, "label": label, "domain": domain}));
            }
        }
    }
    fs::write(dir.join("data.json"), json!(records).to_string()).unwrap();
    records
}

/// How many texts of each label a set of a listed episode has.
fn label_counts(records: &[Value], episode: &Value, set: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for position in episode[set].as_array().unwrap() {
        let record = &records[position.as_u64().unwrap() as usize];
        assert_eq!(record["domain"], episode["domain"], "{episode}");
        *counts.entry(record["label"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    counts
}

#[test]
fn statistics_speak_of_the_labels_of_a_domain() {
    let dir = work_dir();
    let path = dir.path();
    write_data(path, &[]);
    let stats = run(path, &format!("data stats {DATA} --json")).success();
    let stats: Value = serde_json::from_str(&stats).unwrap();
    let expected =
        json!(["card", "clean", "cook", "flight", "loan", "meeting", "pay", "rate", "visa"]);
    assert_eq!((&stats["labels"], &stats["label_sets_differ"]), (&expected, &json!(true)));
    for ((domain, labels), row) in DOMAINS.iter().zip(stats["domains"].as_array().unwrap()) {
        assert_eq!(row["domain"], *domain);
        let (names, counts): (Vec<&str>, Vec<usize>) = labels.iter().copied().unzip();
        assert_eq!((&row["labels"], &row["label_counts"]), (&json!(names), &json!(counts)));
    }
    let table = run(path, &format!("data stats {DATA}")).success();
    let expected = "\
domain  side          examples  labels     %  rarest      %  most frequent
bank    meta-train          18       3  22.2  rate     44.4  card
home    meta-train          14       2  50.0  clean    50.0  clean
travel  meta-dev            17       3  29.4  loan     35.3  flight
work    low-resource         8       2  50.0  meeting  50.0  meeting
total                       57       9   7.0  meeting  19.3  loan
";
    assert_eq!(table, expected, "\n{table}");

    let validate = format!("data validate {DATA} --support 4 --query 3");
    let expected = "data.json: 57 examples, 9 labels, 2 to 3 in a domain; domains: 2 meta-train, 1 \
                    meta-dev, 1 low-resource\n";
    assert_eq!(run(path, &validate).success(), expected);
    let shared = run(path, &format!("{validate} --set data.label_sets=shared")).success();
    assert!(shared.contains("57 examples, 9 labels; domains"), "{shared}");
}

#[test]
fn every_label_of_a_listed_episode_has_texts() {
    let dir = work_dir();
    let path = dir.path();
    let records = write_data(path, &[]);
    let list = |more: &str| {
        let text = run(path, &format!("data episodes {DATA} --count 20 {more}")).success();
        json_lines(&text)
    };
    for episode in list("--support 6 --query 4") {
        let domain = DOMAINS.iter().find(|(name, _)| episode["domain"] == *name).unwrap();
        let names: Vec<&str> = domain.1.iter().map(|(label, _)| *label).collect();
        assert_eq!(episode["labels"], json!(names), "{episode}");
        for (set, size) in [("support", 6), ("query", 4)] {
            let counts = label_counts(&records, &episode, set);
            assert!(counts.keys().eq(&names), "{counts:?} in {episode}");
            assert_eq!(counts.values().sum::<usize>(), size, "{episode}");
        }
    }
    let mut sizes = Vec::new();
    for episode in list("--ways 2 --support-per-label 1,3 --query 2") {
        let support = label_counts(&records, &episode, "support");
        assert_eq!(json!(support.keys().collect::<Vec<_>>()), episode["labels"]);
        let counts: Vec<usize> = support.into_values().collect();
        assert!(counts == [1, 1] || counts == [3, 3], "{counts:?} in {episode}");
        sizes.push(counts[0]);
        assert_eq!(label_counts(&records, &episode, "query").len(), 2, "{episode}");
    }
    assert!(sizes.contains(&1) && sizes.contains(&3), "{sizes:?}");
    // A model with other labels changes nothing.
    assert_eq!(list("--support 6 --query 4 --model @tiny"), list("--support 6 --query 4"));
}

#[test]
fn evaluation_draws_come_for_each_size_and_domain() {
    let dir = work_dir();
    let path = dir.path();
    let records = write_data(path, &[]);
    let list = |more: &str| {
        let list = format!("data episodes {DATA} --evaluation --episodes 3 --set episode.ways=2");
        json_lines(&run(path, &format!("{list} {more}")).success())
    };
    let draws = list("--support-per-label 1,2 --set evaluate.query=all");
    assert_eq!(draws.len(), 6);
    for (position, draw) in draws.iter().enumerate() {
        assert_eq!((&draw["domain"], &draw["index"]), (&json!("work"), &json!(position % 3)));
        let per_label = 1 + position / 3;
        for (set, size) in [("support", per_label), ("query", 4 - per_label)] {
            let counts = label_counts(&records, draw, set);
            assert_eq!(counts, [("meeting".into(), size), ("pay".into(), size)].into(), "{draw}");
        }
    }
    let named = list("--domain travel --domain bank --support 5 --query 6");
    let domains: Vec<&Value> = named.iter().map(|draw| &draw["domain"]).collect();
    assert_eq!(domains, ["travel", "travel", "travel", "bank", "bank", "bank"]);
    for draw in &named {
        assert_eq!(draw["labels"].as_array().unwrap().len(), 3, "all labels: {draw}");
        assert_eq!(draw["query"].as_array().unwrap().len(), 6, "{draw}");
    }
    refuses(path, &format!("data episodes {DATA} --domain work"), "--evaluation");
    refuses(path, &format!("data episodes {DATA} --evaluation --count 3"), "--count <N>");
}

#[test]
fn what_domains_lack_is_named() {
    let dir = work_dir();
    let path = dir.path();
    write_data(path, &[]);
    for (arguments, told) in [
        (
            "--support-per-label 4 --query 2",
            "3 problems|\"bank\", label \"rate\": expected at least 4 + 1 texts (support + query), \
             found 4; lower --support-per-label to 3|\"work\", label \"meeting\"|label \"pay\"",
        ),
        (
            "--support 2 --query 2",
            "2 problems|\"bank\": expected a support set of at least 3 texts, one for each label, \
             found 2; raise --support to 3|\"travel\"",
        ),
        (
            "--support 3 --query 2 --set episode.ways=3",
            "\"home\": expected at least 3 labels (episode.ways), found 2; lower episode.ways to 2",
        ),
        ("--support 6 --query 3", "\"work\": expected at least 6 + 3 examples|lower --query to 2"),
    ] {
        refuses(path, &format!("data validate {DATA} {arguments}"), told);
    }
    write_data(path, &[("solo", &[("only", 12)])]);
    let validate = format!("data validate {DATA} --support 4 --query 3");
    let told = "\"solo\": expected texts of at least two labels, found only \"only\"|\
                data.single_label_domains = \"drop\"";
    refuses(path, &validate, told);
    run(path, &format!("{validate} --set data.single_label_domains=drop")).success();
}

#[test]
fn records_without_a_text_and_rare_labels_are_left_out_where_that_is_asked_for() {
    let dir = work_dir();
    let path = dir.path();
    let mut records = write_data(path, &[("shop", &[("buy", 3), ("sell", 4), ("haggle", 1)])]);
    let num_texts = records.len();
    records.push(json!({"text": " ", "label": "buy", "domain": "shop"}));
    records.insert(0, json!({"text": null}));
    fs::write(path.join("data.json"), json!(records).to_string()).unwrap();

    let validate = format!("data validate {DATA} --support 4 --query 3");
    refuses(path, &validate, "4 problems|record 1, field \"text\"|data.empty_texts = \"drop\"");
    let validate = format!("{validate} --set data.empty_texts=drop");
    let told = "\"shop\", label \"haggle\"|found 1|data.min_texts_per_label = 2";
    refuses(path, &validate, told);
    let validate = format!("{validate} --set data.min_texts_per_label=2");
    let answer = run(path, &validate);
    for told in [
        "left out 2 records without a text",
        "left out a label of fewer than 2 texts: \"haggle\" of \"shop\" (1)",
    ] {
        assert!(answer.stderr.contains(told), "{}", answer.stderr);
    }
    let texts = format!("{} examples", num_texts - 1);
    assert!(answer.success().contains(&texts), "expected {texts}");

    // A model that was trained so is adapted so.
    let settings = "--set data.empty_texts=drop --set data.min_texts_per_label=2";
    let train = format!(
        "train --algo fomaml --model @tiny {DATA} --support 4 --query 3 --inner-batch 4 --inner-epochs 1 --max-length 32 \
         --steps 1 --meta-batch 1 --eval-every 0 --threads 1 --device cpu --run-dir r {settings}"
    );
    run(path, &train).success();
    let finetune =
        "finetune --checkpoint r --data data.json --domain shop --out shop --inner-steps 1";
    let answer = run(path, finetune);
    assert!(answer.stderr.contains("\"haggle\""), "{}", answer.stderr);
    answer.success();
    let config: Value =
        serde_json::from_slice(&fs::read(path.join("shop/config.json")).unwrap()).unwrap();
    assert_eq!(config["id2label"], json!({"0": "buy", "1": "sell"}));
}

#[test]
fn label_lists_that_contradict_the_file_are_refused() {
    let dir = work_dir();
    let path = dir.path();
    write_data(path, &[]);
    let validate = |more: &str| format!("data validate {DATA} --support 4 --query 3 {more}");
    run(path, &validate("--set labels.bank=[\"rate\",\"card\",\"loan\"]")).success();
    for (arguments, told) in [
        (
            "--set labels.bank=[\"card\",\"loan\"]",
            "record 15, field \"label\": expected one of \"card\", \"loan\", the labels of the domain \
             \"bank\", found \"rate\"; add it to labels.bank",
        ),
        (
            "--set labels.home=[\"cook\",\"clean\",\"shop\"]",
            "setting labels.home: no text of the domain has the label \"shop\"",
        ),
        (
            "--set labels.banks=[\"card\",\"loan\"]",
            "setting labels.banks: there is no domain \"banks\"; did you mean \"bank\"?",
        ),
        ("--set labels.home=[\"cook\"]", "labels.home: expected at least two labels"),
        (
            "--set labels.home=[\"cook\",\"cook\"]",
            "labels.home: expected each label once, found \"cook\" twice",
        ),
        (
            "--set labels.home=[\"cook\",\"clean\"] --set data.label_sets=shared",
            "labels: expected no lists where data.label_sets is \"shared\"",
        ),
        ("--set labels.home=cook", "--set labels.home=cook: "),
        ("--set data.label_sets=own", "--set data.label_sets=own: "),
    ] {
        refuses(path, &validate(arguments), told);
    }
}

#[test]
fn a_model_binds_the_labels_where_domains_share_them() {
    let dir = work_dir();
    let path = dir.path();
    let records = write_data(path, &[]);
    let advice = "field \"label\": expected one of \"negative\", \"positive\", found \"card\", which 8 records \
                  have; the model has these; where each domain has labels of its own, set data.label_sets = \"domain\"";
    let shared = format!("data episodes {DATA} --model @tiny --set data.label_sets=shared");
    refuses(path, &shared, advice);
    // A domain alone has all labels of its file.
    let bank: Vec<&Value> = records.iter().filter(|record| record["domain"] == "bank").collect();
    fs::write(path.join("bank.json"), json!(bank).to_string()).unwrap();
    let finetune = "finetune --checkpoint @tiny --domain bank --data bank.json --out out";
    refuses(path, finetune, advice);
}

#[test]
fn finetuning_adapts_to_one_number_of_texts() {
    let dir = work_dir();
    let finetune = "finetune --checkpoint @tiny --domain gardening --data @data --out out";
    for (arguments, told) in [
        ("--support 4,8", "--support: expected one number, found 4,8"),
        ("--support-per-label 1,2", "--support-per-label: expected one number, found 1,2"),
        (
            "--support-per-label 7",
            "label \"negative\": expected at least 7 texts (support), found 6",
        ),
        ("--support 4 --support-per-label 1", "--support-per-label <N,N>"),
    ] {
        refuses(dir.path(), &format!("{finetune} {arguments}"), told);
    }
    let few = "--support-per-label 2 --folds 2 --inner-steps 1 --max-length 32 --device cpu";
    run(dir.path(), &format!("{finetune} {few}")).success();
    let card = fs::read_to_string(dir.path().join("out/README.md")).unwrap();
    assert!(card.contains("| negative | 2 |\n| positive | 2 |\n"), "{card}");
}
