//! `metabert model align`: the vector of the first token becomes that of mean pooling.

use std::fs;
use std::path::Path;

use safetensors::SafeTensors;
use serde_json::{Value, json};

use super::interop_sentence::write_encoder;
use crate::support::run::{assert_same_bytes, run, work_dir};

const ALIGN: &str = "model align --data @data --steps 150 --lr 3e-3 --batch 16 --max-length 32 --threads 1 --device cpu";

/// The mean cosines before and after that an alignment printed.
fn cosines(stdout: &str) -> [f64; 2] {
    let number = |end: &str| {
        let (head, _) = stdout.split_once(end).unwrap_or_else(|| panic!("{end} in {stdout}"));
        head.rsplit(' ').next().unwrap().parse().unwrap()
    };
    [number(" before,"), number(" after\n")]
}

fn assert_aligned(stdout: &str) {
    let [before, after] = cosines(stdout);
    // Vectors of unrelated directions have a cosine of about 0.
    assert!(before < 0.5 && after > 0.9, "{stdout}");
}

/// The bytes of a tensor.
fn tensor(file: &Path, name: &str) -> Vec<u8> {
    let bytes = fs::read(file).unwrap();
    SafeTensors::deserialize(&bytes).unwrap().tensor(name).unwrap().data().to_vec()
}

#[test]
fn an_aligned_classifier_keeps_its_head_and_is_plain_bert() {
    let dir = work_dir();
    let path = dir.path();
    write_encoder(path);
    let finetune = "finetune --checkpoint encoder --set model.pooling=mean --domain boots --data @data --out mean \
                    --folds 0 --inner-steps 5 --max-length 32 --threads 1 --device cpu";
    run(path, finetune).success();
    assert_aligned(&run(path, &format!("{ALIGN} --model mean --out cls")).success());
    assert!(!path.join("cls/modules.json").exists());
    for part in ["weight", "bias"] {
        let kept = tensor(&path.join("cls/model.safetensors"), &format!("classifier.{part}"));
        let head = path.join("mean/3_Dense/model.safetensors");
        assert!(kept == tensor(&head, &format!("linear.{part}")), "the {part} of the head moved");
    }
    run(path, &format!("{ALIGN} --model mean --out again")).success();
    assert_same_bytes(&path.join("cls/model.safetensors"), &path.join("again/model.safetensors"));
    let predict = "predict --checkpoint cls --input texts.txt --threads 1 --device cpu";
    fs::write(path.join("texts.txt"), "warm boots\n").unwrap();
    assert!(run(path, predict).success().contains("\"scores\""));
}

#[test]
fn an_aligned_encoder_still_has_no_head() {
    let dir = work_dir();
    let path = dir.path();
    write_encoder(path);
    let module = |path: &str, class: &str| json!({ "path": path, "type": class });
    let modules = [module("", "Transformer"), module("1_Pooling", "Pooling")];
    fs::write(path.join("encoder/modules.json"), Value::from(modules.to_vec()).to_string())
        .unwrap();
    fs::create_dir(path.join("encoder/1_Pooling")).unwrap();
    let pooling = json!({ "pooling_mode_mean_tokens": true }).to_string();
    fs::write(path.join("encoder/1_Pooling/config.json"), pooling).unwrap();
    assert_aligned(&run(path, &format!("{ALIGN} --model encoder --out cls")).success());
    let info: Value = serde_json::from_str(&run(path, "model info cls --json").success()).unwrap();
    assert_eq!((&info["labels"], &info["pooling"]), (&Value::Null, &json!("cls")));
    assert_eq!(info["initialised"], json!(["classifier.weight", "classifier.bias"]));
}

#[test]
fn a_model_without_mean_pooling_is_refused() {
    let dir = work_dir();
    let answer = run(dir.path(), &format!("{ALIGN} --model @tiny --out out"));
    assert_eq!(answer.code, Some(2), "{}", answer.stderr);
    let expected = "expected a model with pooling mean: a directory of sentence_transformers, found pooling cls";
    assert!(answer.stderr.contains(expected), "{}", answer.stderr);
}
