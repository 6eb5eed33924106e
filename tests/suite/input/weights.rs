//! Weights files: lengths, offsets, shapes and dtypes that lie.

use std::fs;
use std::path::Path;

use metabert::model::{Classifier, ModelDirectory, Pooling, Precision};
use metabert::params::file::{ModelFileError, read_safetensors};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use safetensors::SafeTensors;
use serde_json::{Value, json};
use tch::{Device, Kind};

use super::mutation::{Bytes, changed, edited};
use super::{Fate, assert_tells, for_all};
use crate::support::fixtures;
use crate::support::run::{copied_model, work_dir};

/// A tensor as a header tells of it.
#[derive(Clone, Debug)]
struct Entry {
    name: String,
    dtype: String,
    shape: Vec<u64>,
}

/// The tensors of the fixture `bert/plain`.
fn entries() -> Vec<Entry> {
    let bytes = fs::read(fixtures::path("bert/plain/model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut entries: Vec<Entry> = tensors
        .iter()
        .map(|(name, view)| Entry {
            name: name.to_owned(),
            dtype: "F32".to_owned(),
            shape: view.shape().iter().map(|&size| size as u64).collect(),
        })
        .collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries
}

/// One change after which a file still is what safetensors calls one.
#[derive(Clone, Debug)]
enum Lie {
    Name(String),
    Dtype(&'static str),
    Shape(Vec<u64>),
    SameNameAs(Index),
    Missing,
}

fn lie() -> impl Strategy<Value = Lie> {
    let dtypes = ["F64", "F16", "BF16", "I64", "I8", "U8", "BOOL", "F8_E4M3", "C64", "f32", ""];
    let size = prop_oneof![
        4 => 0..40_u64,
        1 => select(&[0, 1 << 31, 1 << 32, 1 << 60, 1 << 62, 1 << 63, u64::MAX][..]),
    ];
    let name = prop_oneof![
        1 => any::<String>(),
        1 => select(&["", "caf\u{e9}", "\0", "\u{1b}[31m", "__metadata__", "classifier.weight",
            "encoder.layer.0.output.LayerNorm.gamma", "embeddings.LayerNorm.beta"][..])
            .prop_map(str::to_owned),
        1 => (1..20_000_usize).prop_map(|length| "n".repeat(length)),
    ];
    prop_oneof![
        2 => name.prop_map(Lie::Name),
        3 => select(dtypes.to_vec()).prop_map(Lie::Dtype),
        3 => vec(size, 0..4).prop_map(Lie::Shape),
        1 => any::<Index>().prop_map(Lie::SameNameAs),
        1 => Just(Lie::Missing),
    ]
}

/// The header and the length of the data that belong to tensors.
fn header_of(entries: &[Entry]) -> (Vec<(String, Value)>, usize) {
    let mut end = 0_u64;
    let tensors = entries.iter().map(|entry| {
        let width = match entry.dtype.as_str() {
            "F64" | "I64" | "C64" => 8,
            "F16" | "BF16" => 2,
            "I8" | "U8" | "BOOL" | "F8_E4M3" => 1,
            _ => 4,
        };
        let elements =
            entry.shape.iter().try_fold(width, |product, &size| u64::checked_mul(product, size));
        // What no file could hold is claimed all the same.
        let start = end;
        end = start.saturating_add(elements.unwrap_or(u64::MAX));
        let told =
            json!({"dtype": entry.dtype, "shape": entry.shape, "data_offsets": [start, end]});
        (entry.name.clone(), told)
    });
    let tensors = tensors.collect();
    (tensors, end.min(1 << 20) as usize)
}

/// A file of a header, with the length that is claimed for it, and of data.
fn file_of(header: &str, claimed: Option<u64>, data: usize) -> Vec<u8> {
    let length = claimed.unwrap_or(header.len() as u64);
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + data, 0x3c);
    bytes
}

/// Files whose header is JSON and fits the data, but tells of other tensors than it should.
fn lying_files() -> impl Strategy<Value = Vec<u8>> {
    vec((any::<Index>(), lie()), 0..3).prop_map(|lies| {
        let mut entries = entries();
        for (at, lie) in lies {
            let at = at.index(entries.len());
            match lie {
                Lie::Name(name) => entries[at].name = name,
                Lie::Dtype(dtype) => entries[at].dtype = dtype.to_owned(),
                Lie::Shape(shape) => entries[at].shape = shape,
                Lie::SameNameAs(other) => {
                    entries[at].name = entries[other.index(entries.len())].name.clone();
                }
                Lie::Missing => drop(entries.remove(at)),
            }
        }
        let (tensors, data) = header_of(&entries);
        // By hand, since a name may stand twice.
        let fields = tensors.iter().map(|(name, told)| format!("{}:{told}", json!(name)));
        let header = format!("{{{}}}", fields.collect::<Vec<_>>().join(","));
        file_of(&header, None, data)
    })
}

/// Files with any JSON for a header, and any length claimed for it.
fn broken_files() -> impl Strategy<Value = Vec<u8>> {
    let (tensors, data) = header_of(&entries());
    let header = Value::Object(tensors.into_iter().collect());
    let claimed = select(
        &[None, Some(0), Some(1), Some(1 << 32), Some(1 << 60), Some(u64::MAX), Some(99_999_999)][..],
    );
    let claimed = prop_oneof![4 => Just(None), 1 => claimed];
    (changed(Just(header), 2), claimed)
        .prop_map(move |(header, claimed)| file_of(&header.to_string(), claimed, data))
}

/// Reads the weights of a directory as commands do, for a head of as many labels as there are.
fn read(dir: &Path) -> Result<(), ModelFileError> {
    let directory = ModelDirectory::open(dir)?;
    let weights = directory.read_weights()?;
    let num_labels = directory.num_labels().or(weights.num_head_labels()).unwrap_or(2);
    let classifier =
        Classifier::new(directory.config(), directory.pooling(), num_labels, Precision::Fp32);
    let (params, _) = weights.load(&classifier, 0)?;
    assert!(num_labels > 0, "a head without labels");
    assert_eq!(directory.labels_or_placeholders(num_labels).len(), num_labels);
    for (slot, tensor) in classifier.layout().slots().iter().zip(params.tensors()) {
        assert_eq!(tensor.size(), slot.shape, "{}", slot.name);
        assert_eq!((tensor.kind(), tensor.device()), (Kind::Float, Device::Cpu), "{}", slot.name);
    }
    Ok(())
}

#[test]
fn weights_are_taken_whole_or_refused() {
    let dir = work_dir();
    let named = copied_model(dir.path(), "named");
    let unnamed = copied_model(dir.path(), "unnamed");
    let mut config = crate::support::run::json(&unnamed.join("config.json"));
    drop(config.as_object_mut().unwrap().remove("id2label"));
    fs::write(unnamed.join("config.json"), config.to_string()).unwrap();
    let config = ModelDirectory::open(&named).unwrap().config().clone();
    let layout = Classifier::new(&config, Pooling::Cls, 3, Precision::Fp32).layout().clone();
    let files = prop_oneof![
        2 => lying_files().prop_map(Bytes),
        1 => edited(lying_files(), 2),
        1 => broken_files().prop_map(Bytes),
        1 => edited(broken_files(), 2),
    ];
    for_all((files, any::<bool>()), |(Bytes(bytes), is_named)| {
        let model = if is_named { &named } else { &unnamed };
        let file = model.join("model.safetensors");
        fs::write(&file, bytes).unwrap();
        let about = "named/model.safetensors: ";
        if let Err(error) = read_safetensors(&file, "", &layout) {
            assert_tells(error, about);
        }
        match read(model) {
            Ok(()) => Fate::Taken,
            Err(error) => assert_tells(error, about),
        }
    });
}
