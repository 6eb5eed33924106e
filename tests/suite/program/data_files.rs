//! Labelled texts in Parquet and in several files: trained on as the same records in one JSON file are.

use std::fs;
use std::path::Path;

use parquet::basic::Compression;
use serde_json::Value;

use super::command_line_errors::refuses;
use crate::support::parquet_file::{columns_of, properties, written};
use crate::support::run::{
    SMALL, assert_same_state, checkpoint, json, json_lines, run, tiny_records, work_dir,
};

/// The records of `data/tiny.json`, domain after domain.
fn sorted_records() -> Vec<Value> {
    let mut records = tiny_records();
    records.sort_by_key(|record| record["domain"].as_str().unwrap().to_owned());
    records
}

fn parquet_of(records: &[Value]) -> Vec<u8> {
    written(&columns_of(records), true, properties(Compression::SNAPPY))
}

/// A file for each domain, without that field: a table, JSONL and Parquet in turn.
fn write_domains(directory: &Path, records: &[Value]) {
    fs::create_dir(directory).unwrap();
    let field = |record: &Value, name: &str| record[name].as_str().unwrap().to_owned();
    let domains = records.chunk_by(|left, right| left["domain"] == right["domain"]);
    for (number, records) in domains.enumerate() {
        let domain = field(&records[0], "domain");
        let (ending, bytes) = match number % 3 {
            0 => {
                let mut table = csv::Writer::from_writer(Vec::new());
                table.write_record(["label", "text"]).unwrap();
                for record in records {
                    table.write_record([field(record, "label"), field(record, "text")]).unwrap();
                }
                ("csv", table.into_inner().unwrap())
            }
            1 => {
                let lines = records.iter().map(|record| {
                    let mut record = record.clone();
                    record.as_object_mut().unwrap().remove("domain");
                    format!("{record}\n")
                });
                ("jsonl", lines.collect::<String>().into_bytes())
            }
            _ => {
                let columns = &columns_of(records)[..2];
                ("parquet", written(columns, true, properties(Compression::UNCOMPRESSED)))
            }
        };
        fs::write(directory.join(format!("{domain}.{ending}")), bytes).unwrap();
    }
}

#[test]
fn a_directory_a_pattern_and_parquet_train_as_one_file_does() {
    let dir = work_dir();
    let (path, records) = (dir.path(), sorted_records());
    fs::write(path.join("one.json"), Value::from(records.clone()).to_string()).unwrap();
    fs::write(path.join("one.parquet"), parquet_of(&records)).unwrap();
    write_domains(&path.join("reviews"), &records);
    for (name, data) in [
        ("json", "one.json"),
        ("parquet", "one.parquet"),
        ("many", "reviews"),
        ("some", "reviews/*"),
    ] {
        let small = SMALL.replace("@data", data);
        let train = "train --algo fomaml --model @tiny --steps 2 --eval-every 0";
        run(path, &format!("{train} --run-dir {name} {small}")).success();
        assert_same_state(&checkpoint(path, "json", 2), &checkpoint(path, name, 2));
    }
    let sha256 =
        |run: &str| json(&path.join(run).join("environment.json"))["dataset_sha256"].clone();
    assert_eq!(sha256("many"), sha256("some"));

    // Episodes give the positions that the records have one file after the other.
    let drawn = "data episodes --low-resource-max 16 --support 8 --query 4 --count 3 --data";
    let [one, many] =
        ["one.json", "reviews"].map(|data| run(path, &format!("{drawn} {data}")).success());
    assert_eq!(one, many);
    assert_eq!(json_lines(&many).len(), 3);

    // A run continues only with the same files.
    let table = path.join("reviews/boots.jsonl");
    let text = fs::read_to_string(&table).unwrap();
    fs::write(&table, text.replacen("positive", "negative", 1)).unwrap();
    refuses(path, "train --run-dir many --resume --steps 3", "many: |the dataset");
    // Nor is it replaced by a run that reads what is in it.
    fs::create_dir(path.join("many/data")).unwrap();
    fs::copy(path.join("one.json"), path.join("many/data/one.json")).unwrap();
    let small = SMALL.replace("@data", "many/data/*.json");
    let told = "many: cannot be replaced, since the new run starts from many/data/one.json in it";
    refuses(
        path,
        &format!("train --algo fomaml --model @tiny --run-dir many --force {small}"),
        told,
    );
}

#[test]
fn test_data_may_be_several_files() {
    let dir = work_dir();
    let (path, mut records) = (dir.path(), sorted_records());
    records.retain(|record| record["domain"] == "gardening" || record["domain"] == "boots");
    for record in &mut records {
        let text = format!("Well. {}", record["text"].as_str().unwrap());
        record["text"] = text.into();
    }
    write_domains(&path.join("test"), &records);
    let eval =
        format!("eval --checkpoint @tiny {SMALL} --episodes 1 --folds 0 --domain gardening --json");
    let report = run(path, &format!("{eval} --test-data test")).success();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["test_data"], "test", "{report}");
}

#[test]
fn problems_of_several_files_name_the_file() {
    let dir = work_dir();
    let (path, records) = (dir.path(), sorted_records());
    write_domains(&path.join("reviews"), &records);
    let validate = "data validate --low-resource-max 16 --support 8 --query 4 --data reviews";
    let summary = run(path, validate).success();
    assert!(summary.starts_with("reviews: 125 examples, 2 labels; domains: "), "{summary}");

    // A text of a low-resource domain in a training domain.
    let shared = records.iter().find(|record| record["domain"] == "gardening").unwrap();
    let file = path.join("reviews/boots.jsonl");
    let mut lines = fs::read_to_string(&file).unwrap();
    lines.push_str(&format!("{{\"text\": {}, \"label\": \"negative\"}}\n", shared["text"]));
    fs::write(&file, lines).unwrap();
    let told = "reviews/boots.jsonl: line 26, field \"text\": the text |occurs at record 1 of reviews/gardening.parquet";
    refuses(path, validate, told);

    fs::write(path.join("reviews/notes.txt"), "?").unwrap();
    refuses(
        path,
        validate,
        "reviews: expected files in .json, .jsonl, .csv, .tsv or .parquet, found \"notes.txt\"",
    );
    refuses(
        path,
        "data validate --data nothing/*.csv",
        "nothing/*.csv: expected a pattern that matches files",
    );
}
