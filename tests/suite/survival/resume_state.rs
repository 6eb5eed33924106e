//! Every outer optimizer and schedule resumes to the bit, in the middle of a run whose number of steps is fixed.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::run::{SMALL, events, logged_steps, run, work_dir};
use crate::support::run::{assert_same_state, checkpoint};

const STEPS: u64 = 8;
const HALF: u64 = 4;

/// Trains to the end, takes a copy of the run back to its half, and resumes that.
fn resumes_from_half(algo: &str, settings: &str) {
    let dir = work_dir();
    let path = dir.path();
    let train = format!(
        "train --run-dir whole --algo {algo} --model @tiny --steps {STEPS} --checkpoint-every 1 --eval-every 0 \
         --seed 5 --set train.keep_last={STEPS} --set data.meta_dev_count=0 {SMALL} {settings}"
    );
    run(path, &train).success();
    take_back_to_half(path);
    run(path, "train --run-dir half --resume").success();

    let what = format!("{algo} {settings}");
    let [whole, half] = ["whole", "half"].map(|name| checkpoint(path, name, STEPS));
    assert_same_state(&whole, &half);
    assert_eq!(logged_steps(&path.join("half")), (1..=STEPS).collect::<Vec<_>>(), "{what}");
    let [whole, half] = ["whole", "half"].map(|name| events(&path.join(name), "outer_step"));
    for (left, right) in whole.iter().zip(&half) {
        for key in ["step", "episodes", "query_loss", "gradient_norm", "lr"] {
            assert_eq!(left[key], right[key], "{what}: {key} of {left} and {right}");
        }
    }
    assert_rates(&whole, settings);
}

/// Makes `half`, the copy of `whole` that a kill after half of the steps would have left.
fn take_back_to_half(dir: &Path) {
    let [whole, half] = ["whole", "half"].map(|name| dir.join(name));
    let status = Command::new("cp").arg("-r").arg(&whole).arg(&half).status();
    assert!(status.expect("cp is there").success());
    for step in HALF + 1..=STEPS {
        fs::remove_dir_all(checkpoint(dir, "half", step)).unwrap();
    }
    let name = format!("step-{HALF:06}");
    let pointer = json!({"checkpoint": name, "step": HALF, "macro_f1": null});
    fs::write(half.join("latest.json"), pointer.to_string()).unwrap();
}

/// The learning rate moves where a schedule is asked for: otherwise the test would not try one.
fn assert_rates(steps: &[Value], settings: &str) {
    let rates: Vec<f64> = steps.iter().map(|step| step["lr"].as_f64().unwrap()).collect();
    let is_constant = rates.iter().all(|rate| *rate == rates[0]);
    assert_eq!(is_constant, !settings.contains("outer.schedule"), "{settings}: {rates:?}");
    if settings.contains("warmup_steps=5") {
        // The run resumes in the warm-up, which ends in a maximum.
        assert!(rates[..6].is_sorted() && rates[5..].is_sorted_by(|a, b| a > b), "{rates:?}");
    }
}

const ALGORITHMS: [&str; 3] = ["fomaml", "reptile", "transfer"];

#[test]
fn sgd_with_momentum_resumes_to_the_bit() {
    for algo in ALGORITHMS {
        let lr = if algo == "reptile" { "0.5" } else { "0.05" };
        let settings = format!(
            "--set outer.optimizer=sgd --set outer.momentum=0.9 --outer-lr {lr} --set outer.clip_norm=1"
        );
        resumes_from_half(algo, &settings);
    }
}

#[test]
fn adamw_with_weight_decay_resumes_to_the_bit() {
    for algo in ALGORITHMS {
        let settings = "--set outer.optimizer=adamw --set outer.weight_decay=0.1 --outer-lr 1e-2";
        resumes_from_half(algo, settings);
    }
}

#[test]
fn a_schedule_with_warm_up_resumes_to_the_bit() {
    for algo in ALGORITHMS {
        let settings = "--set outer.optimizer=adamw --set outer.weight_decay=0.1 --outer-lr 1e-2 \
                        --set outer.warmup_steps=5 --set outer.schedule=cosine";
        resumes_from_half(algo, settings);
    }
}
