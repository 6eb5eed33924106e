//! Model directories in the Hugging Face form: `config.json` and `model.safetensors`.
//!
//! Weights come from safetensors only; pickled checkpoints are never opened.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView, View};
use serde_json::{Map, Value};
use tch::{Device, Kind, TchError, Tensor};
use thiserror::Error;

use super::classifier::Classifier;
use super::config::{BertConfig, classifier_json, labels_of};
use super::init::draw_slot;
use super::params::ParamSet;

/// What is wrong with a model directory.
#[derive(Debug, Error)]
pub enum PretrainedError {
    /// No such directory.
    #[error("{path}: expected a model directory, found {found}")]
    NotADirectory {
        /// The path asked for.
        path: PathBuf,
        /// What is there.
        found: &'static str,
    },
    /// A file of the directory can't be read.
    #[error("{path}: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words, or what to do.
        reason: String,
    },
    /// A file of the directory is not what it should be.
    #[error("{path}: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was expected and found.
        reason: String,
    },
    /// Tensors are missing or have another shape than the architecture in `config.json` asks for.
    #[error("{path}: {}", summarise(problems))]
    Tensors {
        /// The weights file.
        path: PathBuf,
        /// One line a tensor.
        problems: Vec<String>,
    },
}

fn summarise(problems: &[String]) -> String {
    const SHOWN: usize = 20;
    if let [only] = problems {
        return only.clone();
    }
    let mut text = format!("{} tensors do not fit config.json:", problems.len());
    for problem in problems.iter().take(SHOWN) {
        text += &format!("\n  {problem}");
    }
    if problems.len() > SHOWN {
        text += &format!("\n  ... and {} more", problems.len() - SHOWN);
    }
    text
}

/// What loading found beside the tensors it used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadReport {
    /// Slots that the file lacks and that were drawn: of the pooler or the head.
    pub initialised: Vec<String>,
    /// Tensors of the file that the architecture has no place for.
    pub unexpected: Vec<String>,
}

/// A model directory whose `config.json` has been read.
#[derive(Clone, Debug)]
pub struct ModelDirectory {
    path: PathBuf,
    config_json: Map<String, Value>,
    config: BertConfig,
    labels: Option<Vec<String>>,
}

impl ModelDirectory {
    /// Opens a directory and reads its `config.json`.
    ///
    /// # Errors
    /// A missing directory or file, and a `config.json` that describes no BERT.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, PretrainedError> {
        let path = path.as_ref();
        if !path.is_dir() {
            let found = if path.exists() { "a file" } else { "nothing" };
            return Err(PretrainedError::NotADirectory { path: path.into(), found });
        }
        let file = path.join("config.json");
        let config_json = read_json_object(&file)?;
        let malformed = |reason| PretrainedError::Malformed { path: file.clone(), reason };
        let config = BertConfig::from_json(&config_json).map_err(malformed)?;
        let labels = labels_of(&config_json).map_err(malformed)?;
        Ok(Self { path: path.into(), config_json, config, labels })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The architecture.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// `config.json` as it is.
    pub fn config_json(&self) -> &Map<String, Value> {
        &self.config_json
    }

    /// The labels named by `id2label`. An encoder without a head may carry placeholders here:
    /// see [`Weights::has_head`].
    pub fn labels(&self) -> Option<&[String]> {
        self.labels.as_deref()
    }

    /// Reads `model.safetensors`.
    ///
    /// # Errors
    /// A missing, unreadable or malformed file.
    pub fn read_weights(&self) -> Result<Weights, PretrainedError> {
        let file = self.path.join("model.safetensors");
        if !file.exists() && self.path.join("pytorch_model.bin").exists() {
            return Err(PretrainedError::Unreadable {
                path: file,
                reason: "not found; pytorch_model.bin is a pickle, which metabert does not open: \
                         save the model with safe_serialization=True"
                    .into(),
            });
        }
        let bytes = fs::read(&file).map_err(|error| PretrainedError::Unreadable {
            path: file.clone(),
            reason: error.to_string(),
        })?;
        Weights::parse(file, bytes)
    }
}

fn read_json_object(path: &Path) -> Result<Map<String, Value>, PretrainedError> {
    let text = fs::read(path).map_err(|error| PretrainedError::Unreadable {
        path: path.into(),
        reason: error.to_string(),
    })?;
    serde_json::from_slice(&text).map_err(|error| PretrainedError::Malformed {
        path: path.into(),
        reason: format!("expected a JSON object: {error}"),
    })
}

/// The tensors of a weights file under canonical names.
#[derive(Debug)]
pub struct Weights {
    path: PathBuf,
    bytes: Vec<u8>,
    /// Canonical name to the name in the file.
    names: BTreeMap<String, String>,
}

impl Weights {
    fn parse(path: PathBuf, bytes: Vec<u8>) -> Result<Self, PretrainedError> {
        let malformed = |reason: String| PretrainedError::Malformed { path: path.clone(), reason };
        let file = SafeTensors::deserialize(&bytes)
            .map_err(|error| malformed(format!("not a complete safetensors file: {error}")))?;
        let mut names = BTreeMap::new();
        for name in file.names() {
            if let Some(other) = names.insert(canonical(name), name.to_owned()) {
                return Err(malformed(format!("`{name}` and `{other}` are the same tensor")));
            }
        }
        Ok(Self { path, bytes, names })
    }

    /// Whether the file holds a classification head.
    pub fn has_head(&self) -> bool {
        self.names.contains_key("classifier.weight")
    }

    /// The parameters of `classifier`, float32 on the CPU. What the file lacks of the pooler and
    /// the head is drawn from `seed`.
    ///
    /// # Errors
    /// All tensors that are missing elsewhere or have the wrong shape or dtype, in one error.
    pub fn load(
        &self,
        classifier: &Classifier,
        seed: u64,
    ) -> Result<(ParamSet, LoadReport), PretrainedError> {
        let file = SafeTensors::deserialize(&self.bytes).expect("parsed once before");
        let mut report = LoadReport::default();
        let mut problems = Vec::new();
        let mut unused: BTreeMap<&str, &str> =
            self.names.iter().map(|(name, original)| (name.as_str(), original.as_str())).collect();
        let mut tensors = Vec::new();
        for slot in classifier.layout().slots() {
            match unused.remove(slot.name.as_str()) {
                Some(original) => {
                    let view = file.tensor(original).expect("a name of this file");
                    match tensor_of(&view, &slot.shape) {
                        Ok(tensor) => tensors.push(tensor),
                        Err(reason) => problems.push(format!("`{original}`: {reason}")),
                    }
                }
                None if may_be_absent(&slot.name) => {
                    report.initialised.push(slot.name.clone());
                    tensors.push(draw_slot(slot, seed));
                }
                None => problems.push(format!("`{}` {:?} is missing", slot.name, slot.shape)),
            }
        }
        if !problems.is_empty() {
            return Err(PretrainedError::Tensors { path: self.path.clone(), problems });
        }
        report.unexpected = unused.into_values().map(str::to_owned).collect();
        Ok((ParamSet::new(classifier.layout().clone(), tensors), report))
    }
}

/// The one name under which a tensor is known: with the `bert.` prefix, and with `weight` and
/// `bias` where files converted from TensorFlow say `gamma` and `beta`.
fn canonical(name: &str) -> String {
    let mut name = name.to_owned();
    if ["embeddings.", "encoder.", "pooler."].iter().any(|part| name.starts_with(part)) {
        name.insert_str(0, "bert.");
    }
    for (old, new) in [(".gamma", ".weight"), (".beta", ".bias")] {
        if let Some(stem) = name.strip_suffix(old) {
            name = format!("{stem}{new}");
        }
    }
    name
}

fn may_be_absent(name: &str) -> bool {
    name.starts_with("classifier.") || name.starts_with("bert.pooler.")
}

fn tensor_of(view: &TensorView, expected: &[i64]) -> Result<Tensor, String> {
    let shape: Vec<i64> = view.shape().iter().map(|&size| size as i64).collect();
    if shape != expected {
        return Err(format!("expected shape {expected:?}, found {shape:?}"));
    }
    let kind = match view.dtype() {
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        other => return Err(format!("expected a floating dtype, found {other:?}")),
    };
    let tensor = Tensor::f_from_data_size(view.data(), &shape, kind)
        .and_then(|tensor| tensor.f_to_kind(Kind::Float));
    tensor.map_err(|error| error.to_string())
}

/// Writes `config.json` and `model.safetensors` of a classifier with these labels into the
/// existing directory `dir`, and makes both durable. `config_json` is the one it descends from.
///
/// # Errors
/// Any error of the file system.
pub fn save(
    dir: &Path,
    params: &ParamSet,
    config_json: &Map<String, Value>,
    labels: &[String],
) -> std::io::Result<()> {
    let json = serde_json::to_vec_pretty(&classifier_json(config_json, labels))?;
    fs::write(dir.join("config.json"), json)?;
    write_safetensors(&dir.join("model.safetensors"), &[("", params)])?;
    File::open(dir.join("config.json"))?.sync_all()
}

/// Writes parameter sets into one durable safetensors file, each tensor's name behind its set's
/// prefix.
///
/// # Errors
/// Any error of the file system.
pub fn write_safetensors(path: &Path, sets: &[(&str, &ParamSet)]) -> std::io::Result<()> {
    let views = sets.iter().flat_map(|(prefix, params)| {
        params.iter().map(move |(name, tensor)| (format!("{prefix}{name}"), OwnedView::new(tensor)))
    });
    // transformers refuses files without this mark.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize_to_file(views, Some(metadata), path)
        .map_err(|error| std::io::Error::other(format!("{}: {error}", path.display())))?;
    File::open(path)?.sync_all()
}

/// Reads back one set of [`write_safetensors`], in the file's dtype, on the CPU.
///
/// # Errors
/// An unreadable or malformed file, and missing or mis-shaped tensors.
pub fn read_safetensors(
    path: &Path,
    prefix: &str,
    layout: &std::sync::Arc<super::Layout>,
) -> Result<ParamSet, PretrainedError> {
    let bytes = fs::read(path).map_err(|error| PretrainedError::Unreadable {
        path: path.into(),
        reason: error.to_string(),
    })?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| PretrainedError::Malformed {
        path: path.into(),
        reason: format!("not a complete safetensors file: {error}"),
    })?;
    let mut problems = Vec::new();
    let mut tensors = Vec::new();
    for slot in layout.slots() {
        let name = format!("{prefix}{}", slot.name);
        let tensor = file
            .tensor(&name)
            .map_err(|_| "is missing".to_owned())
            .and_then(|view| tensor_of(&view, &slot.shape));
        match tensor {
            Ok(tensor) => tensors.push(tensor),
            Err(reason) => problems.push(format!("`{name}`: {reason}")),
        }
    }
    if !problems.is_empty() {
        return Err(PretrainedError::Tensors { path: path.into(), problems });
    }
    Ok(ParamSet::new(layout.clone(), tensors))
}

/// A tensor whose bytes are fetched from its device when they are written.
struct OwnedView {
    tensor: Tensor,
    shape: Vec<usize>,
    dtype: Dtype,
}

impl OwnedView {
    fn new(tensor: &Tensor) -> Self {
        let dtype = match tensor.kind() {
            Kind::Double => Dtype::F64,
            _ => Dtype::F32,
        };
        let shape = tensor.size().iter().map(|&size| size as usize).collect();
        Self { tensor: tensor.detach(), shape, dtype }
    }

    fn bytes(&self) -> Result<Vec<u8>, TchError> {
        let kind = if self.dtype == Dtype::F64 { Kind::Double } else { Kind::Float };
        let tensor = self.tensor.f_to_device(Device::Cpu)?.f_to_kind(kind)?.f_contiguous()?;
        let mut bytes = vec![0; self.data_len()];
        tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
        Ok(bytes)
    }
}

impl View for OwnedView {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        // The trait has no way to report an error, and a tensor that could be computed with can be
        // copied.
        Cow::Owned(self.bytes().expect("a tensor's bytes can be copied"))
    }

    fn data_len(&self) -> usize {
        let width = if self.dtype == Dtype::F64 { 8 } else { 4 };
        self.shape.iter().product::<usize>() * width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_bare_names_are_canonical() {
        for (found, expected) in [
            ("embeddings.LayerNorm.gamma", "bert.embeddings.LayerNorm.weight"),
            (
                "bert.encoder.layer.0.output.LayerNorm.beta",
                "bert.encoder.layer.0.output.LayerNorm.bias",
            ),
            ("pooler.dense.weight", "bert.pooler.dense.weight"),
            ("bert.pooler.dense.weight", "bert.pooler.dense.weight"),
            ("classifier.bias", "classifier.bias"),
            ("cls.predictions.bias", "cls.predictions.bias"),
        ] {
            assert_eq!(canonical(found), expected);
        }
    }

    #[test]
    fn written_bits_are_read_back() {
        let config = BertConfig {
            vocab_size: 11,
            hidden_size: 4,
            num_hidden_layers: 1,
            num_attention_heads: 2,
            intermediate_size: 8,
            max_position_embeddings: 6,
            ..BertConfig::default()
        };
        let classifier = Classifier::new(&config, 3, super::super::Precision::Fp32);
        let params = super::super::init::draw(classifier.layout(), 1);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("state.safetensors");
        write_safetensors(&file, &[("m.", &params), ("v.", &params)]).unwrap();
        let read = read_safetensors(&file, "v.", classifier.layout()).unwrap();
        assert!(params.tensors().iter().zip(read.tensors()).all(|(a, b)| a.equal(b)));
        let error = read_safetensors(&file, "w.", classifier.layout()).unwrap_err().to_string();
        assert!(
            error.contains("`w.bert.embeddings.word_embeddings.weight`: is missing"),
            "{error}"
        );
    }
}
