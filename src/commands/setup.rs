//! What several commands need before they start: settings, device, model, texts.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tch::Device;

use super::InputError;
use crate::cli::SharedArgs;
use crate::config::{ConfigError, Layer, PrecisionChoice, RunConfig};
use crate::data::split::check_sizes;
use crate::data::{
    Corpus, CrossSideDuplicates, DataError, Dataset, DomainId, DomainPool, EpisodeConfig, Side,
    Split, TextTokenizer, check_leaks, drop_leaks,
};
use crate::model::pretrained::LoadReport;
use crate::model::{Classifier, ModelDirectory, ParamSet, Precision, PretrainedError};
use crate::run::RunDirectory;
use crate::run::checkpoint::SETTINGS_FILE;
use crate::run::console::Console;

/// Adds up the layers of a command: the settings stored with its checkpoint, then `--config`,
/// `--set` and flags; validated. `None` where `--print-config` has been answered.
pub fn configure(
    shared: &SharedArgs,
    flags: Vec<Layer>,
    checkpoint: Option<&Path>,
) -> Result<Option<RunConfig>> {
    let mut layers = Vec::new();
    if let Some(dir) = checkpoint {
        layers.extend(stored_settings(dir)?);
    }
    layers.extend(shared.layers()?);
    layers.extend(flags);
    let config = RunConfig::from_layers(&layers)?;
    config.validate()?;
    if shared.print_config {
        print!("{}", config.to_toml());
        return Ok(None);
    }
    Ok(Some(config))
}

/// The settings a checkpoint was made with; where it ran and the data's place are not among them.
fn stored_settings(dir: &Path) -> Result<Option<Layer>> {
    let path = dir.join(SETTINGS_FILE);
    if !path.exists() {
        return Ok(None);
    }
    let mut layer = Layer::from_file(&path)?;
    for machine_key in ["device", "threads", "precision", "seed"] {
        layer.table.remove(machine_key);
    }
    Ok(Some(layer))
}

/// The model directory that a `--checkpoint` argument means.
pub fn resolve_checkpoint(argument: &Path) -> Result<PathBuf> {
    RunDirectory::resolve(argument).map_err(|error| {
        InputError(format!("{}: cannot be read as a run: {error}", argument.display())).into()
    })
}

/// Sets the number of threads and picks the device; says once why `auto` is not CUDA.
pub fn select_device(config: &RunConfig, console: &Console) -> Result<Device> {
    if config.threads > 0 {
        // More threads than cores only wait for each other, and thousands bring a machine down.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = config.threads;
        if threads > cores {
            let reason =
                format!("threads: expected at most {cores}, the cores here, found {threads}");
            return Err(ConfigError::Invalid(reason).into());
        }
        tch::set_num_threads(threads as i32);
    }
    let (device, reason) = crate::device::select(&config.device)?;
    if let Some(reason) = reason {
        console.line(&format!("computing on the CPU; CUDA is not usable: {reason}"));
    }
    console.detail(&format!("device {device:?}, {} CPU threads", tch::get_num_threads()));
    if device != Device::Cpu {
        // Dropout on CUDA draws from libtorch's own generator.
        tch::manual_seed(config.seed as i64);
    }
    Ok(device)
}

/// A dataset, read and split, with what had to be said about it.
pub struct SplitDataset {
    /// The reviews.
    pub dataset: Dataset,
    /// Their domains by side.
    pub split: Split,
    /// Warnings for people.
    pub warnings: Vec<String>,
}

/// Reads `data.path`.
pub fn read_dataset(config: &RunConfig, labels: &[String]) -> Result<Dataset> {
    if config.data.path.is_empty() {
        return Err(ConfigError::Invalid(
            "data.path: expected the labelled file, found nothing; pass --data FILE".into(),
        )
        .into());
    }
    let labels = if labels.is_empty() { config.data.labels.as_slice() } else { labels };
    Ok(Dataset::read(&config.data.path, labels)?)
}

/// Reads and splits the dataset of a configuration; texts on both sides are refused or dropped.
pub fn read_split(config: &RunConfig, labels: &[String]) -> Result<SplitDataset> {
    let dataset = read_dataset(config, labels)?;
    let split = Split::new(&dataset, &config.data, config.seed)?;
    if config.data.cross_side_duplicates == CrossSideDuplicates::Drop {
        let (dataset, dropped) = drop_leaks(&dataset, &split);
        let mut warnings = check_leaks(&dataset, &split)?;
        if dropped > 0 {
            warnings.push(format!(
                "{}: left out {dropped} texts that stand on a lower-resource side as well",
                config.data.path
            ));
        }
        return Ok(SplitDataset { dataset, split, warnings });
    }
    let warnings = check_leaks(&dataset, &split)?;
    Ok(SplitDataset { dataset, split, warnings })
}

impl SplitDataset {
    /// Requires each of `domains` to hold a support and a query set as `episode` draws them.
    pub fn check_sizes(
        &self,
        domains: &[DomainId],
        episode: &EpisodeConfig,
    ) -> Result<(), DataError> {
        check_sizes(&self.dataset, domains, episode.support, episode.query)
    }

    /// The names of the domains of a side.
    pub fn names(&self, side: Side) -> Vec<&str> {
        self.domains(side).iter().map(|&domain| self.dataset.domain_name(domain)).collect()
    }

    /// The domains of a side.
    pub fn domains(&self, side: Side) -> &[DomainId] {
        self.split.domains(side)
    }
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
}

/// The labels that a model directory commits to: those of its head; none for a bare encoder.
pub fn head_labels(path: &Path) -> Result<Option<Vec<String>>> {
    let directory = ModelDirectory::open(path)?;
    let weights = directory.read_weights()?;
    if !weights.has_head() {
        return Ok(None);
    }
    let labels = directory.labels().map(<[String]>::to_vec);
    labels.map(Some).ok_or_else(|| {
        PretrainedError::Malformed {
            path: path.join("config.json"),
            reason: "the model has a classification head, but `id2label` is missing".into(),
        }
        .into()
    })
}

/// Loads a model with a head for `labels`, which an encoder without one gets drawn from the seed.
pub fn load_model(
    path: &Path,
    labels: &[String],
    config: &RunConfig,
    device: Device,
    console: &Console,
) -> Result<LoadedModel> {
    let directory = ModelDirectory::open(path)?;
    let weights = directory.read_weights()?;
    let precision = match config.precision {
        PrecisionChoice::Auto | PrecisionChoice::Fp32 => Precision::Fp32,
        PrecisionChoice::Bf16 => Precision::Bf16,
    };
    let classifier = Classifier::new(directory.config(), labels.len(), precision);
    if let (true, Some(found)) = (weights.has_head(), directory.labels())
        && found != labels
    {
        return Err(InputError(format!(
            "{}: expected a head for the labels {labels:?}, found one for {found:?}; set \
             data.labels to the model's labels in their order",
            path.display()
        ))
        .into());
    }
    let (params, report) = weights.load(&classifier, config.seed)?;
    let num_parameters = classifier.layout().num_parameters();
    console.detail(&format!("{}: {num_parameters} parameters, labels {labels:?}", path.display()));
    tell_report(path, &report, console);
    let tokenizer = TextTokenizer::open(path)?;
    let vocab_size = directory.config().vocab_size;
    if tokenizer.vocab_size() as i64 > vocab_size {
        return Err(InputError(format!(
            "{}: the tokenizer knows {} wordpieces, and the model has embeddings for {vocab_size}",
            path.display(),
            tokenizer.vocab_size()
        ))
        .into());
    }
    check_max_length(&directory, config)?;
    let params = params.to_device(device).context("cannot move the model to its device")?;
    Ok(LoadedModel { classifier, params, labels: labels.to_vec(), tokenizer, directory })
}

fn check_max_length(directory: &ModelDirectory, config: &RunConfig) -> Result<(), ConfigError> {
    let positions = directory.config().max_position_embeddings;
    if config.data.max_length as i64 > positions {
        return Err(ConfigError::Invalid(format!(
            "data.max_length: expected at most {positions}, the positions of {}, found {}",
            directory.path().display(),
            config.data.max_length
        )));
    }
    Ok(())
}

fn tell_report(path: &Path, report: &LoadReport, console: &Console) {
    if !report.initialised.is_empty() {
        let names = report.initialised.join(", ");
        console.line(&format!("{}: initialised from the seed: {names}", path.display()));
    }
    if !report.unexpected.is_empty() {
        let names = report.unexpected.join(", ");
        console.line(&format!("{}: not used: {names}", path.display()));
    }
}

/// Tokenises a dataset, and says how many texts were truncated.
pub fn tokenise(
    dataset: &Dataset,
    tokenizer: &TextTokenizer,
    config: &RunConfig,
    console: &Console,
) -> Result<Corpus> {
    let corpus = Corpus::new(dataset, tokenizer, config.data.max_length)?;
    let name = dataset.path.display();
    console.detail(&format!("{name}: {} texts, {} wordpieces", corpus.len(), corpus.num_tokens()));
    if corpus.num_truncated() > 0 {
        console.line(&format!(
            "{}: truncated {} of {} texts to {} wordpieces",
            dataset.path.display(),
            corpus.num_truncated(),
            corpus.len(),
            config.data.max_length
        ));
    }
    Ok(corpus)
}

/// The examples of each of `domains`, by label.
pub fn pools(dataset: &Dataset, corpus: &Corpus, domains: &[DomainId]) -> Vec<DomainPool> {
    domains.iter().map(|&domain| corpus.pool(domain, dataset.domain_name(domain))).collect()
}
