//! `metabert predict` on a pipe, and answers that it does not give.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::run::{command, json_lines, run, run_with_input, work_dir};

const PREDICT: &str = "predict --checkpoint @adapted --max-length 32 --threads 1 --device cpu";

/// For one answer, loading the model included, on a busy machine.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

#[test]
fn a_line_on_a_pipe_is_answered_before_the_next_one() {
    let dir = work_dir();
    let mut child = command(dir.path(), PREDICT)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut input = child.stdin.take().expect("stdin is a pipe");
    let output = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
    let (sender, answers) = mpsc::channel();
    let reader = thread::spawn(move || output.lines().try_for_each(|line| sender.send(line)));
    // The end of the input comes after all answers: a program that waits for it gives none.
    for text in ["good boots", "they fell apart", "good boots"] {
        input.write_all(format!("{text}\n").as_bytes()).unwrap();
        let answer = answers.recv_timeout(LONGEST_WAIT);
        if answer.is_err() {
            child.kill().unwrap();
        }
        let answer: Value = serde_json::from_str(&answer.expect("an answer").unwrap()).unwrap();
        assert_eq!(answer["text"], text);
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    reader.join().unwrap().unwrap();
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
