//! FOMAML and Reptile against a PyTorch program written from the description of the reference
//! implementation: see tests/fixtures/make_reference_trace.py.
//!
//! The Adam traces run in float64. In float32 Adam turns gradients that are zero but for rounding
//! (those of the key biases are, exactly) into steps of up to the learning rate, so that two right
//! programs differ; tests/fixtures/README.md has the figures. Plain gradient descent has no such
//! amplification, and is compared in float32.

use metabert::data::batch::{AttentionLayout, Batch};
use metabert::meta::{Algorithm, InnerConfig, MetaConfig, Rate, Recipe, Support, Task};
use metabert::model::{Classifier, ModelDirectory, Pooling, Precision};
use metabert::optim::{Optimizer, OptimizerConfig, Rule};
use metabert::params::{ParamSet, TaskView};
use serde_json::Value;
use tch::Kind;

use crate::support::fixtures::{
    self, integers, json, max_abs_difference, numbers, param_set, path, tensors,
};

struct Replay {
    /// Parameters after each outer step.
    params: Vec<ParamSet>,
    /// Mean meta-gradient of the first outer step.
    first_gradient: ParamSet,
    /// Inner losses and query losses, episode by episode.
    losses: Vec<f64>,
}

fn batches(set: &Value, batch: usize, epochs: usize) -> Vec<Batch> {
    let (lengths, labels) = (integers(&set["lengths"]), integers(&set["labels"]));
    let rows = set["input_ids"].as_array().unwrap();
    let starts = (0..epochs).flat_map(|_| (0..rows.len()).step_by(batch));
    starts
        .map(|start| {
            let end = (start + batch).min(rows.len());
            let rows = Value::from(rows[start..end].to_vec());
            fixtures::pack(
                &rows,
                &lengths[start..end],
                &labels[start..end],
                AttentionLayout::PerText,
            )
        })
        .collect()
}

fn replay(algorithm: Algorithm, variant: &Value, kind: Kind) -> Replay {
    let trace = json("reference_trace/trace.json");
    let directory = ModelDirectory::open(path("reference_trace/initial")).unwrap();
    let classifier = Classifier::new(directory.config(), Pooling::Cls, 3, Precision::Fp32);
    let (params, report) = directory.read_weights().unwrap().load(&classifier, 0).unwrap();
    assert!(report.initialised.is_empty());
    let rule = if variant["rule"] == "sgd" { Rule::Sgd } else { Rule::Adam };
    let lr = |key: &str| Rate(variant[key].as_f64().unwrap());
    let inner = InnerConfig {
        optimizer: rule.into(),
        lr: lr("inner_lr").into(),
        head_lr: lr("inner_lr").into(),
        query_dropout: true,
        ..InnerConfig::default()
    };
    let recipe = Recipe::new(algorithm, &inner, &MetaConfig::default());
    let mut meta = params.to_kind(kind).unwrap();
    let mut outer = Optimizer::new(OptimizerConfig::new(rule), &meta).unwrap();
    let mut out = Replay {
        params: Vec::new(),
        first_gradient: meta.zeros_like().unwrap(),
        losses: Vec::new(),
    };
    let (batch, epochs) = (4, 2);
    assert_eq!((trace["inner_batch"].as_u64(), trace["inner_epochs"].as_u64()), (Some(4), Some(2)));
    for (index, step) in trace["steps"].as_array().unwrap().iter().enumerate() {
        let episodes = step["episodes"].as_array().unwrap();
        let mut gradient = meta.zeros_like().unwrap();
        for episode in episodes {
            let support = Support::of_steps(batches(&episode["support"], batch, epochs));
            let query = batches(&episode["query"], usize::MAX / 2, 1).remove(0);
            let view = TaskView::whole(meta.layout());
            let task = Task { index: 0, domain: None, view, support, query, dropout_seed: 0 };
            let outcome = recipe.meta_gradient(&classifier, &meta, task, 0).unwrap();
            gradient.add_scaled(&outcome.gradient, 1.0 / episodes.len() as f64).unwrap();
            let losses = outcome.support_losses.to_kind(Kind::Double);
            out.losses.extend(Vec::<f64>::try_from(losses).unwrap());
            out.losses.push(outcome.query_loss.double_value(&[]));
        }
        outer.step(&mut meta, &gradient, |_| lr("outer_lr").0).unwrap();
        out.params.push(meta.deep_copy().unwrap());
        if index == 0 {
            out.first_gradient = gradient;
        }
    }
    out
}

fn recorded_losses(recorded: &Value) -> Vec<f64> {
    let episodes = recorded["steps"].as_array().unwrap().iter();
    episodes
        .flat_map(|step| step["episodes"].as_array().unwrap())
        .flat_map(|episode| {
            let mut losses = numbers(&episode["inner_losses"]);
            losses.push(episode["query_loss"].as_f64().unwrap());
            losses
        })
        .collect()
}

fn check(variant: &str, precision: &str, tolerance: f64) {
    let trace = json("reference_trace/trace.json");
    let settings = &trace["variants"][variant];
    let kind = if precision == "float64" { Kind::Double } else { Kind::Float };
    for (name, algorithm) in [("fomaml", Algorithm::Fomaml), ("reptile", Algorithm::Reptile)] {
        let found = replay(algorithm, settings, kind);
        let wanted = tensors(&format!("reference_trace/{name}_{variant}_{precision}.safetensors"));
        let layout = found.first_gradient.layout().clone();
        if wanted.keys().any(|key| key.starts_with("step1.meta_gradient.")) {
            let wanted = param_set(&layout, &wanted, "step1.meta_gradient.");
            let (worst, slot) = max_abs_difference(&found.first_gradient, &wanted);
            assert!(worst < 1e-9, "{name} {variant}: meta-gradient of {slot} differs by {worst}");
        }
        let recorded = recorded_losses(&settings[name][precision]);
        assert_eq!(found.losses.len(), recorded.len());
        for (index, (found, wanted)) in found.losses.iter().zip(&recorded).enumerate() {
            let difference = (found - wanted).abs();
            assert!(difference < tolerance * 10.0, "{name} {variant} loss {index}: {difference}");
        }
        for (step, params) in found.params.iter().enumerate() {
            let wanted = param_set(&layout, &wanted, &format!("step{}.", step + 1));
            let (worst, slot) = max_abs_difference(params, &wanted);
            let step = step + 1;
            assert!(worst < tolerance, "{name} {variant} step {step}: {slot} differs by {worst}");
        }
    }
}

#[test]
fn two_outer_adam_steps_match_the_reference_to_1e_6() {
    check("adam_1e-3", "float64", 1e-6);
    check("adam_5e-5", "float64", 1e-6);
}

#[test]
fn two_outer_sgd_steps_match_the_reference_to_1e_6() {
    check("sgd", "float64", 1e-12);
    check("sgd", "float32", 1e-6);
}
