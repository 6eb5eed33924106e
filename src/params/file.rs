//! Parameter sets in safetensors files.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, View};
use tch::{Device, Kind, TchError, Tensor};
use thiserror::Error;

use super::layout::Layout;
use super::set::ParamSet;

/// A file of a model that cannot be used.
#[derive(Debug, Error)]
pub enum ModelFileError {
    /// It cannot be read, or holds something else.
    #[error("{path}: {reason}")]
    Unusable {
        /// The file, or the directory that should hold it.
        path: PathBuf,
        /// The system's words, or what was expected and found.
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

impl ModelFileError {
    /// `path` cannot be used, for this reason.
    pub fn new(path: &Path, reason: impl ToString) -> Self {
        Self::Unusable { path: path.into(), reason: reason.to_string() }
    }
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

/// Writes parameter sets into one durable safetensors file, each tensor under its set's prefix
/// and its own name.
///
/// # Errors
/// Any error of the file system or of libtorch; the file is incomplete then.
pub fn write_safetensors(path: &Path, sets: &[(&str, &ParamSet)]) -> std::io::Result<()> {
    let failure = RefCell::new(None);
    let view = |tensor: &Tensor| OwnedView::new(tensor, &failure);
    let views = sets.iter().flat_map(|(prefix, params)| {
        params.iter().map(move |(name, tensor)| (format!("{prefix}{name}"), view(tensor)))
    });
    // transformers refuses files without this mark.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let failed =
        |error: &dyn Display| std::io::Error::other(format!("{}: {error}", path.display()));
    safetensors::serialize_to_file(views, Some(metadata), path).map_err(|error| failed(&error))?;
    if let Some(error) = failure.into_inner() {
        return Err(failed(&error));
    }
    File::open(path)?.sync_all()
}

/// Reads back one set of [`write_safetensors`], in the file's dtype, on the CPU.
///
/// # Errors
/// An unreadable or malformed file, and missing or mis-shaped tensors.
pub fn read_safetensors(
    path: &Path,
    prefix: &str,
    layout: &Arc<Layout>,
) -> Result<ParamSet, ModelFileError> {
    let bytes = fs::read(path).map_err(|reason| ModelFileError::new(path, reason))?;
    let file = parsed(path, &bytes)?;
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
        return Err(ModelFileError::Tensors { path: path.into(), problems });
    }
    Ok(ParamSet::new(layout.clone(), tensors))
}

/// Reads every tensor of a file of [`write_safetensors`] by name, float32 on the CPU.
///
/// # Errors
/// An unreadable or malformed file.
pub fn read_tensors(path: &Path) -> Result<BTreeMap<String, Tensor>, ModelFileError> {
    let bytes = fs::read(path).map_err(|reason| ModelFileError::new(path, reason))?;
    let file = parsed(path, &bytes)?;
    let tensor = |(name, view): (String, TensorView)| {
        let shape: Vec<i64> = view.shape().iter().map(|&size| size as i64).collect();
        let tensor = tensor_of(&view, &shape);
        let tensor =
            tensor.map_err(|reason| ModelFileError::new(path, format!("`{name}`: {reason}")));
        Ok((name, tensor?))
    };
    file.tensors().into_iter().map(tensor).collect()
}

fn parsed<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>, ModelFileError> {
    SafeTensors::deserialize(bytes)
        .map_err(|error| format!("not a complete safetensors file: {error}"))
        .map_err(|reason| ModelFileError::new(path, reason))
}

/// A tensor whose bytes are fetched from its device when they are written.
struct OwnedView<'f> {
    tensor: Tensor,
    shape: Vec<usize>,
    dtype: Dtype,
    /// Where the first error is left: the trait that gives the bytes away cannot report one.
    failure: &'f RefCell<Option<TchError>>,
}

impl<'f> OwnedView<'f> {
    fn new(tensor: &Tensor, failure: &'f RefCell<Option<TchError>>) -> Self {
        let dtype = match tensor.kind() {
            Kind::Double => Dtype::F64,
            _ => Dtype::F32,
        };
        let shape = tensor.size().iter().map(|&size| size as usize).collect();
        Self { tensor: tensor.detach(), shape, dtype, failure }
    }

    fn bytes(&self) -> Result<Vec<u8>, TchError> {
        let kind = if self.dtype == Dtype::F64 { Kind::Double } else { Kind::Float };
        let tensor = self.tensor.f_to_device(Device::Cpu)?.f_to_kind(kind)?.f_contiguous()?;
        let mut bytes = vec![0; self.data_len()];
        tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
        Ok(bytes)
    }
}

impl View for OwnedView<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.bytes().unwrap_or_else(|error| {
            self.failure.borrow_mut().get_or_insert(error);
            Vec::new()
        }))
    }

    fn data_len(&self) -> usize {
        let width = if self.dtype == Dtype::F64 { 8 } else { 4 };
        self.shape.iter().product::<usize>() * width
    }
}

/// The dtype of a tensor that has the expected shape.
pub fn kind_of(view: &TensorView, expected: &[i64]) -> Result<Kind, String> {
    let shape: Vec<i64> = view.shape().iter().map(|&size| size as i64).collect();
    if shape != expected {
        return Err(format!("expected shape {expected:?}, found {shape:?}"));
    }
    match view.dtype() {
        Dtype::F32 => Ok(Kind::Float),
        Dtype::F64 => Ok(Kind::Double),
        Dtype::F16 => Ok(Kind::Half),
        Dtype::BF16 => Ok(Kind::BFloat16),
        other => Err(format!("expected a floating dtype, found {other:?}")),
    }
}

/// The values of a tensor that has the expected shape and a floating dtype, float32 on the CPU.
///
/// # Errors
/// The reason, without the tensor's name.
pub fn tensor_of(view: &TensorView, expected: &[i64]) -> Result<Tensor, String> {
    let kind = kind_of(view, expected)?;
    Tensor::f_from_data_size(view.data(), expected, kind)
        .and_then(|tensor| tensor.f_to_kind(Kind::Float))
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{Init, Region, init};

    #[test]
    fn written_bits_are_read_back() {
        let mut layout = Layout::default();
        layout.register("a.weight", Region::Layer(0), &[11, 4], Init::Normal(0.02));
        layout.register("a.bias", Region::Layer(0), &[11], Init::Ones);
        layout.register("b", Region::Head, &[3, 1, 2], Init::Zeros);
        let layout = Arc::new(layout);
        let params = init::draw(&layout, 1).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("state.safetensors");
        write_safetensors(&file, &[("m.", &params), ("v.", &params)]).unwrap();
        let read = read_safetensors(&file, "v.", &layout).unwrap();
        assert!(params.tensors().iter().zip(read.tensors()).all(|(a, b)| a.equal(b)));
        let error = read_safetensors(&file, "w.", &layout).unwrap_err().to_string();
        assert!(error.contains("`w.a.weight`: is missing"), "{error}");
    }

    #[test]
    fn a_tensor_that_cannot_be_copied_is_an_error_and_no_panic() {
        let mut layout = Layout::default();
        layout.register("a", Region::Head, &[2, 2], Init::Ones);
        let sparse = Tensor::eye(2, (Kind::Float, Device::Cpu)).to_sparse_sparse_dim(2);
        let params = ParamSet::new(Arc::new(layout), vec![sparse]);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.safetensors");
        let error = write_safetensors(&file, &[("", &params)]).unwrap_err().to_string();
        assert!(error.contains("a.safetensors: Internal torch error: "), "{error}");
    }
}
