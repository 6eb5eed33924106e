//! Configuration files and `--set`: accepted settings are the same after writing and reading them.

use std::fs;

use metabert::config::{Layer, RunConfig};
use proptest::prelude::*;
use proptest::sample::select;
use toml::{Table, Value};

use super::mutation::{Bytes, edited};
use super::{Fate, assert_tells, for_all};
use crate::support::run::{repository, work_dir};

/// The keys of a configuration with their default values, sections among them.
fn defaults() -> Vec<(String, Value)> {
    fn collect(table: &Table, prefix: &str, defaults: &mut Vec<(String, Value)>) {
        for (key, value) in table {
            let path = format!("{prefix}{key}");
            if let Value::Table(section) = value {
                collect(section, &format!("{path}."), defaults);
            }
            defaults.push((path, value.clone()));
        }
    }
    let mut defaults = Vec::new();
    collect(&RunConfig::default().to_toml().parse().unwrap(), "", &mut defaults);
    defaults
}

fn keys() -> Vec<String> {
    defaults().into_iter().map(|(key, _)| key).collect()
}

/// Values as users write them after `=`.
fn values() -> impl Strategy<Value = String> {
    let fixed = [
        "",
        " ",
        "true",
        "0",
        "1",
        "-1",
        "+3",
        "3.0",
        "1e-4",
        "1e999",
        "-0.0",
        "nan",
        "-inf",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "0x10",
        "1_000",
        "\"\"",
        "\"a\"",
        "'a'",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"\"\"a\nb\"\"\"",
        "[]",
        "[\"a\"]",
        "[1, \"a\"]",
        "[[]]",
        "{}",
        "{a = 1}",
        "{lr = 1e-3}",
        "1979-05-27",
        "1979-05-27T07:32:00Z",
        "07:32:00",
        "fomaml",
        "reptile",
        "adam",
        "sgd",
        "cosine",
        "sqrt",
        "uniform",
        "cpu",
        "reference-fomaml",
        "\"reference-reptile\"",
        "drop",
        "1\nseed = 2",
        "1 # more",
        "\"open",
        "[[[",
        "\u{1b}[31m",
        "\u{0}",
        "caf\u{e9}",
    ];
    let deep = (1..300_usize, select(&["[", "{a=", "a."][..]))
        .prop_map(|(depth, open)| open.repeat(depth));
    prop_oneof![
        8 => select(fixed.to_vec()).prop_map(str::to_owned),
        1 => deep,
        1 => any::<String>(),
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => any::<f64>().prop_map(|number| format!("{number:?}")),
    ]
}

/// The argument of one `--set`.
fn assignments() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        8 => select(keys()),
        1 => select(keys()).prop_map(|key| format!(" {key}. ")),
        1 => "[a-z.]{0,12}",
        1 => any::<String>(),
        1 => (1..2_000_usize).prop_map(|depth| "a.".repeat(depth)),
    ];
    prop_oneof![
        10 => select(defaults()).prop_map(|(key, value)| format!("{key}={value}")),
        9 => (key, values()).prop_map(|(key, value)| format!("{key}={value}")),
        1 => any::<String>(),
    ]
}

/// Checks that a configuration reads back the same from its own TOML.
fn assert_reads_back(config: &RunConfig) -> Fate {
    let text = config.to_toml();
    let table = text.parse().unwrap_or_else(|error| panic!("{error}\nin {text}"));
    let layer = Layer { source_name: "again".to_owned(), table };
    let again = RunConfig::from_layers(&[layer]).unwrap_or_else(|error| panic!("{error}\n{text}"));
    // As text, since no NaN equals another.
    assert_eq!(again.to_toml(), text);
    match config.validate() {
        Ok(()) => {
            assert_eq!(&again, config);
            Fate::Taken
        }
        Err(error) => assert_tells(error, ": expected "),
    }
}

#[test]
fn configuration_files_are_taken_whole_or_refused() {
    let mut files = vec![RunConfig::default().to_toml().into_bytes()];
    for name in ["quickstart", "reviews", "reference-fomaml", "reference-reptile"] {
        files.push(fs::read(repository(&format!("configs/{name}.toml"))).unwrap());
    }
    files.push(b"preset = \"reference-reptile\"\n[inner]\nlr = 1e-3\n".to_vec());
    let lines = proptest::collection::vec((select(keys()), values()), 0..6).prop_map(|lines| {
        let lines = lines.iter().map(|(key, value)| format!("{key} = {value}\n"));
        lines.collect::<String>().into_bytes()
    });
    let files = prop_oneof![edited(select(files), 3), edited(lines, 1)];
    let dir = work_dir();
    let path = dir.path().join("c.toml");
    let about = path.to_str().unwrap();
    for_all(files, |Bytes(bytes)| {
        fs::write(&path, &bytes).unwrap();
        match Layer::from_file(&path).and_then(|layer| RunConfig::from_layers(&[layer])) {
            Ok(config) => assert_reads_back(&config),
            Err(error) => assert_tells(error, about),
        }
    });
}

#[test]
fn assignments_are_taken_whole_or_refused() {
    let assignments = proptest::collection::vec(assignments(), 1..4);
    for_all(assignments, |assignments| {
        let layers: Result<Vec<Layer>, _> =
            assignments.iter().map(|assignment| Layer::from_assignment(assignment)).collect();
        match layers.and_then(|layers| RunConfig::from_layers(&layers)) {
            Ok(config) => assert_reads_back(&config),
            Err(error) => assert_tells(error, "--set "),
        }
    });
}
