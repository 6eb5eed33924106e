//! What other programs read of the directories that metabert writes: where texts are cut, the card, and no local folder.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::interop_sentence::write_encoder;
use crate::support::python::python;
use crate::support::run::{
    ARCHITECTURE, SMALL, command, copied_model, finish, json as read_json, json_lines, repository,
    run, snapshot, work_dir,
};

const FINETUNE: &str =
    "--domain board_games_&_puzzles --inner-steps 2 --max-length 32 --threads 1 --device cpu";

/// Writes a text of 2,000 words to texts.jsonl, and a short one; and metabert's answers to answers.jsonl, cut where the model
/// says.
fn answer_long_text(dir: &Path, model: &str) {
    let words = ["good", "the", "unaffable", "plants", "broke", "caf\u{e9}"];
    let long: Vec<&str> = words.into_iter().cycle().take(2_000).collect();
    let records = [json!({ "text": long.join(" ") }), json!({ "text": "good" })];
    let lines: Vec<String> = records.iter().map(Value::to_string).collect();
    fs::write(dir.join("texts.jsonl"), lines.join("\n")).unwrap();
    let predict = format!(
        "predict --checkpoint {model} --input texts.jsonl --output answers.jsonl --force --precision fp32 --threads 1 \
         --device cpu"
    );
    run(dir, &predict).success();
    let answers = json_lines(&fs::read_to_string(dir.join("answers.jsonl")).unwrap());
    assert_ne!(answers[0]["scores"], answers[1]["scores"], "the text decides nothing");
}

fn lengths(model: &Path) -> [Value; 2] {
    let tokenizer = read_json(&model.join("tokenizer_config.json"))["model_max_length"].take();
    [tokenizer, read_json(&model.join("sentence_bert_config.json"))["max_seq_length"].take()]
}

#[test]
fn the_pipeline_of_transformers_cuts_a_long_text_where_predict_does() {
    let dir = work_dir();
    let path = dir.path();
    run(
        path,
        &format!("finetune --checkpoint @adapted --data @data --out out --folds 0 {FINETUNE}"),
    )
    .success();
    assert_eq!(lengths(&path.join("out")), [32, 32]);
    answer_long_text(path, "out");
    python(path, "check_interop.py", &["pipeline", "out", "texts.jsonl", "answers.jsonl"]);

    // A model that nobody adapted reads as much as it has positions for.
    fs::write(path.join("a.json"), ARCHITECTURE).unwrap();
    run(path, "model init --config a.json --tokenizer @plain --out init").success();
    assert_eq!(lengths(&path.join("init")), [64, 64]);
}

#[test]
fn sentence_transformers_cuts_a_long_text_where_predict_does() {
    let dir = work_dir();
    let path = dir.path();
    write_encoder(path);
    let finetune = format!(
        "finetune --checkpoint encoder --set model.pooling=mean --data @data --out out --folds 0 --inner-lr 1e-2 {FINETUNE}"
    );
    run(path, &finetune).success();
    assert_eq!(lengths(&path.join("out")), [32, 32]);
    answer_long_text(path, "out");
    let arguments = ["export", "out", "texts.jsonl", "answers.jsonl"];
    python(path, "check_sentence_transformers.py", &arguments);
}

/// The card of a model as the hub reads it.
fn card(model: &Path) -> Value {
    let card = model.join("README.md");
    let read = python(model, "check_card.py", &[card.to_str().expect("a path in UTF-8")]);
    serde_json::from_str(&read).unwrap()
}

#[test]
fn the_hub_reads_the_card_of_an_adapted_model() {
    let dir = work_dir();
    let path = dir.path();
    let base = copied_model(path, "a-base");
    let header = "---\nlanguage: en\nlicense: apache-2.0\n---\n# A base\n";
    fs::write(base.join("README.md"), header).unwrap();
    let records =
        [("negative", "bad \u{2028} thing"), ("neutral", "a thing"), ("positive", "good thing")];
    let records: Vec<Value> = (0..30)
        .map(|index| (index, records[index % 3]))
        .map(|(index, (label, text))| {
            json!({ "text": format!("{text} {index} ..."), "label": label, "domain": "a \"b\": #1 \u{2028}\u{e9}" })
        })
        .collect();
    fs::write(path.join("my texts & co.json"), Value::from(records).to_string()).unwrap();
    let mut finetune = command(path, "finetune --checkpoint a-base --folds 5 --out out");
    finetune.args(["--inner-steps", "1", "--max-length", "6", "--threads", "1", "--device", "cpu"]);
    finetune.args(["--data", "my texts & co.json", "--domain", "a \"b\": #1 \u{2028}\u{e9}"]);
    let printed = finish(&mut finetune, b"").success();

    let found = card(&path.join("out"));
    let mut metadata = found["metadata"].clone();
    let index = metadata.as_object_mut().unwrap().remove("model-index").expect("an index");
    assert_eq!(index[0]["name"], "out");
    let expected = json!({
        "library_name": "transformers",
        "pipeline_tag": "text-classification",
        "tags": ["bert", "metabert", "text-classification"],
        "base_model": "a-base",
        "license": "apache-2.0",
        "language": ["en"],
        "metrics": ["accuracy", "f1"],
    });
    assert_eq!(metadata, expected);
    let results = found["results"].as_array().unwrap();
    assert_eq!(results.len(), 2, "{results:?}");
    for (result, (kind, name, words)) in
        results.iter().zip([("accuracy", "Accuracy", "accuracy"), ("f1", "Macro F1", "macro F1")])
    {
        assert_eq!(result["task_type"], "text-classification");
        assert_eq!(result["dataset_type"], "my-texts-co");
        assert_eq!(result["dataset_name"], "my texts & co.json, domain a \"b\": #1 \u{2028}\u{e9}");
        assert_eq!(result["metric_type"], kind);
        let value = result["metric_value"].as_f64().unwrap();
        assert!(printed.contains(&format!("{words} {value:.3}")), "{value}: {printed}");
        let described = result["metric_name"].as_str().unwrap();
        let start = format!("{name}, 5-fold cross-validation, 95 % interval ");
        assert!(described.starts_with(&start), "{described}");
    }
    let text = fs::read_to_string(path.join("out/README.md")).unwrap();
    for stated in [
        "30 labelled texts of `my texts & co.json`",
        "% of them were truncated",
        "| neutral | 10 |\n",
        "truncation=True",
        "libtorch 2.11.0",
        "licence and language comes from the card of the model that it descends from",
    ] {
        assert!(text.contains(stated), "the card does not state {stated}: {text}");
    }
}

#[test]
fn a_card_states_no_licence_that_nobody_gave_and_no_score_that_nobody_measured() {
    let dir = work_dir();
    let path = dir.path();
    run(path, &format!("finetune --checkpoint @tiny --data @data --out out --folds 0 {FINETUNE}"))
        .success();
    let metadata = card(&path.join("out"))["metadata"].take();
    let keys: Vec<&String> = metadata.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["library_name", "pipeline_tag", "tags", "base_model"]);
    // A run has no card: that of its model counts.
    let base = copied_model(path, "base");
    fs::write(base.join("README.md"), "---\nlicense: mit\n---\n").unwrap();
    let train = format!(
        "train --model base --run-dir runs/r --steps 1 --set data.labels=[\"positive\",\"negative\",\"neutral\"] {}",
        SMALL
    );
    run(path, &train).success();
    run(
        path,
        &format!("finetune --checkpoint runs/r --data @data --out again --folds 0 {FINETUNE}"),
    )
    .success();
    let metadata = card(&path.join("again"))["metadata"].take();
    assert_eq!((&metadata["license"], &metadata["base_model"]), (&json!("mit"), &json!("r")));
}

#[test]
fn no_file_of_a_written_model_names_a_local_folder() {
    let dir = work_dir();
    let path = dir.path().canonicalize().unwrap();
    let local = path.to_str().expect("a path in UTF-8");
    let base = copied_model(&path, "base");
    for (file, keys) in [
        ("config.json", &["_name_or_path"][..]),
        ("tokenizer_config.json", &["name_or_path", "special_tokens_map_file", "tokenizer_file"]),
    ] {
        let mut content = read_json(&base.join(file));
        for key in keys {
            content[key] = format!("{local}/{key}").into();
        }
        fs::write(base.join(file), content.to_string()).unwrap();
    }
    let data = path.join("texts.json");
    fs::copy(repository("data/tiny.json"), &data).unwrap();
    let labels = "--set data.labels=[\"positive\",\"negative\",\"neutral\"]";
    let finetune =
        "--domain boots --folds 2 --inner-steps 1 --max-length 32 --threads 1 --device cpu";
    let data = data.display();
    for arguments in [
        format!(
            "finetune --checkpoint {local}/base {labels} --data {data} --out {local}/adapted {finetune}"
        ),
        format!(
            "model init --config {local}/base/config.json --tokenizer {local}/base --out {local}/drawn"
        ),
        format!(
            "finetune --checkpoint {local}/encoder --set model.pooling=mean --data {data} --out {local}/mean {finetune}"
        ),
        format!(
            "model align --model {local}/mean --data {data} --steps 1 --max-length 32 --threads 1 --device cpu --out \
             {local}/aligned"
        ),
    ] {
        if arguments.contains("encoder") {
            write_encoder(&path);
        }
        run(&path, &arguments).success();
    }
    for out in ["adapted", "drawn", "mean", "aligned"] {
        for (file, bytes) in snapshot(&path.join(out)) {
            let names_it = bytes.windows(local.len()).any(|part| part == local.as_bytes());
            assert!(!names_it, "{}: names {local}", file.display());
        }
        // What text-embeddings-inference reads of config.json without a default.
        let config = read_json(&path.join(out).join("config.json"));
        for key in [
            "architectures",
            "hidden_act",
            "hidden_dropout_prob",
            "initializer_range",
            "layer_norm_eps",
            "pad_token_id",
        ] {
            assert!(config.get(key).is_some(), "{out}/config.json: no {key}");
        }
    }
}
