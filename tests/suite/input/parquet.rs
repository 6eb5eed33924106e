//! Labelled texts in Parquet: read as the same records in JSON are, and refused where the file is damaged.

use std::path::Path;

use metabert::data::{DataError, Dataset, FieldNames, Place, RecordRules};
use parquet::basic::{Compression, Encoding};
use parquet::file::metadata::KeyValue;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::dataset::read_as;
use super::mutation::{Bytes, edited};
use super::{Fate, for_all};
use crate::support::fixtures;
use crate::support::parquet_file::{
    Column, Values, any_properties, class_label, columns_of, properties, strings, written,
};
use crate::support::run::tiny_records;

const FILE: &str = "data.parquet";

fn parse(bytes: &[u8]) -> Result<Dataset, DataError> {
    Dataset::parse(Path::new(FILE), bytes, &[])
}

/// A file that differs from others in what is given.
fn file(columns: &[Column]) -> Vec<u8> {
    written(columns, true, properties(Compression::SNAPPY))
}

fn fields(dataset: &Dataset) -> Vec<[&str; 3]> {
    let reviews = dataset.reviews.iter();
    let names =
        reviews.map(|it| [&it.text, dataset.label_name(it.label), dataset.domain_name(it.domain)]);
    names.collect()
}

/// Both files were written by the programs that users have; `make_parquet_fixture.py` shows how.
#[test]
fn files_of_hugging_face_and_arrow_are_read() {
    let labels = Dataset::read(fixtures::path("parquet/labels.parquet"), &[]).unwrap();
    assert_eq!(labels.labels, ["negative", "positive"]);
    assert_eq!(labels.domains, ["boots", "kettles"]);
    let expected = [
        ["boils quickly and pours well", "positive", "kettles"],
        ["the lid came off", "negative", "kettles"],
        ["quiet, and it looks good", "positive", "kettles"],
        ["warm \u{2744} and dry", "positive", "boots"],
        ["the sole came off in a week", "negative", "boots"],
        ["said \"waterproof\",\nand is", "positive", "boots"],
    ];
    assert_eq!(fields(&labels), expected);
    assert_eq!(labels.reviews[5].place, Place::Record(6));

    let names = FieldNames { text: "review", label: "stars", domain: "product" };
    let rules = RecordRules { fields: names, ..RecordRules::default() };
    let stars =
        Dataset::read_as(fixtures::path("parquet/large_strings.parquet"), rules, &[]).unwrap();
    assert_eq!(stars.labels, ["1", "5"]);
    let expected = expected
        .map(|[text, label, domain]| [text, if label == "positive" { "5" } else { "1" }, domain]);
    assert_eq!(fields(&stars), expected);
}

#[test]
fn a_parquet_file_reads_as_the_same_records_in_json_do() {
    let cell = || prop_oneof![3 => "[ -~]{0,8}", 1 => "[\0\t\r\n\u{e9}\u{2028} a]{0,6}"];
    let rows = proptest::collection::vec([cell(), cell(), cell()], 1..9);
    for_all((rows, any::<bool>(), any::<u8>()), |(rows, is_optional, number)| {
        let records = rows
            .iter()
            .map(|[text, label, domain]| json!({"text": text, "label": label, "domain": domain}));
        let records: Vec<Value> = records.collect();
        let parquet = written(&columns_of(&records), is_optional, any_properties(number));
        let json = Value::from(records).to_string();
        match (Dataset::parse(Path::new("data.json"), json.as_bytes(), &[]), parse(&parquet)) {
            (Ok(of_json), Ok(of_parquet)) => {
                assert_eq!(of_json.reviews, of_parquet.reviews);
                assert_eq!(of_json.labels, of_parquet.labels);
                assert_eq!(of_json.domains, of_parquet.domains);
                Fate::Taken
            }
            (Err(of_json), Err(of_parquet)) => {
                assert_eq!(of_json.problems, of_parquet.problems);
                Fate::Refused
            }
            (of_json, of_parquet) => panic!("{of_json:?}\n{of_parquet:?}"),
        }
    });
}

#[test]
fn parquet_files_are_taken_whole_or_refused() {
    let records: Vec<Value> = tiny_records().into_iter().step_by(20).take(6).collect();
    let fixtures = ["labels", "large_strings"]
        .map(|name| std::fs::read(fixtures::path(&format!("parquet/{name}.parquet"))).unwrap());
    let files = prop_oneof![
        any::<(bool, u8)>().prop_map(move |(is_optional, number)| {
            written(&columns_of(&records), is_optional, any_properties(number))
        }),
        proptest::sample::select(fixtures.to_vec()),
    ];
    for_all(edited(files, 2), |Bytes(bytes)| read_as(FILE, &bytes, &[]));
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = std::fs::read(fixtures::path("parquet/labels.parquet")).unwrap();
    for length in 0..whole.len() {
        let error = parse(&whole[..length]).unwrap_err().to_string();
        assert!(error.starts_with("data.parquet: "), "{length}: {error}");
    }
}

#[test]
fn integers_are_labels_by_their_names_or_as_they_are() {
    let texts = || ("binary text (UTF8)", strings(&["a", "b", "c"]));
    let domains = || ("binary domain (UTF8)", strings(&["d", "d", "d"]));
    let int64 = |values: [i64; 3]| Values::Int64(values.map(Some).to_vec());
    let int32 = |values: [i32; 3]| Values::Int32(values.map(Some).to_vec());
    for (label, expected) in [
        (("int64 label", int64([10, -1, 9])), ["-1", "9", "10"]),
        (
            ("int64 label (INTEGER(64,false))", int64([-1, 0, 1])),
            ["0", "1", "18446744073709551615"],
        ),
        (("int32 label (INTEGER(8,true))", int32([2, -1, 0])), ["-1", "0", "2"]),
        (("int32 label (INTEGER(32,false))", int32([-1, 0, 1])), ["0", "1", "4294967295"]),
    ] {
        assert_eq!(parse(&file(&[texts(), label, domains()])).unwrap().labels, expected);
    }

    let named = |column: Column, metadata: KeyValue| {
        let properties =
            properties(Compression::SNAPPY).set_key_value_metadata(Some(vec![metadata]));
        let columns = match column.0.contains("label") {
            true => [texts(), column, domains()],
            false => [texts(), ("binary label (UTF8)", strings(&["x", "y", "z"])), column],
        };
        parse(&written(&columns, true, properties))
    };
    let label = ("int64 label", int64([2, 0, 1]));
    let dataset = named(label, class_label("label", &["c", "b", "a"])).unwrap();
    assert_eq!(fields(&dataset), [["a", "a", "d"], ["b", "c", "d"], ["c", "b", "d"]]);
    let domain = ("int64 domain", int64([1, 0, 1]));
    let dataset = named(domain, class_label("domain", &["books", "boots"])).unwrap();
    assert_eq!(dataset.domains, ["books", "boots"]);

    // What `datasets` writes for a text without a label.
    let label = ("int64 label", int64([0, -1, 1]));
    let error = named(label, class_label("label", &["c", "b"])).unwrap_err().to_string();
    let expected = "data.parquet: record 2, field \"label\": expected a string or an integer, found -1, which is none of the 2 \
                    numbers that the file names";
    assert_eq!(error, expected);
    let metadata = KeyValue::new("huggingface".to_owned(), "{".to_owned());
    let error = named(("int64 label", int64([0, 0, 1])), metadata).unwrap_err().to_string();
    let expected = "data.parquet: expected label names in the metadata \"huggingface\": EOF while parsing an object at line 1 \
                    column 1";
    assert_eq!(error, expected);
}

#[test]
fn nulls_and_bytes_are_named_with_their_rows() {
    let texts = Values::Strings(vec![None, Some(b"caf\xe9".to_vec().into()), Some(" ".into())]);
    let columns = [
        ("binary text (UTF8)", texts),
        ("int64 label", Values::Int64(vec![Some(1), None, Some(2)])),
        ("binary domain (UTF8)", strings(&["a", "", "a"])),
    ];
    let error = parse(&file(&columns)).unwrap_err();
    let lines: Vec<String> = error.problems.iter().map(ToString::to_string).collect();
    let fix = "; data.empty_texts = \"drop\" leaves it out";
    let expected = [
        (r#"record 1, field "text": expected a string that is not empty, found null"#, fix),
        (
            r#"record 2, field "text": expected a string that is not empty, found bytes that are not UTF-8, from offset 3"#,
            "",
        ),
        (r#"record 2, field "label": expected a string or an integer, found null"#, ""),
        (r#"record 2, field "domain": expected a string that is not empty, found empty text"#, ""),
        (r#"record 3, field "text": expected a string that is not empty, found empty text"#, fix),
    ];
    assert_eq!(lines, expected.map(|(problem, fix)| format!("{problem}{fix}")));
}

#[test]
fn what_is_no_labelled_text_is_refused_in_one_line() {
    let texts = || ("binary text (UTF8)", strings(&["a", "b"]));
    let labels = || ("binary label (UTF8)", strings(&["1", "2"]));
    let domains = || ("binary domain (UTF8)", strings(&["d", "d"]));
    let whole = |numbers: [i64; 2]| Values::Int64(numbers.map(Some).to_vec());
    let doubles = || Values::Doubles(vec![Some(1.0), Some(2.0)]);
    for (columns, expected) in [
        (
            vec![texts(), labels()],
            r#"expected a column "domain", found "text", "label"; name the right one with --domain-field"#,
        ),
        (
            vec![("int64 text", whole([1, 2])), labels(), domains()],
            r#"field "text": expected a column of strings, found one of integers"#,
        ),
        (
            vec![texts(), ("double label", doubles()), domains()],
            r#"field "label": expected a column of strings or integers, found one of floating-point numbers"#,
        ),
        (
            vec![texts(), ("int64 label (TIMESTAMP(MILLIS,true))", whole([1, 2])), domains()],
            r#"field "label": expected a column of strings or integers, found one of dates, times or decimals"#,
        ),
        (
            vec![texts(), labels(), ("int64 domain", whole([1, 2]))],
            r#"field "domain": expected a column of strings, or of integers with names, found one of integers"#,
        ),
        (
            vec![texts(), ("binary label (UTF8)", strings(&["1", "1"])), domains()],
            r#"field "label": expected at least two labels in all, found only "1""#,
        ),
    ] {
        let error = parse(&file(&columns)).unwrap_err().to_string();
        assert_eq!(error, format!("data.parquet: {expected}"));
    }
    let nobody = Dataset::parse(Path::new(FILE), b"text,label,domain\n", &[]).unwrap_err();
    let expected =
        "data.parquet: expected a Parquet file, which begins with PAR1, found other bytes";
    assert_eq!(nobody.to_string(), expected);
    let whole = file(&[texts(), labels(), domains()]);
    assert_eq!(Dataset::parse(Path::new("data"), &whole, &[]).unwrap().reviews.len(), 2);

    let delta = properties(Compression::SNAPPY)
        .set_dictionary_enabled(false)
        .set_encoding(Encoding::DELTA_BYTE_ARRAY);
    let error = parse(&written(&[texts(), labels(), domains()], true, delta)).unwrap_err();
    let expected = "data.parquet: field \"text\": expected the encoding PLAIN or RLE_DICTIONARY, found DELTA_BYTE_ARRAY; write the \
                    file as pandas does by default";
    assert_eq!(error.to_string(), expected);
}
