//! From a model directory to weights on a device.

use std::path::Path;

use anyhow::{Context, Result};
use tch::Device;

use super::message::printable;
use crate::checks::{self, Invalid};
use crate::config::{PoolingChoice, PrecisionChoice, RunConfig};
use crate::data::{Dataset, LabelSet, TextTokenizer};
use crate::meta::{HeadStart, Recipe};
use crate::model::weights::Weights;
use crate::model::{Classifier, ModelDirectory, Pooling, Precision};
use crate::params::ParamSet;
use crate::run::checkpoint::{self, with_meta_parameters};
use crate::run::console::Console;
use crate::tasks::HeadRows;

/// A model directory with everything read, before it is known which labels are wanted of it.
pub struct OpenedModel {
    directory: ModelDirectory,
    weights: Weights,
    tokenizer: TextTokenizer,
}

/// A model with its weights on a device.
pub struct LoadedModel {
    /// Where it came from.
    pub directory: ModelDirectory,
    /// The model.
    pub classifier: Classifier,
    /// Its weights.
    pub params: ParamSet,
    /// The labels, by id.
    pub labels: Vec<String>,
    /// The tokenizer.
    pub tokenizer: TextTokenizer,
    /// Whether its head was read, and not drawn from the seed.
    pub has_own_head: bool,
}

impl OpenedModel {
    /// Reads a model directory.
    pub fn open(path: &Path) -> Result<Self> {
        let directory = ModelDirectory::open(path)?;
        let weights = directory.read_weights()?;
        // The shapes that the directory itself promises; what the data asks for comes later.
        let num_labels = directory.num_labels().or(weights.num_head_labels()).unwrap_or(2);
        let (config, pooling) = (directory.config(), directory.pooling());
        weights.check(&Classifier::new(config, pooling, num_labels, Precision::Fp32))?;
        let tokenizer = TextTokenizer::open(directory.encoder_path())?;
        let (rows, found) = (directory.config().vocab_size, tokenizer.max_id());
        let expected = format!("wordpiece ids below {rows}, the rows of the embedding table");
        checks::require(i64::from(found) < rows, path.display(), expected, found)?;
        Ok(Self { directory, weights, tokenizer })
    }

    /// The directory.
    pub fn directory(&self) -> &ModelDirectory {
        &self.directory
    }

    /// Warns of those of `domains` that the model was trained on: its scores there say little about new ones.
    pub fn warn_of_seen_domains<'a>(
        &self,
        domains: impl Iterator<Item = &'a str>,
        console: &Console,
    ) {
        let path = self.directory.path();
        let Some(provenance) = checkpoint::provenance(path) else { return };
        for name in domains.filter(|&name| provenance.seen().any(|seen| seen == name)) {
            console.line(&format!(
                "warning: {name} was a training or meta-dev domain of {}: its scores there say \
                 nothing about new domains",
                path.display()
            ));
        }
    }

    /// The labels that the model commits to: those of its head, under the names of `data.labels`
    /// where these are set; `None` for an encoder without a head.
    pub fn labels(&self, config: &RunConfig) -> Result<Option<Vec<String>>, Invalid> {
        let Some(num_labels) = self.weights.num_head_labels() else { return Ok(None) };
        let named = &config.data.labels;
        if named.is_empty() {
            return Ok(Some(self.directory.labels_or_placeholders(num_labels)));
        }
        let path = self.directory.path().display();
        let expected = format!("{num_labels} labels, those of the head of {path}");
        checks::require(named.len() == num_labels, "data.labels", expected, named.len())?;
        Ok(Some(named.clone()))
    }

    /// Whether the model has a head of its own.
    pub fn has_head(&self) -> bool {
        self.weights.num_head_labels().is_some()
    }

    /// The labels of the head that the model has, or else of one for `dataset`: what evaluations and `finetune` load.
    pub fn own_labels(
        &self,
        dataset: &Dataset,
        config: &RunConfig,
    ) -> Result<Vec<String>, Invalid> {
        Ok(self.labels(config)?.unwrap_or_else(|| dataset.labels.clone()))
    }

    /// Loads the weights, with the meta-parameters of `recipe` where they are to adapt by it, and with a head for `labels`. An
    /// encoder without a head gets one drawn from the seed; another head gives each label that it knows its row, and any other
    /// the mean of its rows.
    pub fn load(
        self,
        labels: &[String],
        config: &RunConfig,
        recipe: Option<&Recipe>,
        device: Device,
        console: &Console,
    ) -> Result<LoadedModel> {
        let own = self.labels(config)?.unwrap_or_else(|| labels.to_vec());
        let Self { directory, weights, tokenizer } = self;
        let has_own_head = weights.num_head_labels().is_some();
        let path = directory.path().display();
        let precision = precision(config, device);
        let positions = directory.config().max_position_embeddings;
        let length = config.data.max_length;
        let expected = format!("at most {positions}, the positions of {path}");
        checks::require(length as i64 <= positions, "data.max_length", expected, length)?;
        if let Some(recipe) = recipe {
            recipe.check_num_layers(directory.config().num_hidden_layers)?;
        }
        let pooling = pooling(config, &directory, &weights)?;
        let classifier = Classifier::new(directory.config(), pooling, own.len(), precision);
        let (params, report) = weights.load(&classifier, config.seed)?;
        let num_parameters = classifier.layout().num_parameters();
        console.detail(&format!(
            "{path}: {num_parameters} parameters, labels {labels:?}, pooling {pooling}, products in {precision:?}"
        ));
        if !report.initialised.is_empty() {
            let names = report.initialised.join(", ");
            console.line(&format!("{path}: initialised from the seed: {names}"));
        }
        if !report.unexpected.is_empty() {
            let names = report.unexpected.join(", ");
            console.line(&printable(&format!("{path}: not used: {names}")));
        }
        let params = params.to_device(device).context("cannot move the model to its device")?;
        let params = match recipe {
            Some(recipe) => {
                let layout = recipe.steps.extend(classifier.layout(), recipe.visit.steps);
                with_meta_parameters(
                    directory.path(),
                    params,
                    &layout,
                    recipe.steps.counts_steps(),
                )?
            }
            None => params,
        };
        let rows = HeadRows::by_name(labels, &own);
        let all = LabelSet::all(labels.len());
        let params = rows.select(&params, classifier.head(), &all, HeadStart::Meta)?;
        let classifier = classifier.with_labels(labels.len());
        let labels = labels.to_vec();
        Ok(LoadedModel { classifier, params, labels, tokenizer, directory, has_own_head })
    }
}

impl LoadedModel {
    /// The rows of the labels of `dataset` in the head.
    pub fn head_rows(&self, dataset: &Dataset) -> HeadRows {
        HeadRows::by_name(&dataset.labels, &self.labels)
    }
}

/// The precision of the matrix products on `device`.
pub fn precision(config: &RunConfig, device: Device) -> Precision {
    match config.precision {
        PrecisionChoice::Auto => Precision::fastest(device),
        PrecisionChoice::Fp32 => Precision::Fp32,
        PrecisionChoice::Bf16 => Precision::Bf16,
    }
}

/// The pooling of a model. A head commits to the one that it was trained with.
fn pooling(
    config: &RunConfig,
    directory: &ModelDirectory,
    weights: &Weights,
) -> Result<Pooling, Invalid> {
    let own = directory.pooling();
    let chosen = match config.model.pooling {
        PoolingChoice::Auto => own,
        PoolingChoice::Cls => Pooling::Cls,
        PoolingChoice::Mean => Pooling::Mean,
    };
    let path = directory.path().display();
    let expected = format!("auto or {own}, which the head of {path} was trained with");
    let fits = chosen == own || weights.num_head_labels().is_none();
    checks::require(fits, "model.pooling", expected, chosen)?;
    Ok(chosen)
}
