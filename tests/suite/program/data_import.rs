//! The folders of benchmarks become a dataset that the other commands read.

use std::fs;
use std::path::Path;

use super::command_line_errors::refuses;
use crate::support::run::{Answer, json, json_lines, run, work_dir};

fn write(root: &Path, name: &str, content: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Lines of a label and a text with a tab between, all different.
fn lines(count: usize, about: &str) -> String {
    (0..count).map(|number| format!("{}\t{about} {number}\n", number % 2)).collect()
}

#[test]
fn an_imported_dataset_is_valid() {
    let dir = work_dir();
    let path = dir.path();
    for (domain, count) in [("MR", 12), ("apparel", 30), ("baby", 30), ("books", 30), ("dvd", 30)] {
        write(path, &format!("fdu/{domain}.task.train"), &lines(count, domain));
        write(path, &format!("fdu/{domain}.task.test"), &lines(2, &format!("a new {domain}")));
        write(path, &format!("fdu/{domain}.task.unlabel"), "one\ntwo\n");
    }
    let printed = run(path, "data import fdu-mtl fdu --out dataset.json").success();
    let expected =
        "dataset.json: 142 examples, 2 labels, 5 domains\nleft out: 10 in files without labels\n";
    assert_eq!(printed, expected);
    let validate =
        "data validate --low-resource-max 20 --support 8 --query 4 --data dataset.json --quiet";
    let Answer { code, stdout, stderr } = run(path, validate);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(
        stdout.starts_with("dataset.json: 142 examples, 2 labels; domains: 2 meta-train"),
        "{stdout}"
    );

    let again = "data import fdu-mtl fdu --out again.json --unlabelled more";
    assert!(run(path, again).success().ends_with("\nmore: 10 texts without labels\n"));
    assert_eq!(
        fs::read(path.join("again.json")).unwrap(),
        fs::read(path.join("dataset.json")).unwrap()
    );
    assert_eq!(
        fs::read_to_string(path.join("more/MR.jsonl")).unwrap(),
        "{\"text\":\"one\"}\n{\"text\":\"two\"}\n"
    );
    refuses(path, &again.replace("again.json", "new.json"), "more: exists");
    refuses(
        path,
        "data import arsc fdu --out new.json --unlabelled new",
        "fdu: expected files such as books.t2.train",
    );

    let printed = run(path, "data import fdu-mtl fdu --part test --out test.jsonl").success();
    assert!(printed.starts_with("test.jsonl: 10 examples, 2 labels, 5 domains\n"), "{printed}");
    let first = &json_lines(&fs::read_to_string(path.join("test.jsonl")).unwrap())[0];
    assert_eq!(
        *first,
        serde_json::json!({"text": "a new MR 0", "label": "negative", "domain": "MR"})
    );
}

#[test]
fn every_benchmark_is_imported() {
    let dir = work_dir();
    let path = dir.path();
    let review =
        |text: &str| format!("<review>\n<review_text>\n{text}\n</review_text>\n</review>\n");
    write(path, "mds/dvd/positive.review", &review("good &amp; long"));
    write(path, "mds/dvd/negative.review", &review("bad"));
    write(path, "arsc/books.t2.train", "good\t1\nbad\t-1\n");
    write(
        path,
        "clinc/data_full.json",
        r#"{"train": [["pay it", "pay_bill"]], "val": [], "test": []}"#,
    );
    write(path, "clinc/listed.json", r#"{"banking": ["pay_bill"]}"#);
    write(path, "banking/train.csv", "text,category\nwhere is my card,card_arrival\n");
    write(path, "banking/test.csv", "text,category\nhow to top up,top_up\n");
    for (arguments, text, domain) in [
        ("multi-domain-sentiment mds", "good & long", "dvd"),
        ("arsc arsc", "good", "books.t2"),
        ("clinc clinc --domains clinc/listed.json", "pay it", "banking"),
        ("banking banking", "where is my card", "banking"),
    ] {
        run(path, &format!("data import {arguments} --out out.json --force")).success();
        let records = json(&path.join("out.json"));
        assert_eq!((&records[0]["text"], &records[0]["domain"]), (&text.into(), &domain.into()));
    }
}

#[test]
fn what_cannot_be_imported_leaves_nothing() {
    let dir = work_dir();
    let path = dir.path();
    write(path, "arsc/books.t2.train", "good\t1\nbad\n");
    write(path, "empty/books.t2.dev", "\t1\n");
    write(path, "taken.json", "mine");
    for part in ["train", "test"] {
        write(
            path,
            &format!("banking/{part}.csv"),
            "text,category\nwhere is my card,card_arrival\n",
        );
    }
    for (arguments, told) in [
        (
            "arsc arsc --out new.json",
            "arsc/books.t2.train: line 2: expected a text, a tab and a label, found \"bad\"",
        ),
        (
            "arsc empty --out new.json",
            "empty: expected texts with labels, found 0 examples|left out: 1 empty",
        ),
        ("arsc arsc --out taken.json", "taken.json: exists|--force"),
        ("arsc arsc --out taken.json --force", "arsc/books.t2.train: line 2"),
        ("arsc arsc --out arsc", "arsc: expected a file to write, found something else"),
        ("arsc arsc --out no/new.json", "no/new.json: expected a folder that is there"),
        (
            "arsc arsc --part val --out new.json",
            "--part: expected one of train, dev, test, found val",
        ),
        ("multi-domain-sentiment arsc --part test --out new.json", "--part: expected none"),
        (
            "banking banking --out new.json --unlabelled new",
            "banking: expected files of texts without labels, found none",
        ),
        ("arsc arsc --domains taken.json --out new.json", "--domains: expected the format clinc"),
    ] {
        refuses(path, &format!("data import {arguments}"), told);
    }
    assert_eq!(fs::read_to_string(path.join("taken.json")).unwrap(), "mine");
}
