//! What keeps adaptations from doing harm, in `finetune` and `eval`.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;
use tch::Tensor;

use crate::support::evaluation::{number, of_domains};
use crate::support::run::{Answer, run, work_dir};

/// Of a model that knows its domain already.
const KNOWN: &str =
    "--checkpoint @adapted --data @data --domain boots --max-length 32 --threads 1 --device cpu";

fn finetune(dir: &Path, arguments: &str) -> Answer {
    run(dir, &format!("finetune {KNOWN} {arguments}"))
}

fn tensors(model: &Path) -> HashMap<String, Tensor> {
    Tensor::read_safetensors(model.join("model.safetensors")).unwrap().into_iter().collect()
}

/// The names of the tensors that differ.
fn changed(left: &Path, right: &Path) -> Vec<String> {
    let [left, right] = [left, right].map(tensors);
    let differs = left.into_iter().filter(|(name, tensor)| *tensor != right[name]);
    differs.map(|(name, _)| name).collect()
}

#[test]
fn an_adaptation_that_harms_is_not_kept() {
    let dir = work_dir();
    let path = dir.path();
    // Steps so large that nothing of what was known is left.
    let harm = "--inner-steps 4 --inner-lr 1 --set safeguard.calibrate=false";
    let folds = "--folds 5";
    let kept = finetune(path, &format!("{harm} {folds} --out kept"));
    assert!(kept.stderr.contains("the weights from before adapting are kept"), "{}", kept.stderr);
    let adapted = crate::support::run::adapted();
    assert_eq!(changed(adapted, &path.join("kept")), [] as [&str; 0]);
    let card = std::fs::read_to_string(path.join("kept/README.md")).unwrap();
    assert!(card.contains("the weights from before adapting are kept"), "{card}");
    finetune(path, &format!("{harm} {folds} --set safeguard.fall_back=false --out lost")).success();
    assert!(changed(adapted, &path.join("lost")).len() > 10);

    let eval = |arguments: &str| -> Value {
        let eval = "--support 12 --query 8 --episodes 3 --json";
        let found = run(path, &format!("eval {KNOWN} {eval} {harm} {arguments}")).success();
        serde_json::from_str(&found).unwrap()
    };
    let (guarded, unguarded) = (eval(folds), eval("--folds 0"));
    let [guarded, unguarded] = [&guarded, &unguarded].map(|report| &of_domains(report)[0]);
    assert_eq!(
        (number(guarded, "num_fallen_back"), number(unguarded, "num_fallen_back")),
        (3.0, 0.0)
    );
    assert_eq!(guarded["macro_f1"], guarded["zero_step_macro_f1"]);
    assert!(number(unguarded, "macro_f1/mean") < number(guarded, "macro_f1/mean"));
}

#[test]
fn a_calibration_is_part_of_the_head_that_is_written() {
    let dir = work_dir();
    let path = dir.path();
    let adapt = "--inner-steps 2 --inner-lr 1e-3 --folds 5 --set safeguard.fall_back=false";
    let calibrated = finetune(path, &format!("{adapt} --out calibrated"));
    finetune(path, &format!("{adapt} --set safeguard.calibrate=false --out plain")).success();
    let mut names = changed(&path.join("plain"), &path.join("calibrated"));
    names.sort_unstable();
    assert_eq!(names, ["classifier.bias", "classifier.weight"]);
    let weight = |model: &str| tensors(&path.join(model)).remove("classifier.weight").unwrap();
    let ratios = weight("calibrated") / weight("plain");
    let [least, most] = [ratios.min(), ratios.max()].map(|ratio| ratio.double_value(&[]));
    assert!(most - least < 1e-4, "{least} to {most}");
    let said = format!("logits are multiplied by {:.3}, then ", (least + most) / 2.0);
    assert!(calibrated.stderr.contains(&said), "{said}: {}", calibrated.stderr);
    assert!(calibrated.stderr.contains(" for negative, "), "{}", calibrated.stderr);
}

#[test]
fn without_folds_nothing_is_held_out_or_calibrated() {
    let dir = work_dir();
    let path = dir.path();
    let off = "--set safeguard.calibrate=false --set safeguard.fall_back=false";
    let settings = "--inner-steps 2 --inner-lr 1e-3";
    finetune(path, &format!("{settings} --folds 0 --out none")).success();
    finetune(path, &format!("{settings} {off} --folds 5 --out off")).success();
    assert_eq!(changed(&path.join("none"), &path.join("off")), [] as [&str; 0]);
}

#[test]
fn half_of_the_way_is_between_both_ends() {
    let dir = work_dir();
    let path = dir.path();
    for share in ["0", "0.5", "1"] {
        let share = format!("--folds 0 --set safeguard.share={share} --out share-{share}");
        finetune(path, &format!("--inner-steps 2 --inner-lr 1e-3 {share}")).success();
    }
    let adapted = crate::support::run::adapted();
    assert_eq!(changed(adapted, &path.join("share-0")), [] as [&str; 0]);
    let [start, half, end] = ["share-0", "share-0.5", "share-1"].map(|it| tensors(&path.join(it)));
    for (name, half) in half {
        let middle = (&start[&name] + &end[&name]) / 2.0;
        assert!(half.allclose(&middle, 1e-5, 1e-7, false), "{name}");
    }
}

#[test]
fn folds_are_averaged_where_that_is_asked_for() {
    let dir = work_dir();
    let path = dir.path();
    let steps = "--scope head --inner-steps 3 --inner-lr 1e-2 --folds 4 --set safeguard.calibrate=false \
                 --set safeguard.fall_back=false";
    finetune(path, &format!("{steps} --out alone")).success();
    finetune(path, &format!("{steps} --set safeguard.average_folds=true --out mean")).success();
    let mut names = changed(&path.join("alone"), &path.join("mean"));
    names.sort_unstable();
    assert_eq!(names, ["classifier.bias", "classifier.weight"]);

    let eval = |arguments: &str| {
        let eval = "--support 12 --query 8 --episodes 2 --json";
        let found = run(path, &format!("eval {KNOWN} {eval} {steps} {arguments}")).success();
        let report: Value = serde_json::from_str(&found).unwrap();
        number(&of_domains(&report)[0], "log_loss")
    };
    let (alone, mean) = (eval(""), eval("--set safeguard.average_folds=true"));
    assert!(alone != mean && (alone - mean).abs() < 0.2, "{alone} {mean}");
}

#[test]
fn balanced_labels_weigh_as_they_would_in_a_balanced_support_set() {
    let dir = work_dir();
    let path = dir.path();
    let log_loss = |arguments: &str| {
        let eval = "--query 8 --episodes 2 --inner-steps 3 --inner-lr 1e-3 --folds 0 --json";
        let found = run(path, &format!("eval {KNOWN} {eval} {arguments}")).success();
        let report: Value = serde_json::from_str(&found).unwrap();
        number(&of_domains(&report)[0], "log_loss")
    };
    let balanced = "--set inner.class_weights=balanced";
    let equal = ["", balanced].map(|weights| log_loss(&format!("--support-per-label 5 {weights}")));
    // In minibatches of any mixture: every text weighs 1.
    assert!((equal[0] - equal[1]).abs() < 1e-6, "{equal:?}");
    let skewed = ["", balanced].map(|weights| log_loss(&format!("--support 15 {weights}")));
    assert!((skewed[0] - skewed[1]).abs() > 1e-5, "{skewed:?}");
}

#[test]
fn the_head_steps_first_where_that_is_asked_for() {
    let dir = work_dir();
    let path = dir.path();
    let of_head = "--set evaluate.head_steps=5 --inner-lr 1e-2 --folds 0";
    finetune(path, &format!("{of_head} --scope head --inner-steps 1 --out head")).success();
    let mut names = changed(crate::support::run::adapted(), &path.join("head"));
    names.sort_unstable();
    assert_eq!(names, ["classifier.bias", "classifier.weight"]);
    let card = std::fs::read_to_string(path.join("head/README.md")).unwrap();
    assert!(card.contains("5 steps of the head, then 1 step of adam"), "{card}");
    let eval = "--support 8 --query 4 --episodes 1";
    let found = run(path, &format!("eval {KNOWN} {eval} {of_head} --inner-steps 2")).success();
    assert!(found.contains("5 steps of the head, then 2 steps of adam"), "{found}");
}

/// A label whose only text is held out has no prototype.
#[test]
fn every_fold_of_a_support_set_that_makes_the_head_has_every_label() {
    let dir = work_dir();
    let eval = "--domain gardening --data @data --support-per-label 1,3 --query 4 --episodes 2 --max-length 32 \
                --threads 1 --device cpu";
    for head in ["prototypes", "label-names"] {
        run(dir.path(), &format!("eval --checkpoint @tiny {eval} --head {head}")).success();
    }
}
