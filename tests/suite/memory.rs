//! Memory does not grow with the number of episodes.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::program::{SMALL, command, finish, repository, run, work_dir};

/// Wordpieces of the model, most of which no text has.
const VOCABULARY: usize = 2_000;
const HIDDEN: usize = 128;
const META_BATCH: u64 = 2;
const FEW_STEPS: u64 = 10;
const MANY_STEPS: u64 = 60;

/// Writes a model that is large beside what a run takes for other things, and returns the MiB of its parameters without
/// the embedding table: what an episode's fast weights take at least.
fn write_model(dir: &Path) -> u64 {
    let tokenizer = dir.join("tokenizer");
    fs::create_dir(&tokenizer).unwrap();
    let known = fs::read_to_string(repository("tests/fixtures/bert/plain/vocab.txt")).unwrap();
    let mut vocabulary: Vec<String> = known.lines().map(str::to_owned).collect();
    vocabulary.extend((vocabulary.len()..VOCABULARY).map(|id| format!("[unused{id}]")));
    fs::write(tokenizer.join("vocab.txt"), vocabulary.join("\n")).unwrap();
    let architecture = json!({
        "model_type": "bert",
        "hidden_size": HIDDEN,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 512,
        "max_position_embeddings": 64,
    });
    fs::write(dir.join("architecture.json"), architecture.to_string()).unwrap();
    run(dir, "model init --config architecture.json --tokenizer tokenizer --out model").success();
    let weights = fs::metadata(dir.join("model/model.safetensors")).unwrap().len();
    (weights - (VOCABULARY * HIDDEN * 4) as u64) >> 20
}

/// The peak of the resident memory of a run, in MiB, as `--profile` tells it.
fn peak_mib(dir: &Path, steps: u64, workers: usize) -> u64 {
    let arguments = format!(
        "train --model model --run-dir {workers}-{steps} --steps {steps} --workers {workers} \
         --meta-batch {META_BATCH} --eval-every 0 --checkpoint-every 0 --set data.meta_dev_count=0 \
         --profile {SMALL}"
    );
    let answer = finish(&mut command(dir, &arguments), b"");
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    let (_, behind) = answer.stderr.rsplit_once("peak memory ").expect("the profile tells a peak");
    behind.split(' ').next().and_then(|mib| mib.parse().ok()).expect("a number of MiB")
}

#[test]
fn training_keeps_nothing_of_an_episode() {
    let dir = work_dir();
    let fast_weights_mib = write_model(dir.path());
    assert!(fast_weights_mib >= 1, "a model too small to be missed");
    // Had each episode left its fast weights behind, or a gradient, or a moment: each is of their size. A quarter of that is
    // several times what the allocator's caches, which differ from run to run with two workers, were seen to vary by.
    let additional_episodes = (MANY_STEPS - FEW_STEPS) * META_BATCH;
    let bound_mib = additional_episodes * fast_weights_mib / 4;
    for workers in [1, 2] {
        let [few, many] = [FEW_STEPS, MANY_STEPS].map(|steps| peak_mib(dir.path(), steps, workers));
        assert!(
            many < few + bound_mib,
            "{workers} workers: {few} MiB in {FEW_STEPS} steps, {many} MiB in {MANY_STEPS}"
        );
    }
}
