//! Model directories that cannot be used: the message names the file, and nothing is written.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::command_line_errors::{FINETUNE, refuses, train};
use crate::support::run::{SMALL, change_tensors, copied_model, json as read_json, work_dir};

/// Training from this model is refused.
fn refuses_model(dir: &Path, name: &str, told: &str) {
    refuses(dir, &train("").replace("@tiny", name), told);
}

/// Every command that loads a model refuses this one.
fn refuses_model_everywhere(dir: &Path, name: &str, told: &str) {
    refuses_model(dir, name, told);
    fs::write(dir.join("texts.txt"), "good\n").unwrap();
    refuses(dir, &format!("predict --checkpoint {name} --input texts.txt --output o"), told);
    refuses(dir, &format!("model info {name}"), told);
    refuses(dir, &format!("{} --out o", FINETUNE.replace("@tiny", name)), told);
    refuses(dir, &format!("eval --checkpoint {name} {SMALL}"), told);
}

#[test]
fn model_directories_without_weights_or_tokenizer_are_refused() {
    let dir = work_dir();
    let path = dir.path();
    fs::remove_file(copied_model(path, "bare").join("model.safetensors")).unwrap();
    refuses_model_everywhere(path, "bare", "bare/model.safetensors: ");
    let pickle = copied_model(path, "pickle");
    fs::rename(pickle.join("model.safetensors"), pickle.join("pytorch_model.bin")).unwrap();
    refuses_model(path, "pickle", "pickle|safe_serialization");
    refuses_model(path, "nowhere", "nowhere: expected a model directory, found nothing");
    refuses_model(path, "bare/config.json", "bare/config.json: ");
    fs::create_dir(path.join("empty")).unwrap();
    refuses_model(path, "empty", "empty/config.json: ");

    let mute = copied_model(path, "mute");
    fs::remove_file(mute.join("tokenizer.json")).unwrap();
    fs::remove_file(mute.join("vocab.txt")).unwrap();
    refuses_model(path, "mute", "mute|vocab.txt");
}

#[test]
fn tensors_that_are_missing_or_mis_shaped_are_named() {
    let dir = work_dir();
    let path = dir.path();
    let lost = "bert.encoder.layer.1.output.dense.weight";
    change_tensors(&copied_model(path, "lost"), |name, shape| (name != lost).then_some(shape));
    refuses_model(path, "lost", &format!("lost/model.safetensors: |{lost}|[16, 32]|missing"));

    let turned = "bert.encoder.layer.0.intermediate.dense.weight";
    change_tensors(&copied_model(path, "turned"), |name, mut shape| {
        if name == turned {
            shape.reverse();
        }
        Some(shape)
    });
    let told =
        format!("turned/model.safetensors: |{turned}|expected shape [32, 16], found [16, 32]");
    refuses_model(path, "turned", &told);

    // Both at once: all that is wrong is told in one go.
    change_tensors(&copied_model(path, "both"), |name, shape| match name {
        "bert.pooler.dense.bias" => Some(vec![8]),
        name => (name != lost).then_some(shape),
    });
    let told = format!("2 tensors|{lost}|bert.pooler.dense.bias|expected shape [16], found [8]");
    refuses_model_everywhere(path, "both", &told);
}

#[test]
fn weights_files_that_are_cut_or_lie_about_their_size_are_refused() {
    let dir = work_dir();
    let path = dir.path();
    let file = copied_model(path, "model").join("model.safetensors");
    let whole = fs::read(&file).unwrap();
    let told = "model/model.safetensors: |not a complete safetensors file";
    for length in [0, 4, 8, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&file, &whole[..length]).unwrap();
        refuses_model(path, "model", told);
    }
    for claimed in [1_u64 << 60, u64::MAX, whole.len() as u64] {
        fs::write(&file, [&claimed.to_le_bytes()[..], &whole[8..]].concat()).unwrap();
        refuses_model(path, "model", told);
    }
    let shape = whole.windows(8).position(|part| part == b"\"shape\":").unwrap();
    let mut lying = whole.clone();
    lying[shape + 9] = b'9';
    fs::write(&file, lying).unwrap();
    refuses_model(path, "model", "model/model.safetensors: ");
}

#[test]
fn configurations_of_other_models_are_refused() {
    let dir = work_dir();
    let path = dir.path();
    let file = copied_model(path, "model").join("config.json");
    let whole = read_json(&file);
    for (key, value, told) in [
        ("model_type", json!("roberta"), "\"bert\"|\"roberta\""),
        ("num_attention_heads", json!(3), "hidden_size|num_attention_heads|16 and 3"),
        ("hidden_size", json!(-16), "hidden_size|-16"),
        ("vocab_size", json!("many"), "many"),
        ("hidden_act", json!("swish"), "swish"),
    ] {
        let mut changed = whole.clone();
        changed[key] = value;
        fs::write(&file, changed.to_string()).unwrap();
        refuses_model(path, "model", &format!("model/config.json: |{told}"));
    }
    for text in ["", "{", "[1]", "BertConfig()"] {
        fs::write(&file, text).unwrap();
        refuses_model(path, "model", "model/config.json: expected a JSON object");
    }
    fs::write(path.join("a.json"), r#"{"hidden_size": 0}"#).unwrap();
    refuses(path, "model init --config a.json --out out", "a.json: |hidden_size");
    refuses(path, "model init --config bert-huge --out out", "bert-huge|bert-base");
    refuses(path, "model init --config bert-tiny --labels a,a --out out", "--labels|a,a");
}
