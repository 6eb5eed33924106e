//! Recipes and settings as `metabert config` shows and compares them.

use serde_json::json;

use crate::support::run::{SMALL, events, repository, run, work_dir};

#[test]
fn recipes_are_listed_and_shown_with_their_comments() {
    let dir = work_dir();
    let list = run(dir.path(), "config list").success();
    let names = ["reviews", "intents", "reference-fomaml", "reference-reptile"];
    for name in names {
        let text = std::fs::read_to_string(repository(&format!("configs/{name}.toml"))).unwrap();
        let about = text.lines().next().unwrap().trim_start_matches("# ");
        let line = list.lines().find(|line| line.starts_with(&format!("{name} ")));
        assert!(line.is_some_and(|line| line.ends_with(about)), "{list}");
        assert_eq!(run(dir.path(), &format!("config show {name}")).success(), text);
        let file = repository(&format!("configs/{name}.toml"));
        let diff = format!("config diff --json {name} {}", file.display());
        assert_eq!(run(dir.path(), &diff).success(), "{}\n");
    }
    let all = run(dir.path(), "config show reviews --all").success();
    assert_eq!(all, run(dir.path(), "train --preset reviews --print-config").success());
}

/// On a CPU, since not every machine has the GPUs that they are for.
#[test]
fn recipes_for_gpus_train_a_step() {
    let dir = work_dir();
    let small =
        "--data @data --low-resource-max 16 --max-length 32 --threads 1 --set evaluate.dev_query=8";
    for (name, processes) in [("bert-base", ""), ("eight-gpus", "--processes 2")] {
        let config = repository(&format!("configs/{name}.toml"));
        let train = format!(
            "train --config {} --model @tiny --run-dir {name} {small} --device cpu {processes} --steps 1 --support 8",
            config.display()
        );
        run(dir.path(), &train).success();
        assert_eq!(events(&dir.path().join(name), "outer_step").len(), 1);
    }
}

#[test]
fn settings_of_a_run_and_its_checkpoints_are_compared_key_by_key() {
    let dir = work_dir();
    let path = dir.path();
    let train = format!("train --algo fomaml --model @tiny --steps 1 --run-dir r {SMALL}");
    run(path, &train).success();
    let differing = |left: &str, right: &str| -> serde_json::Value {
        let diff = format!("config diff --json {left} {right}");
        serde_json::from_str(&run(path, &diff).success()).unwrap()
    };
    let found = differing("defaults", "r");
    assert_eq!(found["train.steps"], json!([500, 1]));
    assert_eq!(found["episode.query"], json!([20, 4]));
    assert!(found.get("outer.lr").is_none(), "{found}");
    assert_eq!(differing("r", "r/checkpoints/step-000001"), json!({}));
    let table = run(path, "config diff defaults r").success();
    let line = table.lines().find(|line| line.starts_with("train.steps "));
    let cells: Vec<&str> = line.unwrap_or_else(|| panic!("{table}")).split_whitespace().collect();
    assert_eq!(cells, ["train.steps", "500", "1"]);
    let answer = run(path, "config show nowhere");
    assert_eq!(answer.code, Some(2));
    assert!(answer.stderr.starts_with("error: nowhere: expected defaults, "), "{}", answer.stderr);
}
