//! Reads the files of `tests/fixtures`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use metabert::data::batch::{AttentionLayout, Batch};
use metabert::params::{Layout, ParamSet};
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// A path under `tests/fixtures`.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A JSON file.
pub fn json(name: &str) -> serde_json::Value {
    let text = std::fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A safetensors file.
pub fn tensors(name: &str) -> HashMap<String, Tensor> {
    let found = Tensor::read_safetensors(path(name));
    found.unwrap_or_else(|error| panic!("{name}: {error}")).into_iter().collect()
}

/// Integers of a JSON array.
pub fn integers(value: &serde_json::Value) -> Vec<u32> {
    let array = value.as_array().expect("an array");
    array.iter().map(|item| item.as_u64().expect("an integer") as u32).collect()
}

/// Numbers of a JSON array.
pub fn numbers(value: &serde_json::Value) -> Vec<f64> {
    let array = value.as_array().expect("an array");
    array.iter().map(|item| item.as_f64().expect("a number")).collect()
}

/// Packs rows of padded ids, each cut to its length.
pub fn pack(
    rows: &serde_json::Value,
    lengths: &[u32],
    labels: &[u32],
    layout: AttentionLayout,
) -> Batch {
    let rows: Vec<Vec<u32>> = rows
        .as_array()
        .expect("rows")
        .iter()
        .zip(lengths)
        .map(|(row, &length)| integers(row)[..length as usize].to_vec())
        .collect();
    let rows: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
    Batch::pack(&rows, labels, layout, Device::Cpu).unwrap()
}

/// A parameter set out of tensors named `prefix` + the layout's names.
pub fn param_set(
    layout: &Arc<Layout>,
    tensors: &HashMap<String, Tensor>,
    prefix: &str,
) -> ParamSet {
    let slots = layout.slots().iter();
    let found = slots.map(|slot| tensors[&format!("{prefix}{}", slot.name)].shallow_clone());
    ParamSet::new(layout.clone(), found.collect())
}

/// The largest absolute difference of two tensors.
pub fn distance(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a.to_kind(Kind::Double) - b.to_kind(Kind::Double)).abs().max().double_value(&[])
}

/// The MiniLM encoder that `.ci/setup encoder` fetches.
pub fn minilm() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/models/minilm-l6");
    assert!(path.is_dir(), "{}: missing; run .ci/setup encoder", path.display());
    path
}

/// The largest absolute difference of any element of two sets with one layout, and the slot it is in.
pub fn max_abs_difference<'a>(left: &'a ParamSet, right: &ParamSet) -> (f64, &'a str) {
    let mut worst = (0.0, "");
    for ((name, left), right) in left.iter().zip(right.tensors()) {
        let found = (left - right).abs().max().double_value(&[]);
        if found.is_nan() || found > worst.0 {
            worst = (found, name);
        }
    }
    worst
}
