//! The directory that `finetune` writes: the model, its settings, its card. No file in it names a folder of this machine.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::loading::LoadedModel;
use super::origin::{Origin, public_name};
use crate::config::RunConfig;
use crate::data::{Dataset, DomainPool, LengthStats};
use crate::eval::cross_validation::Kept;
use crate::eval::model_card::ModelCard;
use crate::files::atomic::write_directory;
use crate::meta::{Choice, HeadStart};
use crate::model::Pooling;
use crate::run::checkpoint::{self, ModelFiles};
use crate::run::{Provenance, manifest};
use crate::torch_ext::TORCH_VERSION;

/// A model adapted to one domain.
pub struct AdaptedModel<'a> {
    /// What it was adapted from.
    pub origin: &'a Origin,
    /// The domain.
    pub domain: &'a str,
    /// The texts adapted to.
    pub pool: &'a DomainPool,
    /// The adaptation in words.
    pub adaptation: String,
    /// What keeps it from doing harm, in words; empty for nothing.
    pub safeguard: String,
    /// Its weights, and how good they are.
    pub kept: &'a Kept,
    /// The lengths of the texts.
    pub lengths: LengthStats,
}

impl AdaptedModel<'_> {
    /// Writes it as a directory of its own. `model` is what it was adapted from.
    pub fn write(
        self,
        out: &Path,
        model: LoadedModel,
        dataset: &Dataset,
        config: &RunConfig,
    ) -> Result<()> {
        let labels = self.pool.labels.names(&dataset.labels);
        let card = ModelCard {
            domain: self.domain,
            origin: &self.origin.name,
            license: self.origin.license.as_deref(),
            languages: &self.origin.languages,
            dataset,
            label_counts: self.pool.label_counts(),
            lengths: self.lengths,
            adaptation: self.adaptation,
            pooling: Pooling::of(model.classifier.layout()),
            max_length: config.data.max_length,
            seed: config.seed,
            safeguard: self.safeguard,
            torch: TORCH_VERSION,
            estimate: self.kept.estimate.as_ref(),
        };
        let card = card.render(out, &labels);
        let files = ModelFiles {
            config_json: model.directory.config_json().clone(),
            labels,
            tokenizer: model.tokenizer,
            max_length: config.data.max_length,
            settings: settings(config).to_toml(),
            provenance: Provenance {
                metabert: env!("CARGO_PKG_VERSION").to_owned(),
                dataset_sha256: dataset.sha256.clone(),
                meta_train: vec![self.domain.to_owned()],
                meta_dev: Vec::new(),
                low_resource: Vec::new(),
                seen_before: checkpoint::seen_domains(model.directory.path()),
            },
        };
        write_directory(out, |dir| -> Result<()> {
            files.write(dir, &self.kept.weights)?;
            // Before the card, which people edit.
            manifest::write(dir)?;
            Ok(fs::write(dir.join("README.md"), &card)?)
        })
        .with_context(|| format!("{}: cannot be written", out.display()))
    }
}

/// The settings of an adapted model: it has a head of its own, which whatever reads it starts from. Whoever reads them has other
/// files.
fn settings(config: &RunConfig) -> RunConfig {
    let mut config = config.clone();
    config.meta.head = HeadStart::Meta.into();
    config.evaluate.head = Choice::Auto;
    config.evaluate.unlabelled = 0;
    for path in [&mut config.model.path, &mut config.data.path] {
        *path = public_name(Path::new(path));
    }
    config
}
