//! Neither the number of workers nor that of threads changes a result: not by a bit.

use std::fs;
use std::path::Path;

use metabert::data::batch::{AttentionLayout, Batch};
use metabert::meta::{
    Algorithm, EpisodeOutcome, InnerConfig, MetaConfig, Rate, Recipe, Support, Task,
};
use metabert::model::{BertConfig, Classifier, Pooling, Precision};
use metabert::params::{ParamSet, TaskView, init};
use metabert::seed;
use serde_json::Value;
use tch::Device;

use crate::support::evaluation::of_domains;
use crate::support::fixtures::max_abs_difference;
use crate::support::run::{
    SMALL, assert_same_bytes, assert_same_state, checkpoint, command, finish, json_lines,
    timeless_events, tiny_records, work_dir,
};

/// [`SMALL`] on two threads, and steps so large that everything they depend on shows in the parameters.
fn settings() -> String {
    let threads = SMALL.replace("--threads 1", "--threads 2");
    assert_ne!(threads, SMALL, "the settings name a number of threads");
    format!("{threads} --inner-lr 1e-2")
}

/// Runs the program with `--workers`, and returns what it printed on stdout.
fn run_with(workers: usize, dir: &Path, arguments: &str) -> String {
    let mut command = command(dir, &format!("{arguments} --workers {workers}"));
    // Threads that wait for one another asleep: tests run side by side, and leave no core to spin on.
    finish(command.env("OMP_WAIT_POLICY", "passive"), b"").success()
}

fn train(algo: &str, steps: u64) -> String {
    format!(
        "train --algo {algo} --model @tiny --meta-batch 5 --steps {steps} --outer-lr 1e-2 \
         --set outer.clip_norm=0.2 --eval-every 2 --set data.meta_dev_count=1 \
         --set evaluate.dev_episodes=3 {}",
        settings()
    )
}

#[test]
fn training_does_not_depend_on_the_number_of_workers() {
    let dir = work_dir();
    let path = dir.path();
    for algo in ["fomaml", "reptile", "transfer"] {
        let directory = |workers: usize| format!("{algo}-{workers}");
        for workers in [1, 2, 3, 4] {
            let arguments = format!("{} --run-dir {}", train(algo, 3), directory(workers));
            run_with(workers, path, &arguments);
        }
        let one = path.join(directory(1));
        let expected = timeless_events(&one);
        let kinds = ["started", "outer_step", "evaluated", "checkpointed", "finished"];
        for kind in kinds {
            let is_there = expected.iter().any(|event| event["event"] == kind);
            assert!(is_there, "{algo}: no event {kind} among {expected:?}");
        }
        for workers in [2, 3, 4] {
            let many = path.join(directory(workers));
            assert_same_state(&checkpoint(&one, ".", 3), &checkpoint(&many, ".", 3));
            assert_eq!(timeless_events(&many), expected, "{algo}, {workers} workers");
        }
    }
}

#[test]
fn training_does_not_depend_on_the_number_of_threads() {
    let dir = work_dir();
    let path = dir.path();
    for algo in ["fomaml", "maml", "proto-maml"] {
        let [one, two] = ["1", "2"].map(|threads| {
            let train = train(algo, 3).replace("--threads 2", &format!("--threads {threads}"));
            let run = format!("{algo}-{threads}");
            run_with(1, path, &format!("{train} --run-dir {run}"));
            path.join(run)
        });
        assert_same_state(&checkpoint(&one, ".", 3), &checkpoint(&two, ".", 3));
        assert_eq!(timeless_events(&one), timeless_events(&two), "{algo}");
    }
}

#[test]
fn a_run_goes_on_with_another_number_of_workers() {
    let dir = work_dir();
    let path = dir.path();
    let settings = |steps, run| format!("{} --run-dir {run}", train("fomaml", steps));
    run_with(1, path, &settings(4, "whole"));
    run_with(2, path, &settings(2, "parts"));
    run_with(3, path, &format!("{} --resume", settings(4, "parts")));
    assert_same_state(&checkpoint(path, "whole", 4), &checkpoint(path, "parts", 4));
}

#[test]
fn evaluation_does_not_depend_on_the_number_of_workers() {
    let dir = work_dir();
    let eval =
        format!("eval --checkpoint @adapted --episodes 5 --baselines @tiny --json {}", settings());
    let one = run_with(1, dir.path(), &eval);
    let report: Value = serde_json::from_str(&one).expect("one JSON object");
    let draws = of_domains(&report)[0]["draws"].as_array().expect("draws").clone();
    assert!(draws.iter().any(|draw| draw != &draws[0]), "every draw scores alike: {report}");
    assert_eq!(run_with(3, dir.path(), &eval), one);
}

#[test]
fn finetuning_does_not_depend_on_the_number_of_workers_or_threads() {
    let dir = work_dir();
    let finetune = |workers: usize, threads: usize| {
        let out = format!("boots-{workers}-{threads}");
        let arguments = format!(
            "finetune --checkpoint @tiny --domain boots --data @data --out {out} --folds 4 \
             --inner-steps 6 --inner-lr 1e-2 --max-length 32 --threads {threads} --device cpu"
        );
        let answer = run_with(workers, dir.path(), &arguments).replace(&out, "boots");
        (answer, dir.path().join(out).join("model.safetensors"))
    };
    let (expected, model) = finetune(1, 2);
    for (workers, threads) in [(3, 2), (1, 1), (1, 3)] {
        let (found, other) = finetune(workers, threads);
        assert_eq!(found, expected, "{workers} workers, {threads} threads");
        assert_same_bytes(&model, &other);
    }
}

#[test]
fn predictions_do_not_depend_on_the_number_of_workers() {
    let dir = work_dir();
    // Several batches of 2,048 wordpieces.
    let texts: Vec<String> = (0..4)
        .flat_map(|copy| {
            let records = tiny_records();
            let text = |record: &Value| record["text"].as_str().expect("a text").to_owned();
            let texts: Vec<String> = records.iter().map(text).collect();
            texts.into_iter().map(move |text| format!("{} {text}", "so ".repeat(copy)))
        })
        .collect();
    fs::write(dir.path().join("texts.txt"), texts.join("\n")).unwrap();
    let predict =
        "predict --checkpoint @adapted --input texts.txt --max-length 32 --threads 2 --device cpu";
    let one = run_with(1, dir.path(), predict);
    let answers = json_lines(&one);
    assert_eq!(answers.len(), texts.len());
    assert!(answers.iter().any(|it| it["scores"] != answers[0]["scores"]), "all score alike");
    assert_eq!(run_with(3, dir.path(), predict), one);
}

/// MiniLM's widths, and so its matrix products; of its layers two, and a smaller table.
fn config() -> BertConfig {
    BertConfig {
        vocab_size: 5_000,
        hidden_size: 384,
        num_hidden_layers: 2,
        num_attention_heads: 12,
        intermediate_size: 1_536,
        max_position_embeddings: 128,
        hidden_dropout_prob: 0.1,
        attention_probs_dropout_prob: 0.1,
        ..BertConfig::default()
    }
}

/// `count` random texts of 30 to 128 tokens.
fn texts(config: &BertConfig, count: usize, purpose: &str) -> Batch {
    let mut rng = seed::rng(3, purpose, 0);
    let texts: Vec<Vec<u32>> = (0..count)
        .map(|_| {
            let length = 30 + seed::below(&mut rng, 99);
            (0..length).map(|_| seed::below(&mut rng, config.vocab_size as usize) as u32).collect()
        })
        .collect();
    let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    let labels: Vec<u32> = (0..count as u32).map(|text| text % 2).collect();
    Batch::pack(&texts, &labels, AttentionLayout::PerText, Device::Cpu).unwrap()
}

/// FOMAML's outcome behind one adaptation step, with each of these numbers of threads.
fn outcomes(config: &BertConfig, threads: &[i32]) -> Vec<EpisodeOutcome> {
    let classifier = Classifier::new(config, Pooling::Cls, 2, Precision::Fp32);
    let meta = init::draw(classifier.layout(), 1).unwrap();
    let lr = Rate(1e-3).into();
    let inner = InnerConfig { lr, query_dropout: true, ..InnerConfig::default() };
    let fomaml = Recipe::new(Algorithm::Fomaml, &inner, &MetaConfig::default());
    let task = || Task {
        index: 0,
        domain: None,
        view: TaskView::whole(classifier.layout()),
        support: Support::of_steps(vec![texts(config, 4, "support")]),
        query: texts(config, 12, "query"),
        dropout_seed: 5,
    };
    let before = tch::get_num_threads();
    let run = |&threads: &i32| {
        tch::set_num_threads(threads);
        assert_eq!(tch::get_num_threads(), threads);
        fomaml.meta_gradient(&classifier, &meta, task(), 0).unwrap()
    };
    let outcomes = threads.iter().map(run).collect();
    tch::set_num_threads(before);
    outcomes
}

fn assert_equal(found: &ParamSet, expected: &ParamSet, case: &str) {
    let (worst, slot) = max_abs_difference(found, expected);
    assert!(worst == 0.0, "{case}: the gradient of {slot} differs by {worst:e}");
}

/// Checks a meta-gradient on several numbers of threads against that on one.
fn check_threads(config: &BertConfig, more_threads: &[i32]) {
    let threads = [&[1], more_threads].concat();
    let outcomes = outcomes(config, &threads);
    let expected = &outcomes[0];
    let norm = expected.gradient.global_norm().unwrap().double_value(&[]);
    assert!(norm > 1e-3, "a gradient of norm {norm:e} tells nothing");
    for (threads, found) in threads.iter().zip(&outcomes).skip(1) {
        let case = format!("{:?}, {threads} threads", config.hidden_act);
        assert_equal(&found.gradient, &expected.gradient, &case);
        let [found, expected] = [found, expected].map(|it| it.query_loss.double_value(&[]));
        assert_eq!(found, expected, "{case}: query loss");
    }
}

/// Work is cut into as many parts as there are threads, evenly (2, 3) or not (5): by this crate's own kernels, by libtorch's,
/// and by the BLAS.
#[test]
fn a_meta_gradient_does_not_depend_on_the_number_of_threads() {
    check_threads(&config(), &[2, 3, 5]);
}
