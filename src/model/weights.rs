//! The tensors of a model directory under one set of names.
//!
//! They come from safetensors files only; pickled checkpoints are never opened.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::tensor::{SafeTensors, TensorView};

use super::classifier::Classifier;
use super::pooling::Pooling;
use super::sentence_transformers::head_name;
use crate::params::file::{ModelFileError, kind_of, tensor_of};
use crate::params::init::draw_slot;
use crate::params::{ParamSet, Region};

/// The name of a weights file in its folder.
pub const WEIGHTS_FILE: &str = "model.safetensors";

/// What loading found beside the tensors it used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadReport {
    /// Slots that the files lack and that were drawn: of the pooler or the head.
    pub initialised: Vec<String>,
    /// Tensors of the files that the architecture has no place for. A pooler that mean pooling passes over is not among them.
    pub unexpected: Vec<String>,
}

/// The tensors of a model's files under canonical names.
#[derive(Debug)]
pub struct Weights {
    /// The encoder's, and the head's where it has its own.
    files: Vec<TensorFile>,
    /// Canonical name to the place of the tensor.
    places: BTreeMap<String, Place>,
}

/// A safetensors file that has been parsed once.
#[derive(Debug)]
struct TensorFile {
    path: PathBuf,
    bytes: Vec<u8>,
}

/// A tensor: its file by number, and its name there.
#[derive(Clone, Debug)]
struct Place {
    file: usize,
    name: String,
}

impl Weights {
    /// Reads the weights file of the folder `encoder`, and that of the folder `head`.
    ///
    /// # Errors
    /// A missing, unreadable or malformed file.
    pub(super) fn read(encoder: &Path, head: Option<&Path>) -> Result<Self, ModelFileError> {
        let mut weights = Self { files: Vec::new(), places: BTreeMap::new() };
        weights.add(TensorFile::read(encoder)?, canonical)?;
        if let Some(head) = head {
            weights.add(TensorFile::read(head)?, head_name)?;
        }
        Ok(weights)
    }

    fn add(
        &mut self,
        file: TensorFile,
        canonical: fn(&str) -> String,
    ) -> Result<(), ModelFileError> {
        let parsed = SafeTensors::deserialize(&file.bytes).map_err(|error| {
            ModelFileError::new(&file.path, format!("not a complete safetensors file: {error}"))
        })?;
        for name in parsed.names() {
            let place = Place { file: self.files.len(), name: name.to_owned() };
            if let Some(other) = self.places.insert(canonical(name), place) {
                let reason = format!("`{name}` and `{}` are the same tensor", other.name);
                return Err(ModelFileError::new(&file.path, reason));
            }
        }
        let path = file.path.clone();
        self.files.push(file);
        if self.num_head_labels() == Some(0) {
            let reason = "`classifier.weight`: expected a row for each label, found none";
            return Err(ModelFileError::new(&path, reason));
        }
        Ok(())
    }

    /// The labels of the classification head by number; `None` where there is no head.
    pub fn num_head_labels(&self) -> Option<usize> {
        let place = self.places.get("classifier.weight")?;
        tensor(&self.parsed(), place).shape().first().copied()
    }

    /// Requires every tensor that `classifier` needs, in its shape and with a floating dtype.
    ///
    /// # Errors
    /// All that are missing or wrong, in one error.
    pub fn check(&self, classifier: &Classifier) -> Result<(), ModelFileError> {
        let parsed = self.parsed();
        let problems: Vec<String> = classifier
            .layout()
            .slots()
            .iter()
            .filter_map(|slot| match self.places.get(&slot.name) {
                Some(place) => {
                    let problem = kind_of(&tensor(&parsed, place), &slot.shape).err()?;
                    Some(format!("`{}`: {problem}", place.name))
                }
                None if may_be_absent(slot.region) => None,
                None => Some(format!("`{}` {:?} is missing", slot.name, slot.shape)),
            })
            .collect();
        if problems.is_empty() {
            return Ok(());
        }
        Err(ModelFileError::Tensors { path: self.path().into(), problems })
    }

    /// The parameters of `classifier`, float32 on the CPU. What the files lack of the pooler and the head is drawn from
    /// `seed`.
    ///
    /// # Errors
    /// As [`Weights::check`], and too little memory.
    pub fn load(
        &self,
        classifier: &Classifier,
        seed: u64,
    ) -> Result<(ParamSet, LoadReport), ModelFileError> {
        self.check(classifier)?;
        let parsed = self.parsed();
        let mut report = LoadReport::default();
        let mut unused = self.places.clone();
        let mut tensors = Vec::new();
        for slot in classifier.layout().slots() {
            let values = match unused.remove(&slot.name) {
                Some(place) => tensor_of(&tensor(&parsed, &place), &slot.shape),
                None => {
                    report.initialised.push(slot.name.clone());
                    draw_slot(slot, seed).map_err(|error| error.to_string())
                }
            };
            tensors.push(values.map_err(|problem| {
                let problems = vec![format!("`{}`: {problem}", slot.name)];
                ModelFileError::Tensors { path: self.path().into(), problems }
            })?);
        }
        if Pooling::of(classifier.layout()) == Pooling::Mean {
            unused.retain(|name, _| !name.starts_with("bert.pooler."));
        }
        report.unexpected = unused.into_values().map(|place| place.name).collect();
        Ok((ParamSet::new(classifier.layout().clone(), tensors), report))
    }

    /// The encoder's file.
    fn path(&self) -> &Path {
        &self.files[0].path
    }

    fn parsed(&self) -> Vec<SafeTensors<'_>> {
        self.files.iter().map(TensorFile::parsed).collect()
    }
}

impl TensorFile {
    fn read(folder: &Path) -> Result<Self, ModelFileError> {
        let path = folder.join(WEIGHTS_FILE);
        if !path.exists() && folder.join("pytorch_model.bin").exists() {
            return Err(ModelFileError::new(
                &path,
                "not found; pytorch_model.bin is a pickle, which metabert does not open: save the \
                 model with safe_serialization=True",
            ));
        }
        let bytes = fs::read(&path).map_err(|reason| ModelFileError::new(&path, reason))?;
        Ok(Self { path, bytes })
    }

    fn parsed(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).expect("parsed once before")
    }
}

fn tensor<'a>(parsed: &[SafeTensors<'a>], place: &Place) -> TensorView<'a> {
    parsed[place.file].tensor(&place.name).expect("a name of this file")
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

/// Whether an encoder without a task lacks this part.
fn may_be_absent(region: Region) -> bool {
    matches!(region, Region::Pooler | Region::Head)
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
    fn a_head_without_labels_is_refused() {
        let header = r#"{"classifier.weight":{"dtype":"F32","shape":[0,16],"data_offsets":[0,0]}}"#;
        let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(WEIGHTS_FILE), file).unwrap();
        let error = Weights::read(dir.path(), None).unwrap_err().to_string();
        let expected =
            "model.safetensors: `classifier.weight`: expected a row for each label, found none";
        assert!(error.ends_with(expected), "{error}");
    }
}
