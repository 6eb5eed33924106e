//! What a GPU computes, against what a CPU does. `make test-cuda` runs these tests where there is one.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use safetensors::SafeTensors;
use serde_json::Value;

use crate::support::run::{ARCHITECTURE, SMALL, checkpoint, json_lines, run, tiny, work_dir};

const STEPS: u64 = 3;

/// The GPU; without one `METABERT_TEST_DEVICE=cpu` tries out the tests themselves.
fn device() -> String {
    std::env::var("METABERT_TEST_DEVICE").unwrap_or_else(|_| "cuda:0".to_owned())
}

/// Each algorithm with what it needs beside the settings of all.
const ALGORITHMS: [(&str, &str); 9] = [
    ("fomaml", "--inner-epochs 1"),
    ("maml", "--inner-epochs 1"),
    ("anil", "--inner-epochs 1"),
    ("meta-sgd", "--inner-epochs 1"),
    ("maml++", "--inner-steps 2"),
    ("proto-maml", "--inner-epochs 1"),
    ("protonet", ""),
    ("reptile", "--inner-epochs 1"),
    ("transfer", ""),
];

/// A model without dropout, whose masks are others on a GPU.
fn make_model(dir: &Path) {
    let mut architecture: Value = serde_json::from_str(ARCHITECTURE).unwrap();
    for key in ["hidden_dropout_prob", "attention_probs_dropout_prob"] {
        architecture[key] = 0.0.into();
    }
    fs::write(dir.join("still.json"), architecture.to_string()).unwrap();
    let init =
        "model init --config still.json --tokenizer @plain --labels negative,positive --out still";
    run(dir, init).success();
}

/// Trains by plain gradient steps: those of Adam are as large for a gradient that is all rounding as for any other.
fn train(dir: &Path, (algo, more): (&str, &str), device: &str, precision: &str, out: &str) {
    let small = SMALL.replace("--inner-epochs 1", more);
    let small = small.replace("--device cpu --precision fp32", "");
    let arguments = format!(
        "train --algo {algo} --model still --steps {STEPS} --meta-batch 2 --eval-every 0 --set outer.optimizer=sgd \
         --outer-lr 0.1 --set inner.optimizer=sgd --inner-lr 0.05 --device {device} --precision {precision} \
         --run-dir {out} {small}"
    );
    run(dir, &arguments).success();
}

/// The parameters of a model directory, in float32.
fn parameters(model: &Path) -> HashMap<String, Vec<f32>> {
    let bytes = fs::read(model.join("model.safetensors")).expect("weights");
    let tensors = SafeTensors::deserialize(&bytes).expect("whole weights");
    let numbers = |data: &[u8]| -> Vec<f32> {
        data.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
    };
    tensors.iter().map(|(name, view)| (name.to_owned(), numbers(view.data()))).collect()
}

/// The largest difference of the parameters that two models have in common.
fn distance(left: &Path, right: &Path) -> f32 {
    let [left, right] = [left, right].map(parameters);
    let both = left.iter().filter_map(|(name, values)| Some((values, right.get(name)?)));
    let both: Vec<_> = both.collect();
    assert!(both.len() > 10, "only {} tensors have the same name", both.len());
    let pairs = both.into_iter().map(|(left, right)| left.iter().zip(right));
    let differences = pairs.flatten().map(|(left, right)| (left - right).abs());
    differences.fold(0.0, |largest, it| if it.is_nan() { f32::NAN } else { it.max(largest) })
}

#[test]
#[ignore = "needs a GPU: make test-cuda"]
fn every_algorithm_trains_on_a_gpu_as_on_a_cpu() {
    let dir = work_dir();
    let path = dir.path();
    make_model(path);
    for algorithm in ALGORITHMS {
        let name = algorithm.0;
        train(path, algorithm, "cpu", "fp32", &format!("{name}-cpu"));
        let expected = checkpoint(path, &format!("{name}-cpu"), STEPS);
        let moved = distance(&expected, &path.join("still"));
        // As a share of the way: bfloat16 keeps eight bits, and of a prototype's small gradient it loses most.
        for (precision, tolerance) in [("fp32", 1e-3), ("bf16", 0.3)] {
            let out = format!("{name}-{precision}");
            train(path, algorithm, &device(), precision, &out);
            let found = distance(&expected, &checkpoint(path, &out, STEPS)) / moved;
            println!("{name}, {precision}: {found:.1e} of the way apart");
            assert!(found < tolerance, "{name}, {precision}: {found:e}");
        }
        assert!(moved > 1e-4, "{name} has hardly moved: {moved:e}");
    }
}

#[test]
#[ignore = "needs a GPU: make test-cuda"]
fn training_with_dropout_repeats_on_a_gpu_with_any_number_of_workers() {
    let dir = work_dir();
    let path = dir.path();
    let small = SMALL.replace("--device cpu", &format!("--device {}", device()));
    for (out, workers) in [("one", 1), ("again", 1), ("two", 2), ("four", 4)] {
        let train = format!(
            "train --algo fomaml --model @tiny --steps {STEPS} --meta-batch 4 --eval-every 0 --workers {workers} --run-dir {out} \
             {small}"
        );
        run(path, &train).success();
    }
    let one = checkpoint(path, "one", STEPS);
    let moved = distance(&one, tiny());
    for out in ["again", "two", "four"] {
        let found = distance(&one, &checkpoint(path, out, STEPS)) / moved;
        assert!(found < 1e-3, "{out}: {found:e} of the way");
    }
}

#[test]
#[ignore = "needs a GPU: make test-cuda"]
fn answers_of_a_gpu_are_those_of_a_cpu() {
    let dir = work_dir();
    let text =
        |number: usize| format!("text {number} {}\n", "is longer than most ".repeat(number % 9));
    fs::write(dir.path().join("texts.txt"), (0..200).map(text).collect::<String>()).unwrap();
    let scores = |device: &str, precision: &str| -> Vec<f64> {
        let arguments = format!(
            "predict --checkpoint @adapted --input texts.txt --device {device} --precision {precision}"
        );
        let lines = json_lines(&run(dir.path(), &arguments).success());
        lines.iter().map(|line| line["scores"]["positive"].as_f64().unwrap()).collect()
    };
    let expected = scores("cpu", "fp32");
    for (precision, tolerance) in [("fp32", 1e-4), ("bf16", 2e-2)] {
        let found = scores(&device(), precision);
        let pairs = expected.iter().zip(&found).map(|(left, right)| (left - right).abs());
        let largest = pairs.fold(0.0, f64::max);
        assert!(largest < tolerance, "{precision}: {largest:e}");
    }
}

#[test]
#[ignore = "needs a GPU: make test-cuda"]
fn ranks_on_one_gpu_train_as_one_process() {
    let dir = work_dir();
    let path = dir.path();
    let small = SMALL.replace("--device cpu", &format!("--device {}", device()));
    let train = |out: &str, more: &str| {
        format!(
            "train --algo fomaml --model @tiny --steps {STEPS} --meta-batch 4 --eval-every 0 --run-dir {out} \
             --set outer.optimizer=sgd --outer-lr 0.1 {more} {small}"
        )
    };
    run(path, &train("one", "")).success();
    run(path, &train("two", "--processes 2")).success();
    let moved = distance(&checkpoint(path, "one", STEPS), tiny());
    let found = distance(&checkpoint(path, "one", STEPS), &checkpoint(path, "two", STEPS)) / moved;
    assert!(found < 1e-3, "{found:e} of the way");
}

#[test]
#[ignore = "needs a GPU: make test-cuda"]
fn ranks_on_gpus_of_their_own_add_up_over_nccl() {
    let dir = work_dir();
    let path = dir.path();
    let doctor: Value = serde_json::from_str(&run(path, "doctor --json").success()).unwrap();
    let small = SMALL.replace("--device cpu", "");
    let train = |out: &str, more: &str| {
        format!(
            "train --algo fomaml --model @tiny --steps {STEPS} --meta-batch 4 --eval-every 0 --run-dir {out} \
             --set outer.optimizer=sgd --outer-lr 0.1 {more} {small}"
        )
    };
    if doctor["gpus"].as_u64().unwrap_or(0) < 2 {
        let more = format!("--processes 2 --exchange nccl --device {}", device());
        let answer = run(path, &train("two", &more));
        assert_eq!(answer.code, Some(2), "{}", answer.stderr);
        assert!(answer.stderr.contains("--exchange nccl: rank"), "{}", answer.stderr);
        println!("fewer than two GPUs: NCCL was only refused");
        return;
    }
    let two: Value = serde_json::from_str(&run(path, "doctor --gpus 2 --json").success()).unwrap();
    assert!(two["exchange"].as_str().is_some_and(|by| by.starts_with("NCCL ")), "{two}");
    run(path, &train("one", "--device cuda:0")).success();
    run(path, &train("two", "--gpus 2 --exchange nccl")).success();
    let moved = distance(&checkpoint(path, "one", STEPS), tiny());
    let found = distance(&checkpoint(path, "one", STEPS), &checkpoint(path, "two", STEPS)) / moved;
    assert!(found < 1e-3, "{found:e} of the way");
}

/// The peak of a GPU's memory in MiB, as `--profile` reports it.
fn peak_mib(dir: &Path, steps: u64) -> f64 {
    let small = SMALL.replace("--device cpu", &format!("--device {}", device()));
    let arguments = format!(
        "train --algo fomaml --model @tiny --steps {steps} --meta-batch 2 --eval-every 0 --profile --run-dir of-{steps} \
         {small}"
    );
    let answer = run(dir, &arguments);
    let (_, peak) = answer.stderr.split_once("on the GPU ").expect(&answer.stderr);
    peak.split(' ').next().and_then(|number| number.parse().ok()).expect("a number of MiB")
}

#[test]
#[ignore = "needs a GPU: make test-cuda"]
fn memory_of_a_gpu_does_not_grow() {
    let dir = work_dir();
    let [few, many] = [5, 30].map(|steps| peak_mib(dir.path(), steps));
    assert!(many <= few * 1.02 + 1.0, "{few} MiB in 5 steps, {many} MiB in 30");
}
