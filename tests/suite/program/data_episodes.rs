//! `data episodes` lists what `train` takes: other programs rely on it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::run::{
    SMALL, assert_same_bytes, command, events, json_lines, run, tiny_records, work_dir,
};

/// The settings of [`SMALL`] that decide on episodes.
const DRAWN: &str = "--data @data --low-resource-max 16 --support 8 --query 4";

fn list(dir: &Path, more: &str) -> String {
    run(dir, &format!("data episodes {DRAWN} {more}")).success()
}

fn positions(episode: &Value, set: &str) -> Vec<usize> {
    let positions = episode[set].as_array().unwrap_or_else(|| panic!("no {set} in {episode}"));
    positions.iter().map(|position| position.as_u64().expect("a position") as usize).collect()
}

#[test]
fn the_listed_episodes_are_those_that_training_logs() {
    let dir = work_dir();
    let train = format!(
        "train --algo fomaml --model @tiny --run-dir r --steps 3 --meta-batch 2 --seed 5 {SMALL}"
    );
    run(dir.path(), &train).success();
    let mut logged = Vec::new();
    for event in events(&dir.path().join("r"), "outer_step") {
        let (indices, domains) = (&event["episodes"], &event["domains"]);
        let pairs = indices.as_array().unwrap().iter().zip(domains.as_array().unwrap());
        logged.extend(pairs.map(|(index, domain)| (index.clone(), domain.clone())));
    }
    let text = list(dir.path(), "--count 6 --seed 5");
    let listed = json_lines(&text);
    let shown: Vec<(Value, Value)> = listed
        .iter()
        .map(|episode| (episode["index"].clone(), episode["domain"].clone()))
        .collect();
    assert_eq!(shown, logged);
    assert_eq!(logged.len(), 6, "{logged:?}");

    let records = tiny_records();
    for episode in &listed {
        let (support, query) = (positions(episode, "support"), positions(episode, "query"));
        assert_eq!((support.len(), query.len()), (8, 4), "{episode}");
        let drawn: BTreeSet<usize> = support.iter().chain(&query).copied().collect();
        assert_eq!(drawn.len(), 12, "a text is twice in {episode}");
        for position in drawn {
            assert_eq!(records[position]["domain"], episode["domain"], "{position}: {episode}");
        }
    }

    assert_eq!(list(dir.path(), "--count 6 --seed 5"), text);
    assert_eq!(
        run(dir.path(), "data episodes --count 6 --config r/config.toml").success(),
        text,
        "a run's own configuration lists other episodes"
    );
    assert_ne!(list(dir.path(), "--count 6"), text, "the seed does nothing");
    let lines: Vec<&str> = text.lines().collect();
    let part = list(dir.path(), "--count 2 --start 3 --seed 5");
    assert_eq!(part.lines().collect::<Vec<_>>(), lines[3..5]);
    assert_eq!(list(dir.path(), "").lines().count(), 10, "the default");
    assert_eq!(list(dir.path(), "--count 0"), "");
}

#[test]
fn positions_count_the_records_that_are_left_out() {
    let dir = work_dir();
    let mut records = tiny_records();
    let first = records[0].clone();
    let mut leak = first.clone();
    let low = records.iter().find(|record| record["domain"] == "gardening").unwrap();
    leak["text"] = low["text"].clone();
    // Now 0 is left out since its text is in a low-resource domain, and 2 since it repeats 1.
    records.insert(1, first);
    records.insert(0, leak);
    // After an empty line, which is no record.
    let lines: String = records.iter().map(|record| format!("\n{record}\n")).collect();
    fs::write(dir.path().join("more.jsonl"), lines).unwrap();
    let more = "--count 30 --set data.cross_side_duplicates=drop --set data.meta_dev=[\"boots\"]";
    let arguments = format!("data episodes {DRAWN} {more}").replace("@data", "more.jsonl");
    let answer = run(dir.path(), &arguments);
    for warning in ["left out 1 reviews that repeat", "left out 1 reviews whose text a meta-dev"] {
        assert!(answer.stderr.contains(warning), "no {warning:?} in {:?}", answer.stderr);
    }
    let mut expected = json_lines(&list(dir.path(), more));
    let mut drawn = BTreeSet::new();
    for episode in &mut expected {
        for set in ["support", "query"] {
            let shifted =
                positions(episode, set).into_iter().map(|p| if p == 0 { 1 } else { p + 2 });
            let shifted: Vec<usize> = shifted.collect();
            drawn.extend(shifted.iter().copied());
            episode[set] = json!(shifted);
        }
    }
    assert_eq!(json_lines(&answer.success()), expected);
    assert!(drawn.contains(&1), "the repeated text is never drawn: {drawn:?}");
}

/// Meta-train gives way to meta-dev domains that the seed chose, but not to named ones: the configuration of a run, which
/// names them, must give the same all the same.
#[test]
fn a_run_that_left_out_copies_repeats_from_its_configuration() {
    let dir = work_dir();
    let mut records = tiny_records();
    let other = records.iter().find(|record| record["domain"] == "podcasts").unwrap();
    let text = other["text"].clone();
    let boots = records.iter_mut().find(|record| record["domain"] == "boots").unwrap();
    boots["text"] = text;
    fs::write(dir.path().join("shared.json"), json!(records).to_string()).unwrap();
    let left_out = "left out 1 reviews whose text a meta-dev";
    let episodes = |seed: u64| {
        let arguments = format!("data episodes {DRAWN} --seed {seed}");
        run(dir.path(), &arguments.replace("@data", "shared.json"))
    };
    let mut answers = (0..20).map(|seed| (seed, episodes(seed)));
    let (seed, answer) = answers
        .find(|(seed, answer)| {
            assert_eq!(answer.code, Some(0), "seed {seed}: {}", answer.stderr);
            answer.stderr.contains(left_out)
        })
        .expect("a seed puts one of the two domains into meta-dev");
    let train =
        format!("train --algo fomaml --model @tiny --run-dir r --steps 1 --seed {seed} {SMALL}");
    run(dir.path(), &train.replace("@data", "shared.json")).success();
    let again = run(dir.path(), "data episodes --config r/config.toml");
    assert!(again.stderr.contains(left_out), "{}", again.stderr);
    assert_eq!(again.success(), answer.success());
}

/// Training must not change with the text of any record that is not listed, and must with one that
/// is. The model's labels are in an order of their own, on which the drawing depends.
#[test]
fn training_reads_the_listed_records_and_no_others() {
    let dir = work_dir();
    let path = dir.path();
    fs::write(path.join("a.json"), crate::support::run::ARCHITECTURE).unwrap();
    let init = "model init --config a.json --tokenizer @plain --labels positive,negative --out m";
    run(path, init).success();
    let mut records = tiny_records();
    // Every position shifts by one: the first record is followed by its repetition.
    records.insert(1, records[0].clone());
    let write = |name: &str, records: &[Value]| {
        fs::write(path.join(format!("{name}.json")), json!(records).to_string()).unwrap();
    };
    let train = |name: &str, records: &[Value]| -> PathBuf {
        write(name, records);
        let settings = SMALL.replace("@data", &format!("{name}.json"));
        let train = format!(
            "train --algo fomaml --model m --run-dir {name} --steps 1 --meta-batch 1 {settings}"
        );
        run(path, &train).success();
        path.join(name).join("checkpoints/step-000001/model.safetensors")
    };
    let original = train("original", &records);

    let arguments = format!("data episodes {DRAWN} --count 1").replace("@data", "original.json");
    let text = run(path, &format!("{arguments} --model m")).success();
    assert_ne!(run(path, &arguments).success(), text, "the order of the labels does nothing");
    let episode = json_lines(&text).remove(0);
    let (support, query) = (positions(&episode, "support"), positions(&episode, "query"));
    let texts: BTreeSet<String> = support
        .iter()
        .chain(&query)
        .map(|&position| records[position]["text"].to_string())
        .collect();
    assert_eq!(texts.len(), 12);
    let change = |record: &mut Value| {
        let text = format!("not {}", record["text"].as_str().unwrap());
        record["text"] = json!(text);
    };

    let mut others = records.clone();
    let is_other = |record: &&mut Value| {
        record["domain"] == episode["domain"] && !texts.contains(&record["text"].to_string())
    };
    others.iter_mut().filter(is_other).for_each(change);
    assert_ne!(others, records);
    assert_same_bytes(&original, &train("others", &others));

    for (name, position) in [("support", support[7]), ("query", query[3])] {
        let mut changed = records.clone();
        change(&mut changed[position]);
        let weights = fs::read(train(name, &changed)).unwrap();
        assert_ne!(weights, fs::read(&original).unwrap(), "record {position} is not read");
    }
}

/// The accuracy before any step is that of `predict` on the listed query texts.
#[test]
fn the_listed_draws_are_those_that_evaluations_take() {
    let dir = work_dir();
    let path = dir.path();
    let records = tiny_records();
    let texts: Vec<&str> = records.iter().map(|record| record["text"].as_str().unwrap()).collect();
    fs::write(path.join("texts.txt"), texts.join("\n")).unwrap();
    let predict = "predict --checkpoint @adapted --input texts.txt --max-length 32 --device cpu";
    let answers = json_lines(&run(path, &format!("{predict} --precision fp32")).success());
    let is_right = |&position: &usize| answers[position]["label"] == records[position]["label"];

    for query in [4, 5] {
        let settings = SMALL.replace("--query 4", &format!("--query {query}"));
        let eval = format!("eval --checkpoint @adapted --episodes 6 --seed 3 --json {settings}");
        let report: Value = serde_json::from_str(&run(path, &eval).success()).unwrap();
        let list = format!("data episodes --evaluation --episodes 6 --seed 3 {DRAWN}");
        let list = list.replace("--query 4", &format!("--query {query} --set evaluate.query=9"));
        let draws = json_lines(&run(path, &list).success());
        let results = report["results"].as_array().unwrap().iter();
        let is_of_domain = |it: &&Value| it["checkpoint"] != "majority" && it["domain"] != "all";
        let domains: Vec<&Value> = results.filter(is_of_domain).collect();
        assert_eq!(draws.len(), 6 * domains.len());
        for (domain, draws) in domains.iter().zip(draws.chunks(6)) {
            let mut accuracy = 0.0;
            for draw in draws {
                assert_eq!(draw["domain"], domain["domain"]);
                let (support, drawn) = (positions(draw, "support"), positions(draw, "query"));
                assert_eq!((support.len(), drawn.len()), (8, query), "{draw}");
                let num_right = drawn.iter().filter(|position| is_right(position)).count();
                accuracy += num_right as f64 / query as f64 / 6.0;
            }
            let found = domain["zero_step_accuracy"]["mean"].as_f64().unwrap();
            assert!((found - accuracy).abs() < 1e-9, "{found} for {accuracy} in {domain}");
        }
    }
}

#[test]
fn a_reader_of_one_episode_is_no_error() {
    let dir = work_dir();
    let arguments = format!("data episodes {DRAWN} --count 100000");
    let mut child = command(dir.path(), &arguments).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(json_lines(&line)[0]["index"], 0);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*stderr), (Some(0), ""));
}
