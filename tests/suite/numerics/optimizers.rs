//! Optimizer steps and schedules against torch.optim and transformers: see
//! tests/fixtures/make_reference_trace.py.

use std::sync::Arc;

use metabert::optim::{Optimizer, OptimizerConfig, Rule, Schedule, ScheduleConfig};
use metabert::params::{Init, Layout, ParamSet, Region};
use serde_json::Value;
use tch::{Kind, Tensor};

use crate::support::fixtures::{integers, json, numbers};

fn flatten(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(flatten).collect(),
        number => vec![number.as_f64().expect("a number")],
    }
}

fn set(layout: &Arc<Layout>, values: &Value, kind: Kind) -> ParamSet {
    let slots = layout.slots().iter().map(|slot| {
        Tensor::from_slice(&flatten(&values[&slot.name])).view(slot.shape.as_slice()).to_kind(kind)
    });
    ParamSet::new(layout.clone(), slots.collect())
}

#[test]
fn every_rule_follows_torch() {
    let trace = json("reference_trace/adam_trace.json");
    let mut layout = Layout::default();
    for (name, shape) in trace["shapes"].as_object().unwrap() {
        let shape: Vec<i64> = integers(shape).into_iter().map(i64::from).collect();
        layout.register(name.clone(), Region::Head, &shape, Init::Zeros);
    }
    let layout = Arc::new(layout);
    let decayed = OptimizerConfig { weight_decay: 0.01, ..OptimizerConfig::new(Rule::AdamW) };
    let heavy = OptimizerConfig { momentum: 0.9, ..OptimizerConfig::new(Rule::Sgd) };
    for (name, config) in [
        ("adam", OptimizerConfig::new(Rule::Adam)),
        ("adamw", decayed),
        ("sgd", OptimizerConfig::new(Rule::Sgd)),
        ("sgd_momentum", heavy),
    ] {
        // Relative to the largest value of a tensor: gradients reach 1e3 here.
        for (kind, precision, tolerance) in
            [(Kind::Double, "float64", 1e-13), (Kind::Float, "float32", 1e-6)]
        {
            let mut params = set(&layout, &trace["start"], kind);
            let mut optimizer = Optimizer::new(config, &params).unwrap();
            for step in 0..5 {
                let gradient = set(&layout, &trace["gradients"][step], kind);
                optimizer.step(&mut params, &gradient, |_| 0.01).unwrap();
                let wanted = set(&layout, &trace["optimizers"][name][precision][step], kind);
                for ((slot, found), wanted) in params.iter().zip(wanted.tensors()) {
                    let scale = wanted.abs().max().double_value(&[]).max(1.0);
                    let found = crate::support::fixtures::distance(found, wanted);
                    let bound = tolerance * scale;
                    assert!(found <= bound, "{name} {precision} step {step} {slot}: {found}");
                }
            }
        }
    }
}

#[test]
fn schedules_follow_transformers() {
    let trace = json("reference_trace/schedule.json");
    let schedules = trace["schedules"].as_array().unwrap();
    assert_eq!(schedules.len(), 6);
    for schedule in schedules {
        let name = schedule["name"].as_str().unwrap();
        let shape = match name {
            "linear" => ScheduleConfig::Linear,
            "cosine" => ScheduleConfig::Cosine,
            _ => ScheduleConfig::Constant,
        };
        let warmup_steps = schedule["warmup_steps"].as_u64().unwrap();
        let ours = Schedule { shape, warmup_steps, steps: schedule["num_steps"].as_u64().unwrap() };
        for (step, wanted) in numbers(&schedule["factors"]).into_iter().enumerate() {
            let found = ours.factor(step as u64);
            let case = format!("{name}, warm-up {warmup_steps}, step {step}");
            assert!((found - wanted).abs() < 1e-12, "{case}: {found}, expected {wanted}");
        }
    }
}
