//! Every command where nothing is wrong, seen from outside the program.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::run::{
    SMALL, assert_same_bytes, events, json as read_json, json_lines, logged_steps, repository, run,
    run_with_input, snapshot, tiny_records, work_dir,
};

/// Trains `run` in `dir` for three outer steps.
fn train(dir: &Path, run_name: &str, more: &str) -> String {
    let small = format!(
        "train --set train.algo=fomaml --model @tiny --run-dir {run_name} --steps 3 {SMALL} {more}"
    );
    run(dir, &small).success()
}

fn files(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_algorithm_leaves_a_whole_run() {
    let dir = work_dir();
    for (algo, steps) in [("fomaml", 3), ("reptile", 3), ("transfer", 3), ("none", 0)] {
        let name = format!("runs/{algo}");
        let arguments =
            format!("train --algo {algo} --model @tiny --run-dir {name} --steps 3 {SMALL}");
        let answer = run(dir.path(), &arguments);
        let progress: Vec<String> =
            (1..=steps).map(|step| format!("step {step}/{steps} ")).collect();
        let shown: Vec<&str> =
            answer.stderr.lines().filter(|line| line.contains(" episodes/min")).collect();
        assert_eq!(shown.len(), progress.len(), "{algo}: {}", answer.stderr);
        for (line, start) in shown.iter().zip(&progress) {
            assert!(line.starts_with(start.as_str()), "{algo}: expected {start}, found {line}");
        }
        assert!(!answer.stderr.contains('\r'), "{algo}: a progress bar outside a terminal");
        let checkpoint = format!("{name}/checkpoints/step-{steps:06}");
        assert_eq!(answer.success(), format!("{checkpoint}\n"), "{algo}");

        let root = dir.path().join(&name);
        let expected =
            ["config.toml", "environment.json", "events.jsonl", "best.json", "latest.json"];
        for file in expected.into_iter().chain(["checkpoints", "tensorboard"]) {
            assert!(files(&root).contains(file), "{algo}: no {file} in {:?}", files(&root));
        }
        for file in ["config.json", "model.safetensors", "tokenizer.json", "metabert.toml"] {
            let found = files(&dir.path().join(&checkpoint));
            assert!(found.contains(file), "{algo}: no {file} in {found:?}");
        }
        for pointer in ["best.json", "latest.json"] {
            let pointer = read_json(&root.join(pointer));
            assert_eq!(pointer["step"], steps, "{algo}: {pointer}");
            assert!(pointer["macro_f1"].is_f64(), "{algo}: {pointer}");
        }
        let environment = read_json(&root.join("environment.json"));
        let low_resource = ["board_games_&_puzzles", "gardening"];
        assert_eq!(environment["low_resource"], json!(low_resource), "{environment}");
        assert_eq!(logged_steps(&root), (1..=steps).collect::<Vec<u64>>(), "{algo}");
        assert_eq!(events(&root, "started").len(), 1, "{algo}");
        assert_eq!(events(&root, "finished")[0]["reason"], "completed", "{algo}");
        // Adapting and scoring on the domains that are to be new would spoil every later number.
        for event in events(&root, "outer_step") {
            let domains = event["domains"].as_array().unwrap();
            let is_low = |domain: &Value| low_resource.iter().any(|low| domain == low);
            assert!(!domains.iter().any(is_low), "{algo}: {event}");
        }
    }
}

#[test]
fn a_run_repeats_from_its_own_configuration_to_the_byte() {
    let dir = work_dir();
    for algo in ["fomaml", "reptile", "transfer"] {
        let more = format!("--algo {algo} --seed 7 --outer-lr 1e-2 --set outer.clip_norm=1");
        train(dir.path(), algo, &more);
        let again = format!("train --config {algo}/config.toml --run-dir {algo}-again");
        run(dir.path(), &again).success();
        let [first, second] = [algo.to_owned(), format!("{algo}-again")]
            .map(|name| dir.path().join(name).join("checkpoints/step-000003/model.safetensors"));
        assert_same_bytes(&first, &second);
    }
    run(dir.path(), "train --config reptile/config.toml --run-dir other --seed 8").success();
    let [seven, eight] = ["reptile", "other"].map(|name| {
        let weights = format!("{name}/checkpoints/step-000003/model.safetensors");
        fs::read(dir.path().join(weights)).unwrap()
    });
    assert_ne!(seven, eight, "the seed does nothing");
}

#[test]
fn quiet_training_says_nothing_on_stderr() {
    let dir = work_dir();
    let quiet = format!("train --algo fomaml --model @tiny --run-dir r --steps 2 --quiet {SMALL}");
    let answer = run(dir.path(), &quiet);
    assert_eq!(answer.stderr, "");
    assert_eq!(answer.success(), "r/checkpoints/step-000002\n");
}

#[test]
fn finetuning_writes_a_model_directory_with_a_card() {
    let dir = work_dir();
    train(dir.path(), "r", "");
    let stdout = run(
        dir.path(),
        "finetune --checkpoint r --domain board_games_&_puzzles --data @data --out models/games \
         --folds 3 --device cpu",
    )
    .success();
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines.last(), Some(&"models/games"), "{stdout}");
    assert!(lines[0].contains("accuracy 0.") && lines[0].contains("macro F1 0."), "{stdout}");
    let out = dir.path().join("models/games");
    let expected = ["README.md", "config.json", "model.safetensors", "tokenizer.json", "vocab.txt"];
    for file in expected {
        assert!(files(&out).contains(file), "no {file} in {:?}", files(&out));
    }
    assert_eq!(files(&dir.path().join("models")), BTreeSet::from(["games".to_owned()]));
    let card = fs::read_to_string(out.join("README.md")).unwrap();
    for stated in [
        "`board_games_&_puzzles`",
        "tiny.json",
        "14 labelled texts",
        "| negative | 6 |",
        "3-fold",
        "macro F1 0.",
        "seed 0",
    ] {
        assert!(card.contains(stated), "the card does not state {stated}: {card}");
    }
    let id2label = &read_json(&out.join("config.json"))["id2label"];
    assert_eq!(id2label, &json!({"0": "negative", "1": "positive"}));
    assert_ne!(
        fs::read(out.join("model.safetensors")).unwrap(),
        fs::read(dir.path().join("r/checkpoints/step-000003/model.safetensors")).unwrap(),
        "the model was not adapted"
    );

    let fewer = "finetune --checkpoint r --domain gardening --data @data --out few --support 6 \
                 --folds 0 --device cpu";
    assert_eq!(run(dir.path(), fewer).success(), "few\n");
    let card = fs::read_to_string(dir.path().join("few/README.md")).unwrap();
    assert!(card.contains("6 labelled texts") && card.contains("None was made."), "{card}");
}

#[test]
fn statistics_validation_and_split_agree_with_the_dataset() {
    let dir = work_dir();
    let stats = "data stats --data @data --low-resource-max 16 --model @plain --max-length 32";
    let table = run(dir.path(), stats).success();
    for (name, row) in [("gardening", "low-resource  15 40.0 60.0"), ("boots", "25 44.0 56.0")] {
        let line = table.lines().find(|line| line.starts_with(name)).expect("a row");
        let cells: Vec<&str> = line.split_whitespace().collect();
        let expected: Vec<&str> = row.split_whitespace().collect();
        assert!(cells.windows(expected.len()).any(|part| part == expected), "{row} in {line}");
    }
    let stats: Value =
        serde_json::from_str(&run(dir.path(), &format!("{stats} --json")).success()).unwrap();
    assert_eq!(stats["domains"].as_array().unwrap().len(), 6, "{stats}");

    let validate = "data validate --data @data --low-resource-max 16 --support 8 --query 4";
    let answer = run(dir.path(), validate);
    // What is enough depends on what is trained.
    let recipe =
        "the domains share their labels: --preset reviews, the best recipe known for them\n";
    assert_eq!(answer.stderr, recipe);
    let found = answer.success();
    assert!(found.contains("125 examples, 2 labels"), "{found}");
    assert!(found.contains("2 meta-train, 2 meta-dev, 2 low-resource"), "{found}");

    let split = "data split --data @data --low-resource-max 16 --out sides";
    let stdout = run(dir.path(), split).success();
    let names = ["sides/meta_train.json", "sides/meta_dev.json", "sides/low_resource.json"];
    assert_eq!(stdout.lines().collect::<Vec<_>>(), names);
    let triple =
        |record: &Value| ["text", "label", "domain"].map(|field| record[field].to_string());
    let sides = names.map(|name| read_json(&dir.path().join(name)).as_array().unwrap().clone());
    let union: BTreeSet<_> = sides.iter().flatten().map(triple).collect();
    assert_eq!(union, tiny_records().iter().map(triple).collect::<BTreeSet<_>>());
    assert_eq!(sides.iter().map(Vec::len).sum::<usize>(), 125);
    let domains = sides.map(|side| side.iter().map(|r| r["domain"].to_string()).collect());
    let [train, dev, low]: [BTreeSet<String>; 3] = domains;
    assert_eq!((train.len(), dev.len(), low.len()), (2, 2, 2));
    assert!(train.is_disjoint(&dev) && train.is_disjoint(&low) && dev.is_disjoint(&low));
}

#[test]
fn model_info_counts_parameters_and_says_what_is_missing() {
    let dir = work_dir();
    let info = |model: &str| -> Value {
        let stdout = run(dir.path(), &format!("model info {model} --json")).success();
        serde_json::from_str(&stdout).unwrap()
    };
    let tiny = info("@tiny");
    assert_eq!(tiny["labels"], json!(["negative", "positive"]));
    assert_eq!(tiny["initialised"], json!([]));
    // Embeddings (120 + 64 + 2) * 16 + 32, two layers of 4 * 272 + 2 * 512 + 48 + 64, pooler 272,
    // head 34.
    assert_eq!(tiny["num_parameters"], 3_008 + 2 * 2_224 + 272 + 34);
    let encoder = repository("tests/fixtures/bert/encoder_only");
    let encoder = info(encoder.to_str().unwrap());
    assert_eq!(encoder["labels"], Value::Null);
    assert_eq!(encoder["initialised"], json!(["classifier.weight", "classifier.bias"]));
    let text = run(dir.path(), "model info @tiny").success();
    for shown in ["2 layers", "hidden 16", "7762", "negative, positive", "120 wordpieces"] {
        assert!(text.contains(shown), "no {shown} in {text}");
    }
}

#[test]
fn random_models_depend_on_the_seed_alone() {
    let dir = work_dir();
    fs::write(dir.path().join("a.json"), crate::support::run::ARCHITECTURE).unwrap();
    let weights = |name: &str, seed: u64| {
        let init =
            format!("model init --config a.json --tokenizer @plain --out {name} --seed {seed}");
        assert_eq!(run(dir.path(), &init).success(), format!("{name}\n"));
        fs::read(dir.path().join(name).join("model.safetensors")).unwrap()
    };
    let first = weights("first", 3);
    assert_eq!(first, weights("second", 3));
    assert_ne!(first, weights("third", 4));
}

#[test]
fn a_printed_configuration_reads_back_the_same_and_starts_nothing() {
    let dir = work_dir();
    let flags = format!(
        "train {SMALL} --algo reptile --preset reference-reptile --set train.patience=3 \
         --set data.labels=[\"negative\",\"positive\"] --set outer.lr=1e-3 --outer-lr 2e-3"
    );
    let printed = run(dir.path(), &format!("{flags} --run-dir r --print-config")).success();
    assert!(snapshot(dir.path()).is_empty(), "{:?}", snapshot(dir.path()).keys());
    fs::write(dir.path().join("c.toml"), &printed).unwrap();
    assert_eq!(run(dir.path(), "train --config c.toml --print-config").success(), printed);
    let config: toml::Table = printed.parse().unwrap();
    assert_eq!(config["outer"]["lr"].as_float(), Some(2e-3), "a flag wins over --set");
    assert_eq!(config["train"]["patience"].as_integer(), Some(3), "--set wins over the preset");
    assert_eq!(config["episode"]["domain_law"].as_str(), Some("size"), "the preset's own value");
}

/// PEERS.md, section 2: the reference adapts for 10 epochs of 7 minibatches, the last one smaller.
#[test]
fn the_reference_preset_has_the_values_of_the_reference() {
    let dir = work_dir();
    for (preset, algo) in [("reference-fomaml", "fomaml"), ("reference-reptile", "reptile")] {
        let print = format!("train --preset {preset} --print-config");
        let config: toml::Table = run(dir.path(), &print).success().parse().unwrap();
        let number = |section: &str, key: &str| config[section][key].as_integer().unwrap();
        let text = |section: &str, key: &str| config[section][key].as_str().unwrap().to_owned();
        assert_eq!((number("episode", "support"), number("episode", "query")), (80, 20));
        let minibatches = (80_u64).div_ceil(number("inner", "batch") as u64);
        assert_eq!(
            (number("inner", "epochs") as u64 * minibatches, number("inner", "steps")),
            (70, 0)
        );
        assert_eq!(
            (text("inner", "optimizer"), config["inner"]["lr"].as_float()),
            ("adam".into(), Some(5e-5))
        );
        assert_eq!(
            (text("outer", "optimizer"), config["outer"]["lr"].as_float()),
            ("adam".into(), Some(5e-5))
        );
        assert_eq!(config["inner"]["query_dropout"].as_bool(), Some(true));
        assert_eq!((number("train", "steps"), number("train", "meta_batch")), (1_250, 2));
        assert_eq!(number("evaluate", "inner_epochs"), 40);
        assert_eq!(
            (text("episode", "domain_law"), text("episode", "example_law")),
            ("size".into(), "uniform".into())
        );
        assert_eq!(
            (text("train", "algo"), text("outer", "schedule")),
            (algo.into(), "constant".into())
        );
    }
}

#[test]
fn completions_know_every_command() {
    let dir = work_dir();
    let script = run(dir.path(), "completions bash").success();
    for command in ["train", "finetune", "eval", "predict", "split", "completions"] {
        assert!(script.contains(command), "{command} is not completed");
    }
}

#[test]
fn every_command_has_a_manual_page_with_its_options() {
    let dir = work_dir();
    run(dir.path(), "man pages/man1").success();
    let pages = files(&dir.path().join("pages/man1"));
    for name in
        ["metabert.1", "metabert-train.1", "metabert-data-stats.1", "metabert-model-fetch.1"]
    {
        assert!(pages.contains(name), "{name}: {pages:?}");
    }
    let page = fs::read_to_string(dir.path().join("pages/man1/metabert-train.1")).unwrap();
    // Roff writes a hyphen of an option as an escape.
    for expected in [".TH metabert-train 1", r"\-\-meta\-batch", r"metabert train \-\-algo fomaml"]
    {
        assert!(page.contains(expected), "{expected}: {page}");
    }
}

/// `metabert ... | head -1` is how people look at the start of something.
#[test]
fn a_reader_that_wants_no_more_is_no_error() {
    let dir = work_dir();
    let commands =
        ["completions bash", "model info @tiny", "train --print-config", "data stats --data @data"];
    for arguments in commands {
        let mut child = crate::support::run::command(dir.path(), arguments).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!stderr.contains("panicked"), "{arguments}: {stderr}");
        assert_ne!(output.status.code(), Some(101), "{arguments}: {stderr}");
    }
}

/// 2,500 texts of many lengths, each third one a repetition: more than two windows of 1,024.
fn many_texts() -> Vec<String> {
    let records = tiny_records();
    let text = |index: usize| records[index % records.len()]["text"].as_str().unwrap().to_owned();
    let several =
        |index: usize| (0..=index % 4).map(|next| text(index + next)).collect::<Vec<_>>().join(" ");
    (0..2_500).map(|index| if index % 3 == 0 { text(7) } else { several(index) }).collect()
}

#[test]
fn predictions_keep_the_order_of_their_texts() {
    let dir = work_dir();
    let texts = many_texts();
    let predict = "predict --checkpoint @adapted --max-length 64 --threads 1 --device cpu";
    let input = texts.join("\n");
    let stdout = run_with_input(dir.path(), predict, input.as_bytes()).success();
    let answers = json_lines(&stdout);
    assert_eq!(answers.len(), texts.len());
    let mut label_of_seventh = BTreeSet::new();
    let mut labels = BTreeSet::new();
    for (index, (answer, text)) in answers.iter().zip(&texts).enumerate() {
        assert_eq!(answer["text"], *text, "line {}", index + 1);
        let scores = answer["scores"].as_object().unwrap();
        assert_eq!(scores.keys().collect::<Vec<_>>(), ["negative", "positive"]);
        let sum: f64 = scores.values().map(|score| score.as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-12, "the scores of {answer} sum to {sum}");
        let label = answer["label"].as_str().unwrap();
        assert_eq!(answer["score"], scores[label], "{answer}");
        let largest = scores.values().map(|score| score.as_f64().unwrap()).fold(0.0, f64::max);
        assert_eq!(scores[label].as_f64(), Some(largest), "{answer}");
        labels.insert(label.to_owned());
        if index % 3 == 0 {
            label_of_seventh.insert(label.to_owned());
        }
    }
    assert_eq!(labels.len(), 2, "a model that always says the same shows no order");
    assert_eq!(label_of_seventh.len(), 1, "the label of a text depends on its position");

    // A file, and JSONL, whose other fields are kept, have the same answers.
    fs::write(dir.path().join("texts.txt"), &input).unwrap();
    let records = texts.iter().map(|text| json!({"id": 1, "text": text}).to_string() + "\n");
    fs::write(dir.path().join("texts.jsonl"), records.collect::<String>()).unwrap();
    let written = ["texts.txt", "texts.jsonl"].map(|name| {
        let from_file = format!("{predict} --input {name} --output {name}.out");
        assert_eq!(run(dir.path(), &from_file).success(), "", "{name}");
        fs::read_to_string(dir.path().join(format!("{name}.out"))).unwrap()
    });
    assert!(written[0] == written[1].replace(r#"{"id":1,"#, "{"), "other answers to JSONL");
    // A pipe is read as it fills. Which texts are computed together changes the last digits alone.
    for (from_file, answer) in json_lines(&written[0]).iter().zip(&answers) {
        assert_eq!((&from_file["text"], &from_file["label"]), (&answer["text"], &answer["label"]));
        let [file, pipe] = [from_file, answer].map(|it| it["score"].as_f64().unwrap());
        assert!((file - pipe).abs() < 1e-5, "{from_file} {answer}");
    }
    assert_eq!(snapshot(dir.path()).len(), 4, "a temporary file is left");
}

/// As editors on Windows write them.
#[test]
fn line_ends_and_byte_order_marks_are_no_part_of_a_text() {
    let dir = work_dir();
    let texts = |input: &str| -> Vec<String> {
        let predict = "predict --checkpoint @tiny --threads 1 --device cpu";
        let answers = json_lines(&run_with_input(dir.path(), predict, input.as_bytes()).success());
        answers.iter().map(|answer| answer["text"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(texts("\u{feff}good\r\nbad\r\n"), ["good", "bad"]);
    assert_eq!(texts("\u{feff}{\"text\": \"good\\n\"}\r\n{\"text\": \"bad\"}"), ["good\n", "bad"]);
    assert_eq!(texts("\"good\"\n{bad}"), ["\"good\"", "{bad}"]);
    assert_eq!(texts(""), [] as [&str; 0]);
}
