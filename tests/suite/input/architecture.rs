//! `config.json`: what is taken describes a model that can be made and run.

use std::fs;

use metabert::eval::predict::logits;
use metabert::machine::Workers;
use metabert::model::{BertConfig, Classifier, ModelDirectory, Pooling, Precision};
use metabert::params::init;
use metabert::ranks::Executor;
use proptest::prelude::*;

use super::mutation::{Bytes, changed, edited, written};
use super::{Fate, assert_tells, for_all};
use crate::support::fixtures;
use crate::support::run::work_dir;

/// Models up to this size are run as well.
const SMALL: usize = 100_000;

/// Checks that a model of this architecture can be described, written and run.
fn assert_can_be_made(directory: &ModelDirectory) {
    let config = directory.config();
    let json = serde_json::to_value(config).unwrap();
    let again = BertConfig::from_json(json.as_object().unwrap());
    assert_eq!(again.as_ref(), Ok(config));
    let num_labels = directory.num_labels().unwrap_or(2);
    assert!(num_labels > 0, "a head without labels");
    assert_eq!(directory.labels_or_placeholders(num_labels).len(), num_labels);
    if config.num_hidden_layers > 50 {
        return;
    }
    let classifier = Classifier::new(config, Pooling::Cls, num_labels, Precision::Fp32);
    let num_parameters = classifier.layout().num_parameters();
    assert!(num_parameters > 0 && num_parameters < 20_000_000_000, "{num_parameters}");
    if num_parameters as usize > SMALL {
        return;
    }
    let params = init::draw(classifier.layout(), 0).unwrap();
    let longest = config.max_position_embeddings.min(5) as usize;
    let texts: Vec<Vec<u32>> = (1..=longest).map(|length| vec![0; length]).collect();
    let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    let rows = logits(&classifier, &params, &texts, Executor::new(Workers::one())).unwrap();
    assert!(rows.iter().all(|row| row.len() == num_labels), "{rows:?}");
}

#[test]
fn architectures_are_taken_whole_or_refused() {
    let document = changed(Just(fixtures::json("bert/plain/config.json")), 3);
    let files = (document, any::<bool>()).prop_map(|(json, is_pretty)| written(&json, is_pretty));
    let dir = work_dir();
    let path = dir.path();
    for_all(edited(files, 2), |Bytes(bytes)| {
        fs::write(path.join("config.json"), bytes).unwrap();
        match ModelDirectory::open(path) {
            Ok(directory) => {
                assert_can_be_made(&directory);
                Fate::Taken
            }
            Err(error) => assert_tells(error, "config.json: "),
        }
    });
}
