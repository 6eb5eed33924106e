//! `metabert tune`: a search for settings.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::run::{SMALL, command, repository, run, work_dir};
use crate::survival::resume::wait_until;

const TUNE: &str = "tune --model @tiny --trials 2 --adaptations 4 --set train.steps=2 --set data.meta_dev_count=1 \
                    --set evaluate.dev_episodes=1 --quiet";

fn journal(search: &Path) -> Vec<Value> {
    let text = fs::read_to_string(search.join("journal.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn scored(search: &Path) -> Vec<Value> {
    journal(search).into_iter().filter(|line| line["event"] == "scored").collect()
}

#[test]
fn a_search_ends_in_a_recipe_and_continues_where_it_was_stopped() {
    let dir = work_dir();
    let path = dir.path();
    let tune = format!("{TUNE} --run-dir search {SMALL}");
    let found = run(path, &tune).success();
    let search = path.join("search");
    assert!(found.ends_with("search/recipe.toml\n"), "{found}");
    // Four ways on one draw, two on two, one on four, for each of two trainings.
    let draws: Vec<u64> =
        scored(&search).iter().map(|line| line["draws"].as_u64().unwrap()).collect();
    assert_eq!(draws, [1, 1, 1, 1, 2, 2, 4].repeat(2));
    // The best of the last round, in every number of the output.
    let last = scored(&search).into_iter().filter(|line| line["draws"] == 4);
    let least = last.map(|line| line["log_loss"].as_f64().unwrap()).fold(f64::INFINITY, f64::min);
    assert!(found.contains(&format!("log loss {least:.4}")), "{least}: {found}");
    let recipe = fs::read_to_string(search.join("recipe.toml")).unwrap();
    assert!(recipe.contains(&format!("log loss {least:.4}")), "{recipe}");
    assert!(!recipe.contains("@") && !recipe.contains("threads"), "{recipe}");
    run(path, &format!("train --config search/recipe.toml --model @tiny --run-dir r {SMALL}"))
        .success();

    // Every line of the journal but the first lines is lost, and the second training with them.
    let lines = fs::read_to_string(search.join("journal.jsonl")).unwrap();
    let kept: String = lines.split_inclusive('\n').take(5).collect();
    fs::write(search.join("journal.jsonl"), kept + "{\"event\":\"sco").unwrap();
    fs::remove_dir_all(search.join("training-01")).unwrap();
    assert_eq!(run(path, &tune).success(), found);
    assert_eq!(fs::read_to_string(search.join("journal.jsonl")).unwrap(), lines);
    assert_eq!(fs::read_to_string(search.join("recipe.toml")).unwrap(), recipe);

    let other = run(path, &format!("{tune} --seed 8"));
    assert_eq!(other.code, Some(2), "{}", other.stderr);
    assert!(
        other.stderr.contains("expected a search with seed 8, found one with 0"),
        "{}",
        other.stderr
    );
}

#[test]
fn a_search_never_reads_texts_of_low_resource_domains() {
    let dir = work_dir();
    let path = dir.path();
    let texts: Vec<Value> =
        serde_json::from_slice(&fs::read(repository("data/tiny.json")).unwrap()).unwrap();
    let low_resource = ["boots", "gardening"];
    let is_low = |record: &Value| low_resource.iter().any(|name| record["domain"] == *name);
    assert!(texts.iter().any(is_low));
    let mut others = texts.clone();
    for (number, record) in others.iter_mut().enumerate().filter(|(_, record)| is_low(record)) {
        record["text"] = format!("nothing that was ever said {number}").into();
    }
    let mut outcomes = Vec::new();
    for (name, records) in [("first-search", texts), ("other-search", others)] {
        fs::write(path.join(format!("{name}.json")), Value::from(records).to_string()).unwrap();
        let settings = SMALL.replace("@data", &format!("{name}.json"));
        let low = format!("--low-resource {} --low-resource-max 0", low_resource.join(","));
        let settings = settings.replace("--low-resource-max 16", &low);
        let found = run(path, &format!("{TUNE} --run-dir {name} {settings}")).success();
        let search = path.join(name);
        let recipe = fs::read(search.join("recipe.toml")).unwrap();
        outcomes.push((found.replace(name, "search"), scored(&search), recipe));
    }
    assert_eq!(outcomes[0], outcomes[1]);
}

#[test]
fn a_search_ends_with_its_time_and_needs_domains_to_score_on() {
    let dir = work_dir();
    let path = dir.path();
    let late = run(path, &format!("{TUNE} --time 0.001s --run-dir late {SMALL}"));
    assert_eq!(late.code, Some(1), "{}", late.stderr);
    assert!(late.stderr.contains("allow more time"), "{}", late.stderr);
    let blind = TUNE.replace("meta_dev_count=1", "meta_dev_count=0");
    let blind = run(path, &format!("{blind} --run-dir blind {SMALL}"));
    assert_eq!(blind.code, Some(2), "{}", blind.stderr);
    assert!(blind.stderr.contains("expected at least one meta-dev domain"), "{}", blind.stderr);
    assert!(!path.join("blind").exists(), "something was written");
}

#[test]
fn a_signal_reaches_the_training_that_a_search_waits_for() {
    let dir = work_dir();
    let path = dir.path();
    let tune = format!("{TUNE} --set train.steps=1000000 --run-dir search {SMALL}");
    let mut search = command(path, &tune).spawn().unwrap();
    let run_dir = path.join("search/training-00");
    let events = || fs::read_to_string(run_dir.join("events.jsonl")).unwrap_or_default();
    wait_until(&mut search, "steps", || events().contains("outer_step"));
    let id = search.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let output = search.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("the training was stopped"), "{stderr}");
    // It has saved and is gone.
    assert!(run_dir.join("latest.json").exists());
    let resumed = run(path, "train --resume --run-dir search/training-00 --time 1s --quiet");
    assert!(!resumed.stderr.contains("is training there"), "{}", resumed.stderr);
    // What was stopped has no result.
    assert!(journal(&path.join("search")).iter().all(|line| line["event"] == "began"));
}
