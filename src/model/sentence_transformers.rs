//! Directories of the `sentence_transformers` package: `modules.json` lists an encoder, a pooling, a scaling to length 1, and
//! for a classifier an affine map.
//!
//! `SentenceTransformer(directory).encode(texts)` gives the vectors of an encoder, and the logits of a classifier.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::config::{BertConfig, encoder_json};
use super::json;
use crate::params::file::{ModelFileError, write_safetensors};
use crate::params::{Layout, ParamSet, Region};

/// The file that marks such a directory.
const MODULES_FILE: &str = "modules.json";
const POOLING_FOLDER: &str = "1_Pooling";
const DENSE_FOLDER: &str = "3_Dense";
/// The names of a Dense module's tensors, without their last part.
const DENSE_PREFIX: &str = "linear.";

/// The folders of a directory whose texts are mean-pooled.
#[derive(Clone, Debug)]
pub(super) struct Modules {
    /// The encoder's folder; the directory itself but in old ones.
    pub encoder: PathBuf,
    /// The classification head's folder; `None` for an encoder alone.
    pub head: Option<PathBuf>,
}

/// One entry of `modules.json`.
#[derive(Debug, Deserialize)]
struct Module {
    /// Folder in the directory.
    path: PathBuf,
    /// Class in Python, such as `sentence_transformers.models.Pooling`.
    #[serde(rename = "type")]
    class: String,
}

impl Modules {
    /// The modules of a directory; `None` for one without a list of them.
    ///
    /// # Errors
    /// Modules that metabert does not have.
    pub(super) fn read(directory: &Path) -> Result<Option<Self>, ModelFileError> {
        let file = directory.join(MODULES_FILE);
        if !file.exists() {
            return Ok(None);
        }
        let modules: Vec<Module> = json::read(&file, "a list of modules")?;
        let is_inside =
            |path: &Path| path.components().all(|it| matches!(it, Component::Normal(_)));
        if let Some(outside) = modules.iter().find(|module| !is_inside(&module.path)) {
            let found = outside.path.display();
            let reason = format!("expected folders beside the file, found \"{found}\"");
            return Err(ModelFileError::new(&file, reason));
        }
        let classes: Vec<&str> = modules.iter().map(|module| last_part(&module.class)).collect();
        let has_head = match classes.as_slice() {
            ["Transformer", "Pooling"] | ["Transformer", "Pooling", "Normalize"] => false,
            ["Transformer", "Pooling", "Normalize", "Dense"] => true,
            _ => {
                let reason = format!(
                    "expected the modules Transformer, Pooling, Normalize, and Dense for a classifier, found {}; \
                     without this file the encoder is read as plain BERT",
                    classes.join(", ")
                );
                return Err(ModelFileError::new(&file, reason));
            }
        };
        // Collecting the parts drops the slash that joining an empty path leaves.
        let folder = |index: usize| -> PathBuf {
            directory.join(&modules[index].path).components().collect()
        };
        check_pooling(&folder(1).join("config.json"))?;
        let head = has_head.then(|| folder(3));
        if let Some(head) = &head {
            check_dense(&head.join("config.json"))?;
        }
        Ok(Some(Self { encoder: folder(0), head }))
    }
}

/// The class of a Python module path, or the path itself.
fn last_part(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

fn check_pooling(file: &Path) -> Result<(), ModelFileError> {
    let config: Map<String, Value> = json::read(file, "a JSON object")?;
    let modes = config.iter().filter(|(key, _)| key.starts_with("pooling_mode_"));
    let modes: Vec<&str> =
        modes.filter(|(_, is_set)| **is_set == true).map(|(key, _)| key.as_str()).collect();
    if modes == ["pooling_mode_mean_tokens"] {
        return Ok(());
    }
    let reason = format!(
        "expected pooling_mode_mean_tokens, the only mode that metabert has, found {modes:?}; without {MODULES_FILE} the \
         encoder is read as plain BERT"
    );
    Err(ModelFileError::new(file, reason))
}

fn check_dense(file: &Path) -> Result<(), ModelFileError> {
    let config: Map<String, Value> = json::read(file, "a JSON object")?;
    let activation = config.get("activation_function").and_then(Value::as_str).unwrap_or("none");
    if last_part(activation) != "Identity" {
        let reason = format!("expected the activation Identity, found {activation}");
        return Err(ModelFileError::new(file, reason));
    }
    if config.get("bias").is_some_and(|has_bias| has_bias == false) {
        return Err(ModelFileError::new(file, "expected a Dense with a bias, found one without"));
    }
    Ok(())
}

/// The classifier's name of a tensor in a Dense module's file.
pub(super) fn head_name(name: &str) -> String {
    match name.strip_prefix(DENSE_PREFIX) {
        Some(part) => format!("classifier.{part}"),
        None => name.to_owned(),
    }
}

/// Writes a classifier with mean pooling and these labels into the existing directory `dir`, apart from its tokenizer.
/// `config_json` is the one that it descends from.
///
/// # Errors
/// Any error of the file system.
pub(super) fn save(
    dir: &Path,
    params: &ParamSet,
    config_json: &Map<String, Value>,
    labels: &[String],
) -> io::Result<()> {
    let config = BertConfig::from_json(config_json).map_err(io::Error::other)?;
    let write =
        |file: &str, value: Value| fs::write(dir.join(file), serde_json::to_vec_pretty(&value)?);
    let module = |index: usize, path: &str, class: &str| {
        json!({
            "idx": index,
            "name": index.to_string(),
            "path": path,
            "type": format!("sentence_transformers.models.{class}"),
        })
    };
    let modules = [
        module(0, "", "Transformer"),
        module(1, POOLING_FOLDER, "Pooling"),
        module(2, "2_Normalize", "Normalize"),
        module(3, DENSE_FOLDER, "Dense"),
    ];
    fs::create_dir(dir.join(POOLING_FOLDER))?;
    fs::create_dir(dir.join(DENSE_FOLDER))?;
    write(MODULES_FILE, modules.to_vec().into())?;
    write("config.json", encoder_json(config_json, labels).into())?;
    write(
        &format!("{POOLING_FOLDER}/config.json"),
        json!({
            "word_embedding_dimension": config.hidden_size,
            "pooling_mode_cls_token": false,
            "pooling_mode_mean_tokens": true,
            "pooling_mode_max_tokens": false,
            "pooling_mode_mean_sqrt_len_tokens": false,
        }),
    )?;
    write(
        &format!("{DENSE_FOLDER}/config.json"),
        json!({
            "in_features": config.hidden_size,
            "out_features": labels.len(),
            "bias": true,
            "activation_function": "torch.nn.modules.linear.Identity",
        }),
    )?;
    let encoder = part(params, |region| region != Region::Head, "bert.", "");
    write_safetensors(&dir.join("model.safetensors"), &[("", &encoder)])?;
    let head = part(params, |region| region == Region::Head, "classifier.", DENSE_PREFIX);
    write_safetensors(&dir.join(DENSE_FOLDER).join("model.safetensors"), &[("", &head)])
}

/// Writes the number of wordpieces that texts are cut to.
///
/// # Errors
/// Any error of the file system.
pub(super) fn write_max_length(dir: &Path, max_length: usize) -> io::Result<()> {
    let config = json!({ "max_seq_length": max_length, "do_lower_case": false });
    fs::write(dir.join("sentence_bert_config.json"), serde_json::to_vec_pretty(&config)?)
}

/// The tensors of some regions, with another beginning of their names.
fn part(params: &ParamSet, includes: fn(Region) -> bool, old: &str, new: &str) -> ParamSet {
    let chosen = params.select(|slot| includes(slot.region));
    let mut layout = Layout::default();
    for slot in chosen.layout().slots() {
        let name = slot.name.strip_prefix(old).expect("every name of the region begins with it");
        layout.register(format!("{new}{name}"), slot.region, &slot.shape, slot.init);
    }
    let tensors = chosen.tensors().iter().map(|tensor| tensor.shallow_clone()).collect();
    ParamSet::new(Arc::new(layout), tensors)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reading of a directory with these modules, this set pooling mode and this Dense.
    fn read(classes: &[&str], mode: &str, dense: Value) -> Result<Option<Modules>, String> {
        let dir = tempfile::tempdir().unwrap();
        let write = |folder: &str, value: Value| {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
            fs::write(dir.path().join(folder).join("config.json"), value.to_string()).unwrap();
        };
        let modules: Vec<Value> = classes
            .iter()
            .enumerate()
            .map(|(index, class)| json!({ "path": format!("{index}_{class}"), "type": format!("a.b.{class}") }))
            .collect();
        fs::write(dir.path().join(MODULES_FILE), Value::from(modules).to_string()).unwrap();
        write("1_Pooling", json!({ "pooling_mode_mean_tokens": false, mode: true }));
        write("3_Dense", dense);
        let strip = |path: PathBuf| path.strip_prefix(dir.path()).unwrap().to_owned();
        let found = Modules::read(dir.path()).map_err(|error| error.to_string())?;
        Ok(found.map(|it| Modules { encoder: strip(it.encoder), head: it.head.map(strip) }))
    }

    const ALL: [&str; 4] = ["Transformer", "Pooling", "Normalize", "Dense"];
    const MEAN: &str = "pooling_mode_mean_tokens";

    #[test]
    fn encoder_and_head_are_in_the_folders_of_their_modules() {
        let dense = || json!({ "bias": true, "activation_function": "torch.nn.Identity" });
        let found = read(&ALL, MEAN, dense()).unwrap().unwrap();
        assert_eq!(found.encoder, Path::new("0_Transformer"));
        assert_eq!(found.head, Some("3_Dense".into()));
        for count in [2, 3] {
            assert_eq!(read(&ALL[..count], MEAN, dense()).unwrap().unwrap().head, None);
        }
    }

    #[test]
    fn modules_that_metabert_does_not_have_are_refused() {
        let dense = |activation: &str| json!({ "activation_function": activation });
        let identity = || dense("torch.nn.modules.linear.Identity");
        let fails = |found: Result<Option<Modules>, String>, expected: &str| {
            let error = found.unwrap_err();
            assert!(error.contains(expected), "expected \"{expected}\", found \"{error}\"");
        };
        let other = ["Transformer", "Pooling", "Dense"];
        fails(read(&other, MEAN, identity()), "found Transformer, Pooling, Dense");
        fails(read(&[], MEAN, identity()), "modules.json: expected the modules Transformer, ");
        let mode = "pooling_mode_cls_token";
        fails(
            read(&ALL, mode, identity()),
            "the only mode that metabert has, found [\"pooling_mode_cls",
        );
        let tanh = dense("torch.nn.modules.activation.Tanh");
        fails(read(&ALL, MEAN, tanh), "expected the activation Identity, found torch.nn.");
        let biasless = json!({ "bias": false, "activation_function": "torch.nn.Identity" });
        fails(read(&ALL, MEAN, biasless), "expected a Dense with a bias");
    }

    #[test]
    fn folders_lie_in_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let modules = json!([{ "path": "../elsewhere", "type": "Transformer" }]);
        fs::write(dir.path().join(MODULES_FILE), modules.to_string()).unwrap();
        let error = Modules::read(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains("expected folders beside the file, found \"../elsewhere\""),
            "{error}"
        );
    }
}
