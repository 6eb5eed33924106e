//! `metabert predict` on a pipe, and answers that it does not give.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::run::{command, json_lines, run, run_with_input, work_dir};
use crate::survival::resume::wait_until;

const PREDICT: &str = "predict --checkpoint @adapted --max-length 32 --threads 1 --device cpu";

/// For one answer, loading the model included, on a busy machine.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// Starts the program, gives it each of `inputs` once the one before is answered, and returns the answers.
fn answers_on_a_pipe(arguments: &str, inputs: &[&str]) -> Vec<Value> {
    let dir = work_dir();
    let mut child = command(dir.path(), arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut input = child.stdin.take().expect("stdin is a pipe");
    let output = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
    let (sender, answers) = mpsc::channel();
    let reader = thread::spawn(move || output.lines().try_for_each(|line| sender.send(line)));
    let mut found = Vec::new();
    // The end of the input comes after all answers: a program that waits for it gives none.
    for text in inputs {
        input.write_all(text.as_bytes()).unwrap();
        let answer = answers.recv_timeout(LONGEST_WAIT);
        if answer.is_err() {
            child.kill().unwrap();
        }
        found.push(serde_json::from_str(&answer.expect("an answer").unwrap()).unwrap());
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    reader.join().unwrap().unwrap();
    found
}

#[test]
fn a_line_on_a_pipe_is_answered_before_the_next_one() {
    let texts = ["good boots", "they fell apart", "good boots"];
    let lines = texts.map(|text| format!("{text}\n"));
    let found = answers_on_a_pipe(PREDICT, &lines.each_ref().map(String::as_str));
    assert_eq!(found.iter().map(|it| it["text"].as_str().unwrap()).collect::<Vec<_>>(), texts);
}

/// As Python's `csv` ends rows, and with a blank record.
#[test]
fn a_row_or_record_on_a_pipe_is_answered_before_the_next_one() {
    let table = format!("{PREDICT} --input-format csv");
    let rows = ["id,text\r\n1,good boots\r\n", "2,bad\r\n", "3,\"so, so\"\r\n\r\n", "4,fine\r\n"];
    let found = answers_on_a_pipe(&table, &rows);
    assert_eq!(found[2]["text"], "so, so");
    let records = ["{\"text\": \"good boots\"}\n\n", "{\"text\": \"bad\"}\n\n"];
    assert_eq!(answers_on_a_pipe(PREDICT, &records)[1]["text"], "bad");
}

/// Starts to label texts of a pipe into a file, has `signal` end that after the first ones, and returns what is in the folder.
fn interrupted(signal: &str, mut command: Command) -> (ExitStatus, Vec<String>) {
    let dir = work_dir();
    let mut child =
        command.current_dir(dir.path()).stdin(Stdio::piped()).spawn().expect("the program starts");
    let mut input = child.stdin.take().expect("stdin is a pipe");
    input.write_all(b"good boots\n").unwrap();
    let files = || -> Vec<String> {
        let entries = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        entries.map(|name| name.to_string_lossy().into_owned()).collect()
    };
    wait_until(&mut child, "the file", || files().iter().any(|name| name.starts_with(".tmp-")));
    // Until the handler is there, the signal ends the process at once.
    thread::sleep(Duration::from_millis(500));
    let id = child.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    // One that does not heed the signal ends with its input.
    thread::sleep(Duration::from_secs(2));
    drop(input);
    (child.wait().unwrap(), files())
}

#[test]
fn an_interrupted_command_leaves_no_file() {
    let dir = work_dir();
    let predict = format!("{PREDICT} --output labels.jsonl");
    // Not SIGINT, which background jobs of scripts are started to ignore: these tests may be one.
    let (status, files) = interrupted("-TERM", command(dir.path(), &predict));
    assert_eq!((status.signal(), files), (Some(15), Vec::new()));
    // As nohup starts it.
    let ready = command(dir.path(), &predict);
    let mut nohup = Command::new("nohup");
    nohup.arg(ready.get_program()).args(ready.get_args());
    let (status, files) = interrupted("-HUP", nohup);
    assert!(status.success());
    assert_eq!(files, ["labels.jsonl"]);
}

#[test]
fn a_record_keeps_its_other_fields() {
    let dir = work_dir();
    let input = concat!(
        r#"{"id": 12345678901234567890123, "review": "good boots", "label": "mine", "tags": ["a",  "b"]}"#,
        "\n",
        r#"{"review": "bad", "text": "another"}"#,
        "\n"
    );
    let predict = format!("{PREDICT} --text-field review");
    let found = run_with_input(dir.path(), &predict, input.as_bytes()).success();
    let lines: Vec<&str> = found.lines().collect();
    let begin = r#"{"id":12345678901234567890123,"review":"good boots","input_label":"mine","tags":["a",  "b"],"label":""#;
    assert!(lines[0].starts_with(begin), "{found}");
    assert!(lines[1].starts_with(r#"{"review":"bad","text":"another","label":""#), "{found}");
    let answers = json_lines(&found);
    assert_eq!(answers[0].as_object().unwrap().len(), 7, "{found}");
    // As a table, which has a column for the text alone.
    let table =
        run_with_input(dir.path(), &format!("{predict} --output-format csv"), input.as_bytes());
    assert!(table.stderr.contains("other fields of the records are left out"), "{}", table.stderr);
    assert!(table.success().starts_with("text,predicted_label,predicted_score\ngood boots,"));
}

#[test]
fn the_first_line_that_is_not_blank_shows_the_form() {
    let dir = work_dir();
    let texts = |input: &str| -> Vec<(String, bool)> {
        let found = json_lines(&run_with_input(dir.path(), PREDICT, input.as_bytes()).success());
        let text =
            |it: &Value| (it["text"].as_str().unwrap_or("null").to_owned(), it["label"].is_null());
        found.iter().map(text).collect()
    };
    let records = "\n\n{\"text\": \"good\"}\n\n{\"text\": null}\n";
    assert_eq!(texts(records), [("good".to_owned(), false), ("null".to_owned(), true)]);
    let lines = [("", true), (" ", true), ("good", false), ("", true), ("{\"text\": 1}", false)];
    let expected = lines.map(|(text, is_empty)| (text.to_owned(), is_empty));
    assert_eq!(texts("\n \ngood\n\n{\"text\": 1}\n"), expected);
    assert_eq!(texts("\n\n"), [(String::new(), true), (String::new(), true)]);
}

#[test]
fn an_unsure_answer_has_no_label_where_that_is_asked_for() {
    let dir = work_dir();
    let texts = "good boots\nthey fell apart\nlovely\nnever again\n";
    let answers = |arguments: &str| {
        let predict = format!("{PREDICT} {arguments}");
        json_lines(&run_with_input(dir.path(), &predict, texts.as_bytes()).success())
    };
    let all = answers("");
    let mut scores: Vec<f64> = all.iter().map(|it| it["score"].as_f64().unwrap()).collect();
    scores.sort_by(f64::total_cmp);
    let least = (scores[1] + scores[2]) / 2.0;
    for (sure, full) in answers(&format!("--min-score {least}")).iter().zip(&all) {
        let is_sure = full["score"].as_f64().unwrap() >= least;
        assert_eq!(sure["label"], if is_sure { full["label"].clone() } else { Value::Null });
        assert_eq!((&sure["score"], &sure["scores"]), (&full["score"], &full["scores"]));
    }
    let wrong = run(dir.path(), &format!("{PREDICT} --min-score 2"));
    assert_eq!(wrong.code, Some(2), "{}", wrong.stderr);
    assert!(
        wrong.stderr.contains("--min-score: expected from 0 to 1, found 2"),
        "{}",
        wrong.stderr
    );
}

#[test]
fn an_empty_text_has_no_label_and_every_line_an_answer() {
    let dir = work_dir();
    let answer = run_with_input(dir.path(), PREDICT, b"good boots\n\n \nthey fell apart\n\n");
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    assert!(answer.stderr.contains("3 texts are empty and have no label"), "{}", answer.stderr);
    let answers = json_lines(&answer.stdout);
    let labelled: Vec<bool> = answers.iter().map(|line| line["label"].is_string()).collect();
    assert_eq!(labelled, [true, false, false, true, false]);
    let table = format!("{PREDICT} --input-format csv --output-format csv");
    let answer = run_with_input(dir.path(), &table, b"id,text\n1,good boots\n2,\n").success();
    assert!(answer.lines().nth(2).is_some_and(|row| row.starts_with("2,,,")), "{answer}");
}

#[test]
fn a_table_keeps_its_columns_beside_the_answers() {
    let dir = work_dir();
    let path = dir.path();
    let table = "id,review\n7,\"warm, dry\nand light\"\n8,they fell apart\n";
    std::fs::write(path.join("in.csv"), table).unwrap();
    let fields = "--text-field review --min-score 0";
    run(path, &format!("{PREDICT} --input in.csv --output out.csv {fields}")).success();
    let mut reader = csv::Reader::from_path(path.join("out.csv")).unwrap();
    let header = reader.headers().unwrap().clone();
    assert_eq!(header, vec!["id", "review", "predicted_label", "predicted_score"]);
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(&rows[0][1], "warm, dry\nand light");
    let lines = run(path, &format!("{PREDICT} --input in.csv {fields}")).success();
    for (row, line) in rows.iter().zip(json_lines(&lines)) {
        assert_eq!(
            (&row[1], &row[2]),
            (line["review"].as_str().unwrap(), line["label"].as_str().unwrap())
        );
        assert_eq!(line["id"], row[0]);
        assert_eq!(row[3].parse::<f64>().unwrap(), line["score"].as_f64().unwrap());
    }
    // On a pipe the forms have no names to go by.
    let arguments = format!("{PREDICT} --input-format csv --output-format tsv {fields}");
    let piped = run_with_input(path, &arguments, table.as_bytes()).success();
    assert!(piped.starts_with(
        "id\treview\tpredicted_label\tpredicted_score\n7\t\"warm, dry\nand light\"\t"
    ));
    let empty = run_with_input(path, &arguments, b"review\n").success();
    assert_eq!(empty, "review\tpredicted_label\tpredicted_score\n");
    let answer = run(path, &format!("{PREDICT} --input in.csv --output other.csv"));
    assert_eq!(answer.code, Some(2));
    let expected = r#"error: in.csv: line 1: expected a column "text", found "id", "review"; name the right one with --text-field"#;
    assert!(answer.stderr.contains(expected), "{}", answer.stderr);
    assert!(!path.join("other.csv").exists());
}
