//! `metabert report`: one file from runs and evaluations, the same bytes every time.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::evaluation::scored;
use crate::support::fixtures;
use crate::support::run::{Answer, SMALL, run, work_dir};

/// Two runs, one resumed and one that was killed while it wrote, and an evaluation of both. They are made by hand.
const INPUTS: &str = "runs/fomaml runs/reptile eval.json";

fn report(arguments: &str) -> Answer {
    run(&fixtures::path("report"), &format!("report {arguments}"))
}

/// The numbers of a page, section by section.
fn numbers(page: &str) -> Vec<Value> {
    let json = page.split("id=\"numbers\">").nth(1).expect("a page has its numbers");
    let json = json.split("</script>").next().expect("a script ends");
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error} in {json}"))
}

/// The section of this name.
fn section<'a>(sections: &'a [Value], id: &str) -> &'a Value {
    let found = sections.iter().find(|section| section["id"] == id);
    found.unwrap_or_else(|| panic!("no section {id} in {sections:?}"))
}

/// To write a file anew after a change that is meant: in tests/fixtures/report,
/// `metabert report runs/fomaml runs/reptile eval.json --force --out NAME`.
fn assert_equals_file(found: &str, name: &str) {
    let expected = fs::read_to_string(fixtures::path("report").join(name)).unwrap();
    let lines = (1..).zip(found.lines().zip(expected.lines()));
    for (line, (found, expected)) in lines {
        assert_eq!(found, expected, "{name}, line {line}");
    }
    assert_eq!(found.len(), expected.len(), "{name} is shorter or longer");
}

#[test]
fn a_report_has_the_same_bytes_every_time() {
    for (format, name) in [("html", "report.html"), ("md", "report.md")] {
        let found = report(&format!("{INPUTS} --out - --format {format}")).success();
        assert_equals_file(&found, name);
    }
}

#[test]
fn a_page_loads_nothing_and_names_no_path_of_this_machine() {
    let page = report(&format!("{INPUTS} --out -")).success();
    for part in ["http:", "https:", "src=", "url(", "@import", "<link", "/home/", "<boots>"] {
        assert!(!page.contains(part), "found {part} in the page");
    }
    assert_eq!(page.matches("<script").count(), 1, "the numbers alone");
}

#[test]
fn every_question_has_a_section_and_none_is_empty() {
    let page = report(&format!("{INPUTS} --out -")).success();
    let sections = numbers(&page);
    let ids: Vec<&str> = sections.iter().map(|it| it["id"].as_str().unwrap()).collect();
    let expected = [
        "runs",
        "scores",
        "support-size",
        "domains",
        "differences",
        "gain",
        "confusion",
        "reliability",
        "inner-loss",
        "training",
        "time",
        "settings",
    ];
    assert_eq!(ids, expected);
    let alone = numbers(&report("runs/reptile --out -").success());
    let ids: Vec<&str> = alone.iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["runs", "training", "time"], "what is not in the input is left out");
}

#[test]
fn other_input_is_refused_in_one_message_and_writes_nothing() {
    let dir = work_dir();
    let path = dir.path();
    fs::create_dir_all(path.join("empty")).unwrap();
    fs::create_dir_all(path.join("broken")).unwrap();
    fs::write(path.join("broken/config.toml"), "").unwrap();
    fs::write(path.join("broken/events.jsonl"), "{\"event\":\"x\"}\n{\"event\":\"y\"}\n").unwrap();
    fs::write(path.join("other.json"), "{\"results\": [3]}").unwrap();
    fs::write(path.join("text.json"), "domain  macro F1\n").unwrap();
    let evaluation = "expected a file of `metabert eval --out`, found";
    for (input, message) in [
        ("absent", "absent: No such file".to_owned()),
        ("empty", "empty: expected a run directory, or a file".to_owned()),
        ("broken", "broken/events.jsonl: line 1: expected an event of a run, found".to_owned()),
        ("other.json", format!("other.json: {evaluation} in results[0]: ")),
        ("text.json", format!("text.json: {evaluation} no JSON: ")),
    ] {
        let answer = run(path, &format!("report {input}"));
        assert_eq!(answer.code, Some(2), "{input}: {}", answer.stderr);
        let start = format!("error: {message}");
        assert!(answer.stderr.starts_with(&start), "expected {start:?} in {:?}", answer.stderr);
        assert_eq!(answer.stderr.lines().count(), 1, "{}", answer.stderr);
    }
    assert!(!path.join("report.html").exists());
}

#[test]
fn a_file_is_replaced_with_force_alone_and_its_name_decides_about_the_format() {
    let dir = work_dir();
    let out = dir.path().join("r.md");
    let arguments = format!("{INPUTS} --out {}", out.display());
    assert_eq!(report(&arguments).success(), format!("{}\n", out.display()));
    assert!(fs::read_to_string(&out).unwrap().starts_with("# fomaml, reptile\n"));
    fs::write(&out, "mine").unwrap();
    let answer = report(&arguments);
    assert_eq!(answer.code, Some(2), "{}", answer.stderr);
    assert_eq!(fs::read_to_string(&out).unwrap(), "mine");
    report(&format!("{arguments} --force --format html")).success();
    assert!(fs::read_to_string(&out).unwrap().starts_with("<!doctype html>\n"));
}

#[test]
fn runs_whose_paths_end_alike_have_names_of_their_own() {
    let dir = work_dir();
    let path = dir.path();
    for (run, from) in [("a", "fomaml"), ("old/a", "reptile")] {
        fs::create_dir_all(path.join(run)).unwrap();
        for file in ["config.toml", "events.jsonl"] {
            let from = fixtures::path("report/runs").join(from).join(file);
            fs::copy(from, path.join(run).join(file)).unwrap();
        }
    }
    let evaluation = fs::read_to_string(fixtures::path("report/eval.json")).unwrap();
    let evaluation = evaluation.replace("runs/fomaml", "a").replace("runs/reptile", "old/a");
    fs::write(path.join("e.json"), evaluation).unwrap();
    let sections = numbers(&run(path, "report a old/a e.json --out -").success());
    let column = |id: &str| {
        let rows = section(&sections, id)["tables"][0]["rows"].as_array().unwrap();
        rows.iter().take(2).map(|row| row[0].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let names = column("runs");
    assert_eq!(column("scores"), names, "a run and its checkpoint have one name");
    assert!(names[0] != names[1] && names[1] == "old/a", "{names:?}");
}

/// Trains two runs of data/tiny.json, and returns what `train` printed about the second.
fn train_two(path: &Path) -> Answer {
    run(path, &format!("train --algo reptile --model @tiny --steps 2 --run-dir b --quiet {SMALL}"))
        .success();
    run(path, &format!("train --algo fomaml --model @tiny --steps 2 --run-dir a --profile {SMALL}"))
}

/// Evaluates checkpoints into a file.
fn evaluate(path: &Path, arguments: &str, name: &str) -> PathBuf {
    let eval = format!("eval --json --episodes 2 --checkpoint {arguments} --out {name} {SMALL}");
    let printed = run(path, &eval).success();
    let file = path.join(name);
    assert_eq!(fs::read_to_string(&file).unwrap(), printed);
    file
}

#[test]
fn separate_evaluations_on_the_same_draws_differ_by_what_eval_says() {
    let dir = work_dir();
    let path = dir.path();
    let trained = train_two(path);
    let last = trained.stderr.lines().last().unwrap_or_default().to_owned();
    assert_eq!(last, "for a report: metabert report a", "{}", trained.stderr);

    let both = evaluate(path, "a --baselines b", "both.json");
    let both: Value = serde_json::from_slice(&fs::read(both).unwrap()).unwrap();
    let expected = &scored(&both)[1];
    evaluate(path, "a", "1.json");
    evaluate(path, "b", "2.json");
    let page = run(path, "report a b 1.json 2.json --out -").success();
    let sections = numbers(&page);
    let found = &section(&sections, "differences")["tables"][0]["rows"];
    let rows = found.as_array().unwrap();
    let expected: Vec<&Value> = expected.domains.iter().chain([expected.overall]).collect();
    assert_eq!(rows.len(), expected.len(), "{found}");
    for (row, expected) in rows.iter().zip(expected) {
        assert_eq!(row[3], expected["differences"]["accuracy"], "{row}");
        assert_eq!(row[4], expected["differences"]["macro_f1"], "{row}");
    }
    let time = section(&sections, "time").to_string();
    assert!(time.contains("forward") && time.contains("outer steps"), "{time}");
    let reliability = &section(&sections, "reliability")["tables"][0]["rows"];
    let rows = reliability.as_array().unwrap().iter();
    let texts = rows.filter(|row| row[1] == "a" && row[2] == "after");
    let texts: u64 = texts.map(|row| row[3].as_u64().unwrap()).sum();
    let counted = scored(&both)[0].overall["num_scored"].as_u64().unwrap();
    assert_eq!(texts, 2 * counted, "every text of both draws: {reliability}");
}
