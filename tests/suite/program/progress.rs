//! Progress on a terminal: bars while there is work, and nothing of them in the end.

use std::fs;
use std::path::Path;

use super::hub::with_hub;
use crate::support::hub::{Faults, HubServer, NAME};
use crate::support::run::{SMALL, command, tiny, work_dir};
use crate::support::terminal::{Shown, on_terminal};

/// Requires that each of `bars` was shown, that none stands there in the end, and that the last lines begin with `results`. Work
/// that is this short shows few of its steps.
fn check(shown: &Shown, bars: &[&str], results: &[&str]) {
    let Shown { code, written, screen } = shown;
    assert_eq!(*code, Some(0), "{screen:#?}");
    for bar in bars {
        assert!(written.contains(bar), "{bar}: {written}");
    }
    assert!(!screen.iter().any(|line| line.contains("[==")), "{screen:#?}");
    let last = &screen[screen.len() - results.len()..];
    for (line, result) in last.iter().zip(results) {
        assert!(line.starts_with(result), "{line}: expected {result}, {screen:#?}");
    }
}

fn show(dir: &Path, arguments: &str) -> Shown {
    on_terminal(command(dir, arguments))
}

#[test]
fn training_evaluation_and_adaptation_show_bars() {
    let dir = work_dir();
    let path = dir.path();
    let train = "train --algo fomaml --model @tiny --run-dir run --steps 3 --meta-batch 2 --eval-every 2 --set \
                 evaluate.dev_episodes=2";
    let shown = show(path, &format!("{train} {SMALL}"));
    check(&shown, &["train 0/3 [", "left"], &["run/"]);
    let eval = format!("eval --checkpoint run --episodes 2 {SMALL}");
    check(&show(path, &eval), &["evaluate ", "/min left", "adapt "], &[]);
    let finetune = "finetune --checkpoint run --domain boots --data @data --folds 3 --inner-steps 4 --max-length 32 --out model \
                    --threads 1 --device cpu";
    let shown = show(path, finetune);
    check(&shown, &["evaluate ", "adapt "], &["boots: accuracy", "model"]);
}

#[test]
fn a_search_shows_a_bar_of_its_adaptations() {
    let dir = work_dir();
    let tune = "tune --model @tiny --trials 1 --adaptations 2 --run-dir tuned --set train.steps=2";
    let shown = show(dir.path(), &format!("{tune} {SMALL}"));
    check(&shown, &["evaluate ", "/min left"], &[]);
}

#[test]
fn bytes_that_are_read_show_a_bar() {
    let dir = work_dir();
    fs::write(dir.path().join("texts.txt"), "they fell apart\n".repeat(3_000)).unwrap();
    let predict = "predict --checkpoint @adapted --input texts.txt --output answers.jsonl --threads 1 --device cpu";
    check(&show(dir.path(), predict), &["predict ", "B/s left"], &[]);
    let server = HubServer::of(tiny(), Faults::default());
    let fetch = with_hub(dir.path(), &server, &format!("model fetch {NAME}"));
    check(&on_terminal(fetch), &["model.safetensors ", "B/s left"], &[]);
}
