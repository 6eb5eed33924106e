//! Wrong arguments and input: exit code 2, one message that names the fault, nothing written.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::run::{
    ARCHITECTURE, Answer, SMALL, change_tensors, command, copied_model, finish, repository, run,
    run_with_input, snapshot, tiny, tiny_records, work_dir,
};

/// Checks that an answer is a refusal, and returns its message.
pub fn message_of(answer: &Answer, arguments: &str) -> String {
    let Answer { code, stdout, stderr } = answer;
    assert_eq!(*code, Some(2), "{arguments}\nstdout: {stdout}\nstderr: {stderr}");
    assert_eq!(stdout, "", "{arguments}");
    for trace in ["panicked", "stack backtrace", "Exception raised from", "Caused by"] {
        assert!(!stderr.contains(trace), "{arguments}: {stderr}");
    }
    let messages = stderr.lines().filter(|line| line.starts_with("error: ")).count();
    assert_eq!(messages, 1, "{arguments}: {stderr}");
    stderr[stderr.find("error: ").expect("a message")..].to_owned()
}

/// Runs the program, and checks that it refuses with a message that holds every part of `told`,
/// between bars, and that it leaves `dir` as it was.
pub fn refuses(dir: &Path, arguments: &str, told: &str) {
    refuses_when(dir, arguments, told, || run(dir, arguments));
}

/// As [`refuses`], for a way to run the program in `dir` with `arguments`.
pub fn refuses_when(dir: &Path, arguments: &str, told: &str, run: impl FnOnce() -> Answer) {
    let before = snapshot(dir);
    let message = message_of(&run(), arguments);
    for part in told.split('|') {
        assert!(message.contains(part), "{arguments}: expected {part:?} in {message:?}");
    }
    let after = snapshot(dir);
    assert!(
        before.keys().eq(after.keys()),
        "{arguments}: there were {:?}, there are {:?}",
        before.keys(),
        after.keys()
    );
    assert!(before == after, "{arguments}: a file has changed");
}

/// Arguments that train into `run`, which the refusals here keep from being made.
pub fn train(more: &str) -> String {
    format!("train --set train.algo=fomaml --run-dir run --model @tiny --steps 2 {SMALL} {more}")
}

/// Arguments that adapt the random model to all boots in one step.
pub const FINETUNE: &str = "finetune --checkpoint @tiny --domain boots --data @data --folds 0 \
                        --inner-steps 1 --max-length 32 --threads 1 --device cpu";

/// data/tiny.json with one change, under a name.
fn changed_data(dir: &Path, name: &str, change: impl FnOnce(&mut Vec<Value>)) {
    let mut records = tiny_records();
    change(&mut records);
    fs::write(dir.join(name), json!(records).to_string()).unwrap();
}

#[test]
fn a_dataset_with_a_fault_is_refused_by_file_record_and_field() {
    let dir = work_dir();
    let path = dir.path();
    fs::write(path.join("no_json.json"), "text,label,domain\ngood,1,boots\n").unwrap();
    let whole = fs::read(repository("data/tiny.json")).unwrap();
    fs::write(path.join("cut.json"), &whole[..5_000]).unwrap();
    let bytes = b"{\"text\": \"\xff\", \"label\": 1, \"domain\": \"a\"}\n";
    fs::write(path.join("bytes.jsonl"), bytes).unwrap();
    changed_data(path, "no_domain.json", |records| {
        drop(records[16].as_object_mut().unwrap().remove("domain"));
    });
    changed_data(path, "label.json", |records| records[2]["label"] = json!("neutral"));
    changed_data(path, "empty.json", |records| records[4]["text"] = json!(" \n"));
    changed_data(path, "leak.json", |records| {
        let low = records.iter().find(|record| record["domain"] == "gardening").unwrap();
        records[0]["text"] = low["text"].clone();
    });
    for (name, told) in [
        ("missing.json", "missing.json: |o such file"),
        ("no_json.json", "no_json.json: |not JSON at line 1"),
        ("cut.json", "cut.json: |not JSON at line "),
        ("bytes.jsonl", "bytes.jsonl: |line 1|invalid UTF-8"),
        ("no_domain.json", "no_domain.json: record 17, field \"domain\": |no such field"),
        (
            "label.json",
            "label.json: record 3, field \"label\": |\"negative\", \"positive\"|\"neutral\"",
        ),
        ("empty.json", "empty.json: record 5, field \"text\": |empty text"),
        (
            "leak.json",
            "leak.json: record 1, field \"text\": |\"kettles\"|\"gardening\", low-resource",
        ),
        (".", ".: 7 problems|./cut.json: after record 45: not JSON|./no_json.json: not JSON"),
    ] {
        refuses(path, &train("").replace("@data", name), told);
    }
    let labels = "data validate --data @data --set data.labels=[\"bad\",\"positive\"]";
    refuses(path, labels, "field \"label\"|one of \"bad\", \"positive\"|found \"negative\"");
    refuses(path, "train --run-dir run --model @tiny", "data.path|--data FILE");
}

#[test]
fn domains_that_are_too_small_are_named_with_their_counts() {
    let dir = work_dir();
    let path = dir.path();
    let train = |more: &str| {
        let shared = "--data @data --model @tiny --max-length 32 --device cpu";
        format!("train --algo fomaml --run-dir run {shared} --low-resource-max {more}")
    };
    let too_small = "\"boots\"|20 + 8 examples|found 25|lower --query to 5|\"podcasts\"|found 23";
    refuses(path, &train("16 --support 20 --query 8"), too_small);
    // All that is wrong in one go, whichever side it is on.
    let validate = "data validate --data @data --low-resource-max 16 --support 20 --query 8 --set train.algo=fomaml";
    refuses(path, validate, &format!("{too_small}|\"kettles\"|found 24|\"gardening\"|found 15"));
    let eval = "eval --checkpoint @tiny --data @data --low-resource-max 16 --support 14 --query 4";
    refuses(path, eval, "\"board_games_&_puzzles\"|14 + 4|found 14");
    refuses(path, &train("5"), "a low-resource domain|--low-resource");
    refuses(path, &train("500"), "a high-resource domain|the largest has 25");
}

#[test]
fn episodes_that_training_would_not_take_are_not_listed() {
    let dir = work_dir();
    let list = |more: &str| format!("data episodes --data @data --low-resource-max 16 {more}");
    for algo in ["transfer", "none"] {
        let told = format!("train.algo: {algo} has no episodes|fomaml or reptile");
        refuses(dir.path(), &list(&format!("--set train.algo={algo}")), &told);
    }
    refuses(dir.path(), &list("--support 22 --query 8"), "22 + 8 examples|lower --query");
    refuses(dir.path(), &list("--start 9223372036854775808"), "--start <N>");
    refuses(dir.path(), "data episodes", "data.path|--data FILE");
}

#[test]
fn settings_that_do_not_exist_or_do_not_fit_are_refused() {
    let dir = work_dir();
    fs::write(dir.path().join("key.toml"), "[inner]\nepochz = 3\n").unwrap();
    fs::write(dir.path().join("no_toml.toml"), "[inner\nepochs = 3\n").unwrap();
    for (arguments, told) in [
        ("--config key.toml", "key.toml: |`inner.epochz`|`inner.epochs`"),
        ("--set train.meta_bach=3", "--set train.meta_bach=3: |`train.meta_batch`"),
        ("--set suport=3", "`suport`|`episode.support`"),
        ("--set train.meta_batch", "key=value"),
        ("--set inner.weight_decay=fast", "--set inner.weight_decay=fast: "),
        ("--inner-lr 0", "inner.lr: expected a number above 0, found 0"),
        ("--config no_toml.toml", "no_toml.toml: "),
        ("--config missing.toml", "missing.toml: "),
        ("--preset reference", "reference-fomaml"),
        ("--meta-batch many", "--meta-batch|many"),
        ("--set data.labels=[\"a\",\"b\",\"c\"]", "data.labels|2 labels|found 3"),
    ] {
        refuses(dir.path(), &train(arguments), told);
    }
    let too_long = train("").replace("--max-length 32", "--max-length 65");
    refuses(dir.path(), &too_long, "data.max_length: expected at most 64|found 65");
}

#[test]
fn outputs_that_exist_are_replaced_only_by_force() {
    let dir = work_dir();
    let path = dir.path();
    fs::write(path.join("a.json"), ARCHITECTURE).unwrap();
    let init = "model init --config a.json --tokenizer @plain --out out";
    let split = "data split --data @data --low-resource-max 16 --out out";
    for (command, result) in [
        (train("").replace("--run-dir run", "--run-dir out"), "config.toml"),
        (format!("{FINETUNE} --out out"), "README.md"),
        (split.to_owned(), "meta_dev.json"),
        (init.to_owned(), "vocab.txt"),
    ] {
        // A directory that is there and empty is as good as none.
        fs::create_dir(path.join("out")).unwrap();
        run(path, &command).success();
        let result = path.join("out").join(result);
        let expected = fs::read(&result).unwrap();
        fs::write(&result, "# of an earlier run\n").unwrap();
        refuses(path, &command, "out: exists and is not empty|--force");
        run(path, &format!("{command} --force")).success();
        assert_eq!(fs::read(&result).unwrap(), expected, "{command}: not replaced");
        fs::remove_dir_all(path.join("out")).unwrap();
    }
    fs::write(path.join("texts.txt"), "good\n").unwrap();
    fs::write(path.join("out"), "mine").unwrap();
    let predict = "predict --checkpoint @tiny --input texts.txt --output out --device cpu";
    refuses(path, predict, "out: exists|--force");
    assert_eq!(run(path, &format!("{predict} --force")).success(), "");
    assert!(fs::read_to_string(path.join("out")).unwrap().contains("good"));
}

/// A path mistyped must not cost anything but an old run.
#[test]
fn force_replaces_a_run_and_nothing_else() {
    let dir = work_dir();
    fs::create_dir(dir.path().join("thesis")).unwrap();
    fs::write(dir.path().join("thesis/chapter.tex"), "years of work").unwrap();
    let train = train("--force").replace("--run-dir run", "--run-dir thesis");
    refuses(dir.path(), &train, "thesis: expected an old run to replace");
}

#[test]
fn devices_that_are_not_there_are_refused_with_the_reason() {
    let dir = work_dir();
    for device in ["cuda", "cuda:1"] {
        let arguments = train("").replace("--device cpu", &format!("--device {device}"));
        // So that no GPU is there anywhere.
        let mut command = command(dir.path(), &arguments);
        let answer = finish(command.env("CUDA_VISIBLE_DEVICES", ""), b"");
        let message = message_of(&answer, &arguments);
        assert_eq!(message, format!("error: --device {device}: no NVIDIA GPU found\n"));
    }
    for device in ["nonsense", "cuda:x", "gpu"] {
        let arguments = train("").replace("--device cpu", &format!("--device {device}"));
        refuses(dir.path(), &arguments, &format!("--device|auto, cpu, cuda or cuda:N|{device}"));
    }
    assert!(snapshot(dir.path()).is_empty(), "{:?}", snapshot(dir.path()).keys());
}

#[test]
fn only_a_run_with_the_same_settings_and_data_is_resumed() {
    let dir = work_dir();
    let path = dir.path();
    refuses(path, &train("--resume"), "run: expected a run to resume");
    run(path, &train("")).success();
    refuses(path, &train("--resume --outer-lr 0.5"), "outer.lr (was 0.00005, is 0.5)");
    refuses(path, &train("--resume --seed 3"), "seed (was 0, is 3)");
    let told = "train.algo (was \"fomaml\", is \"reptile\")|train.meta_batch (was 2, is 3)";
    refuses(path, &train("--resume --algo reptile --meta-batch 3"), told);
    refuses(path, &train("--resume --force"), "--resume|--force");
    changed_data(path, "other.json", |records| records[0]["text"] = json!("Quite another text."));
    refuses(path, &train("--resume").replace("@data", "other.json"), "run: |dataset has changed");
    for file in ["config.json", "model.safetensors", "vocab.txt"] {
        let model = path.join(format!("with-other-{file}"));
        fs::create_dir(&model).unwrap();
        for (from, bytes) in snapshot(tiny()) {
            fs::write(model.join(from.file_name().unwrap()), bytes).unwrap();
        }
        let mut changed = fs::read(model.join(file)).unwrap();
        match file {
            "config.json" => drop(changed.splice(1..1, *b"\"hidden_dropout_prob\": 0.5,")),
            _ => *changed.last_mut().unwrap() ^= 1,
        }
        fs::write(model.join(file), changed).unwrap();
        let other = train("--resume").replace("@tiny", model.to_str().unwrap());
        refuses(path, &other, &format!("run: cannot resume: {file} of the model has changed"));
    }
}

#[test]
fn what_a_kill_leaves_of_a_start_is_in_nobodys_way() {
    let dir = work_dir();
    let path = dir.path();
    run(path, &train("")).success();
    let whole = snapshot(&path.join("run"));
    let (run_dir, environment) = (path.join("run"), path.join("run/environment.json"));
    let begun = fs::read(&environment).unwrap();
    fs::remove_dir_all(&run_dir).unwrap();
    // In the order in which they come.
    fs::create_dir(&run_dir).unwrap();
    let steps: [&dyn Fn(); 5] = [
        &|| fs::write(run_dir.join("run.lock"), "1\n").unwrap(),
        &|| fs::write(run_dir.join(".tmp-a"), &begun[..9]).unwrap(),
        &|| fs::write(&environment, &begun).unwrap(),
        &|| fs::create_dir(run_dir.join("checkpoints")).unwrap(),
        &|| fs::write(run_dir.join(".tmp-b"), "see").unwrap(),
    ];
    for count in 0..=steps.len() {
        steps[..count].iter().for_each(|step| step());
        refuses(path, &train("--resume"), "run: expected a run to resume|leave out --resume");
        run(path, &train("")).success();
        let result = "checkpoints/step-000002/model.safetensors";
        assert!(fs::read(run_dir.join(result)).unwrap() == whole[&run_dir.join(result)], "{count}");
        fs::remove_dir_all(&run_dir).unwrap();
        fs::create_dir(&run_dir).unwrap();
    }
    // What a kill leaves of replacing a run is replaced as the run would have been.
    run(path, &train("")).success();
    fs::remove_file(run_dir.join("config.toml")).unwrap();
    refuses(path, &train("--resume"), "run: expected a run to resume|--force instead of --resume");
    refuses(path, &train(""), "run: exists and is not empty|--force");
    run(path, &train("--force")).success();
}

#[test]
fn predicting_names_the_line_that_is_no_text() {
    let dir = work_dir();
    let path = dir.path();
    change_tensors(&copied_model(path, "encoder"), |name, shape| {
        (!name.starts_with("classifier.")).then_some(shape)
    });
    let told = "encoder/model.safetensors: |no classification head|finetune";
    refuses(path, "predict --checkpoint encoder --output o", told);
    // Behind more than a window of good lines, which the output file must not keep.
    let good = "good\n".repeat(1_500);
    let cases: [(&str, &[u8], &str); 2] = [
        ("bytes", b"caf\xe9\n", "bytes: line 1501: expected UTF-8"),
        ("cut", b"caf\xc3", "cut: line 1501: expected UTF-8"),
    ];
    for (name, bad, told) in cases {
        fs::write(path.join(name), [good.as_bytes(), bad].concat()).unwrap();
        let predict = format!("predict --checkpoint @tiny --input {name} --output o --device cpu");
        refuses(path, &predict, told);
    }
    fs::write(path.join("r.jsonl"), "{\"text\": \"a\"}\n{\"txt\": \"b\"}\n").unwrap();
    let predict = "predict --checkpoint @tiny --device cpu";
    refuses(path, &format!("{predict} --input r.jsonl"), "r.jsonl: line 2: |`text`");
    refuses(path, &format!("{predict} --input missing.txt --output o"), "missing.txt: ");
    refuses(path, &format!("{predict} --input bytes --output nowhere/o"), "nowhere/o: ");
    for begin in ["[{\"text\": \"a\"}]", "[\n{\"text\": \"a\"}\n]", "{\n\"text\": \"a\"\n}"] {
        let message = message_of(&run_with_input(path, predict, begin.as_bytes()), predict);
        assert!(message.contains("stdin: line 1: expected a text a line or JSONL"), "{message}");
    }
}

#[test]
fn finetuning_needs_a_domain_of_the_dataset_with_enough_texts() {
    let dir = work_dir();
    for (arguments, told) in [
        ("--domain gardning", "\"gardning\"|\"gardening\""),
        ("--domain gardening --support 16", "--support: expected |15|found 16"),
        ("--domain gardening --folds 1", "safeguard.folds: expected 0, or at least 2, found 1"),
        ("--domain gardening --support 4 --folds 5", "--folds: |found 5"),
        ("--domain gardening --set inner.epochs=0", "inner.epochs: expected at least 1"),
    ] {
        let shared = "--data @data --out out --max-length 32 --device cpu";
        refuses(dir.path(), &format!("finetune --checkpoint @tiny {shared} {arguments}"), told);
    }
    let no_model = format!("{} --out out", FINETUNE.replace("@tiny", "nowhere"));
    refuses(dir.path(), &no_model, "nowhere: expected a model directory, found nothing");
}

#[test]
fn test_data_that_cannot_tell_anything_is_refused() {
    let dir = work_dir();
    let path = dir.path();
    let eval = format!("eval --checkpoint @tiny {SMALL} --test-data test.json");
    let gardening = |domain: &Value| domain == "gardening";
    changed_data(path, "test.json", |records| records.retain(|r| gardening(&r["domain"])));
    refuses(path, &format!("{eval} --domain gardening"), "test.json: |15");
    changed_data(path, "test.json", |records| {
        records.retain(|record| gardening(&record["domain"]));
        for record in records {
            record["text"] = json!(format!("Well. {}", record["text"]));
        }
    });
    // A domain without texts would count as one where every answer is wrong.
    refuses(path, &eval, "test.json: |\"board_games_&_puzzles\"");
}
