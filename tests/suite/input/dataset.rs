//! Datasets in every form: a file that is taken holds reviews, and holds the same ones when it is written again.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use metabert::data::{
    CrossSideDuplicates, DataConfig, Dataset, EpisodeConfig, check_sizes, render_table, settle,
    stats,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::mutation::{Bytes, changed, edited, written};
use super::{Fate, assert_tells, for_all};
use crate::support::run::tiny_records;

const FILE: &str = "data.json";

/// Six records of two domains and three labels.
fn records() -> Value {
    let mut records: Vec<Value> = tiny_records().into_iter().step_by(20).take(6).collect();
    records[0]["label"] = json!("mixed");
    records[1]["id"] = json!({"number": 17, "tags": ["a", "b"]});
    records[2]["text"] = json!("Caf\u{e9} \u{1f600} \"quoted\" \\ \u{2028} {[\n");
    Value::Array(records)
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Array,
    Lines,
    Wrapped,
}

fn lay_out(records: &Value, form: Form, is_pretty: bool) -> Vec<u8> {
    match (form, records) {
        (Form::Lines, Value::Array(records)) => {
            let lines = records.iter().map(|record| written(record, false));
            lines.collect::<Vec<_>>().join(&b'\n')
        }
        (Form::Wrapped, records) => {
            written(&json!({"version": 1, "data": records, "more": [{}]}), is_pretty)
        }
        (_, records) => written(records, is_pretty),
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Files of spoiled records in a form, and spoiled files of records in a form.
fn files() -> impl Strategy<Value = Bytes> {
    let form = prop_oneof![Just(Form::Array), Just(Form::Lines), Just(Form::Wrapped)];
    let files = (changed(Just(records()), 3), form, any::<bool>())
        .prop_map(|(records, form, is_pretty)| lay_out(&records, form, is_pretty));
    prop_oneof![
        9 => edited(files, 3),
        1 => proptest::collection::vec(any::<u8>(), 0..200).prop_map(Bytes),
    ]
}

fn label_sets() -> impl Strategy<Value = Vec<String>> {
    let sets: [&[&str]; 5] = [
        &[],
        &["negative", "positive", "mixed"],
        &["positive", "negative"],
        &["mixed"],
        &["0", "1", "", "1"],
    ];
    let given = prop_oneof![4 => Just(0), 4 => Just(1), 1 => 2..sets.len()];
    given.prop_map(move |index| sets[index].iter().map(ToString::to_string).collect())
}

/// Reads a file, and checks either the refusal or what was read.
fn read(bytes: &[u8], labels: &[String]) -> Fate {
    read_as(FILE, bytes, labels)
}

pub fn read_as(name: &str, bytes: &[u8], labels: &[String]) -> Fate {
    match Dataset::parse(Path::new(name), bytes, labels) {
        Ok(dataset) => {
            assert_holds_reviews(&dataset, labels);
            assert_can_be_split(&Dataset { path: FILE.into(), ..dataset });
            Fate::Taken
        }
        Err(error) => assert_tells(error, &format!("{name}: ")),
    }
}

fn assert_holds_reviews(dataset: &Dataset, labels: &[String]) {
    assert!(dataset.labels.len() >= 2 && !dataset.reviews.is_empty(), "{dataset:?}");
    assert!(labels.is_empty() || dataset.labels == labels, "{dataset:?}");
    let records = dataset.reviews.iter().map(|review| {
        assert!(!review.text.trim().is_empty(), "{review:?}");
        let domain = dataset.domain_name(review.domain);
        assert!(!domain.trim().is_empty(), "{review:?}");
        json!({"text": review.text, "label": dataset.label_name(review.label), "domain": domain})
    });
    let records = records.collect::<Value>().to_string();
    let again = Dataset::parse(Path::new(FILE), records.as_bytes(), labels)
        .unwrap_or_else(|error| panic!("{error}\nin {records}"));
    assert_eq!((&again.labels, &again.domains), (&dataset.labels, &dataset.domains));
    let fields = |dataset: &Dataset| -> Vec<(String, u32, u32)> {
        let reviews = dataset.reviews.iter();
        reviews.map(|review| (review.text.clone(), review.label, review.domain)).collect()
    };
    assert_eq!(fields(&again), fields(dataset));
}

/// What every command does next with a dataset.
fn assert_can_be_split(dataset: &Dataset) {
    let about = format!("{FILE}: ");
    let config = DataConfig { low_resource_max: 1, meta_dev_count: 1, ..DataConfig::default() };
    let dropping =
        DataConfig { cross_side_duplicates: CrossSideDuplicates::Drop, ..config.clone() };
    for config in [config, dropping] {
        let settled = match settle(dataset.clone(), &config, 0) {
            Ok(settled) => settled,
            Err(error) => {
                assert_tells(error, &about);
                continue;
            }
        };
        let episode = EpisodeConfig { support: usize::MAX.into(), ..EpisodeConfig::default() };
        if let Err(error) = check_sizes(&settled.dataset, &settled.split.meta_train, &episode) {
            assert_tells(error, &about);
        }
        let table = render_table(&stats(&settled.dataset, None, Some(&settled.split)));
        assert!(!table.chars().any(|char| char.is_control() && char != '\n'), "{table:?}");
    }
}

#[test]
fn datasets_are_taken_whole_or_refused() {
    for_all((files(), label_sets()), |(Bytes(bytes), labels)| read(&bytes, &labels));
}

#[test]
fn compressed_datasets_are_taken_whole_or_refused() {
    let compressed = files().prop_map(|Bytes(bytes)| gzip(&bytes));
    for_all((edited(compressed, 1), label_sets()), |(Bytes(bytes), labels)| read(&bytes, &labels));
}

/// Rows of text, label and domain as a table, the columns in another order and with one more.
fn table(rows: &[[String; 3]], delimiter: u8) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().delimiter(delimiter).from_writer(Vec::new());
    writer.write_record(["domain", "stars", "text", "label"]).unwrap();
    for [text, label, domain] in rows {
        writer.write_record([domain, "5", text, label]).unwrap();
    }
    writer.into_inner().unwrap()
}

/// The names of a comma and of a tab.
fn tables() -> impl Strategy<Value = (&'static str, u8)> {
    prop_oneof![Just(("data.csv", b',')), Just(("data.tsv", b'\t'))]
}

#[test]
fn tables_are_taken_whole_or_refused() {
    let records = records();
    let rows = records.as_array().unwrap().iter().map(|record| {
        ["text", "label", "domain"].map(|field| match &record[field] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    });
    let rows: Vec<[String; 3]> = rows.collect();
    let spoiled = tables().prop_flat_map(move |(name, delimiter)| {
        edited(Just(table(&rows, delimiter)), 3).prop_map(move |bytes| (name, bytes))
    });
    for_all((spoiled, label_sets()), |((name, Bytes(bytes)), labels)| {
        read_as(name, &bytes, &labels)
    });
}

#[test]
fn a_table_reads_as_the_same_records_in_json_do() {
    let cell = || prop_oneof![3 => "[ -~]{0,8}", 1 => "[,;\"\t\r\n\u{e9}\u{2028} a]{0,6}"];
    let rows = proptest::collection::vec([cell(), cell(), cell()], 1..6);
    for_all((rows, tables()), |(rows, (name, delimiter))| {
        let records = rows
            .iter()
            .map(|[text, label, domain]| json!({"text": text, "label": label, "domain": domain}));
        let json = records.collect::<Value>().to_string();
        let of_json = Dataset::parse(Path::new(FILE), json.as_bytes(), &[]);
        match (of_json, Dataset::parse(Path::new(name), &table(&rows, delimiter), &[])) {
            (Ok(of_json), Ok(of_table)) => {
                let fields = |dataset: Dataset| {
                    let reviews = dataset.reviews.into_iter();
                    let reviews = reviews.map(|it| (it.text, it.label, it.domain, it.position));
                    (dataset.labels, dataset.domains, reviews.collect::<Vec<_>>())
                };
                assert_eq!(fields(of_json), fields(of_table));
                Fate::Taken
            }
            (Err(of_json), Err(of_table)) => {
                assert_eq!(of_json.count, of_table.count, "{of_json}\n{of_table}");
                Fate::Refused
            }
            (of_json, of_table) => panic!("{of_json:?}\n{of_table:?}"),
        }
    });
}

#[test]
fn a_file_reads_the_same_compressed() {
    for_all(files(), |Bytes(bytes)| {
        // What begins as gzip does would be decompressed twice.
        if bytes.starts_with(&[0x1f, 0x8b]) {
            return Fate::Refused;
        }
        let read = |bytes: &[u8]| Dataset::parse(Path::new(FILE), bytes, &[]);
        match (read(&bytes), read(&gzip(&bytes))) {
            (Ok(plain), Ok(unzipped)) => {
                assert_eq!(plain.reviews, unzipped.reviews);
                Fate::Taken
            }
            (Err(plain), Err(unzipped)) => {
                assert_eq!(plain.count, unzipped.count);
                Fate::Refused
            }
            (plain, unzipped) => panic!("{plain:?}\n{unzipped:?}"),
        }
    });
}
