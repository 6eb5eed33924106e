//! Damaged files of benchmarks: imported whole, or refused with the file named.

use std::fs;
use std::path::Path;

use metabert::data::import::Benchmark;
use proptest::prelude::*;
use proptest::sample::select;

use super::mutation::{Bytes, edited};
use super::{Fate, assert_tells, for_all};
use crate::support::run::work_dir;

const REVIEWS: &str = "<review>\n<rating>\n5.0\n</rating>\n<review_text>\ngood &amp; \"long\"\n</review_text>\n</review>\n\
                       <review>\n<rating>\n1.0\n</rating>\n<review_text>\nbad\n</review_text>\n</review>\n";
const CLINC: &str = r#"{"train": [["pay it", "pay_bill"], ["play", "oos"]], "val": [["how much", "balance"]], "oos_val": []}"#;

/// A file of each benchmark: its name, and what is in it.
const FILES: [(&str, &str); 5] = [
    ("toys/all.review", REVIEWS),
    ("toys.task.train", "1\tgood\n0\tbad\n"),
    ("toys.t2.train", "good\t1\nbad\t-1\n"),
    ("data_full.json", CLINC),
    ("train.csv", "text,category\n\"where, is it\",card_arrival\ntop up,top_up\n"),
];

fn benchmark(name: &str, root: &Path) -> Fate {
    let (benchmark, parts) = match name {
        "toys/all.review" => (Benchmark::MultiDomainSentiment, &[][..]),
        "toys.task.train" => (Benchmark::FduMtl, &["train"][..]),
        "toys.t2.train" => (Benchmark::Arsc, &["train"][..]),
        "data_full.json" => (Benchmark::Clinc { domains: None }, &["train", "val"][..]),
        _ => (Benchmark::Banking, &["train"][..]),
    };
    match benchmark.read(root, parts) {
        Ok(gathered) => {
            assert!(!gathered.summary().is_empty());
            Fate::Taken
        }
        Err(error) => assert_tells(error, name),
    }
}

#[test]
fn files_of_benchmarks_are_taken_whole_or_refused() {
    let dir = work_dir();
    let root = dir.path();
    fs::create_dir(root.join("toys")).unwrap();
    fs::write(root.join("domains.json"), r#"{"banking": ["pay_bill", "balance"]}"#).unwrap();
    let files = select(&FILES[..]).prop_flat_map(|(name, content)| {
        edited(Just(content.as_bytes().to_vec()), 2).prop_map(move |bytes| (name, bytes))
    });
    for_all(files, |(name, Bytes(bytes))| {
        fs::write(root.join(name), bytes).unwrap();
        benchmark(name, root)
    });
}
