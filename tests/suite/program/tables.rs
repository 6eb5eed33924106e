//! Labelled texts in a table: whatever its columns are called, it is trained on as the same records in JSON are.

use crate::support::run::{SMALL, assert_same_state, checkpoint, run, tiny_records, work_dir};

#[test]
fn a_table_trains_as_its_records_do() {
    let dir = work_dir();
    let path = dir.path();
    let mut table = csv::Writer::from_path(path.join("reviews.csv")).unwrap();
    table.write_record(["product", "sentiment", "stars", "review"]).unwrap();
    for record in tiny_records() {
        let [text, label, domain] =
            ["text", "label", "domain"].map(|field| record[field].as_str().unwrap());
        table.write_record([domain, label, "5", text]).unwrap();
    }
    table.flush().unwrap();
    let train = "train --algo fomaml --model @tiny --steps 2 --eval-every 0";
    run(path, &format!("{train} --run-dir json {SMALL}")).success();
    let fields = "--text-field review --label-field sentiment --domain-field product";
    let small = SMALL.replace("@data", "reviews.csv");
    run(path, &format!("{train} --run-dir csv {fields} {small}")).success();
    assert_same_state(&checkpoint(path, "json", 2), &checkpoint(path, "csv", 2));

    // A run keeps the names; a file with metabert's own is read with `--set` or flags.
    let small = small.replace("--low-resource-max 16", "").replace("--query 4", "");
    let adapt = "finetune --checkpoint csv --domain boots --folds 0 --out adapted";
    run(path, &format!("{adapt} {small}")).success();
    let answer = run(path, &format!("{adapt} --force {}", small.replace("reviews.csv", "@data")));
    assert_eq!(answer.code, Some(2));
    let expected = "record 1: expected a field \"review\", found ";
    assert!(answer.stderr.contains(expected), "{}", answer.stderr);
    let unnamed = run(path, "data validate --data reviews.csv");
    assert_eq!(unnamed.code, Some(2));
    let expected = "error: reviews.csv: line 1: expected a column \"text\", found \"product\", \"sentiment\", \"stars\", \
                    \"review\"; name the right one with --text-field\n";
    assert_eq!(unnamed.stderr, expected);
}
