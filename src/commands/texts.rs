//! From the configuration to a dataset, split and tokenised.

use std::collections::HashSet;
use std::path::Path;

use anyhow::Result;

use crate::checks::{self, Invalid};
use crate::config::RunConfig;
use crate::data::unlabelled::{Source, TextForm};
use crate::data::{
    self, DataError, Dataset, DomainId, DomainPool, EpisodeConfig, EpisodeSampler, LabelRules,
    QuerySize, Settled, Side, Split, keep_sides_apart, settle, settle_domains, without_gaps,
};
use crate::run::console::Console;

/// The most texts without labels: all of them are in memory.
const MAX_UNLABELLED_BYTES: usize = 64 << 20;

/// Reads `data.path`. Where its domains share their labels, these are those of `head`, which a model commits to, or else
/// of `data.labels`, or else of the file. Where label sets differ by domain, a model does not bind them.
pub fn read(config: &RunConfig, head: Option<&[String]>) -> Result<Dataset> {
    if config.data.path.is_empty() {
        return Err(Invalid(
            "data.path: expected the labelled file, found nothing; pass --data FILE".into(),
        )
        .into());
    }
    let rules = LabelRules {
        label_sets: config.data.label_sets,
        named: &config.data.labels,
        head,
        by_domain: &config.labels,
    };
    Ok(Dataset::read_by(&config.data.path, config.data.record_rules(), &rules)?)
}

/// Reads the dataset and settles its domains, for what needs no split.
pub fn read_settled(
    config: &RunConfig,
    head: Option<&[String]>,
    console: &Console,
) -> Result<Dataset> {
    let mut warnings = Vec::new();
    let dataset = settle_domains(read(config, head)?, &config.data, &mut warnings)?;
    show(&warnings, console);
    Ok(dataset)
}

/// Reads the dataset as it is in its file, but for what the configuration leaves out of it.
pub fn read_without_gaps(config: &RunConfig, console: &Console) -> Result<Dataset> {
    let mut warnings = Vec::new();
    let dataset = without_gaps(read(config, None)?, &config.data, &mut warnings)?;
    show(&warnings, console);
    Ok(dataset)
}

/// Reads the dataset, settles it and splits it, and writes what was chosen into the configuration: a run stores and
/// repeats the split itself.
pub fn read_split(
    config: &mut RunConfig,
    head: Option<&[String]>,
    console: &Console,
) -> Result<(Dataset, Split)> {
    let settled = settle(read(config, head)?, &config.data, config.seed)?;
    settled.pin(&mut config.data);
    let Settled { dataset, split, warnings, .. } = settled;
    show(&warnings, console);
    for side in Side::ALL {
        console.detail(&format!("{side}: {}", dataset.names_of(split.domains(side)).join(", ")));
    }
    Ok((dataset, split))
}

/// Refuses texts on two sides of a split, or leaves them out where the configuration says so.
pub fn settle_leaks(
    dataset: Dataset,
    split: &Split,
    config: &RunConfig,
    console: &Console,
) -> Result<Dataset> {
    let mut warnings = Vec::new();
    let dataset = keep_sides_apart(dataset, split, &config.data, &mut warnings)?;
    show(&warnings, console);
    Ok(dataset)
}

fn show(warnings: &[String], console: &Console) {
    warnings.iter().for_each(|warning| console.line(&format!("warning: {warning}")));
}

/// The domain of this name.
pub fn named_domain(dataset: &Dataset, name: &str) -> Result<DomainId, DataError> {
    data::named_domain(dataset, name).map_err(|problem| DataError::single(&dataset.path, problem))
}

/// The texts of a file without labels, without those that `pool` has with a label: a fold must not read what it is scored on. The
/// text of a record is in the field `text_field`.
pub fn unlabelled_beside(
    path: &Path,
    text_field: &str,
    dataset: &Dataset,
    pool: &DomainPool,
    console: &Console,
) -> Result<Vec<String>> {
    let mut source = Source::open(path, TextForm::of_name(path), text_field)?;
    let (mut texts, mut num_bytes) = (Vec::new(), 0);
    loop {
        let window = source.window()?.texts;
        if window.is_empty() {
            break;
        }
        num_bytes += window.iter().map(String::len).sum::<usize>();
        let most = format!("at most {} MiB of texts", MAX_UNLABELLED_BYTES >> 20);
        checks::require(num_bytes <= MAX_UNLABELLED_BYTES, path.display(), most, "more")?;
        texts.extend(window);
    }
    let num_lines = texts.len();
    texts.retain(|text: &String| !text.trim().is_empty());
    let num_read = texts.len();
    if num_read < num_lines {
        let (path, count) = (path.display(), num_lines - num_read);
        console.line(&format!("{path}: left out {count} empty texts"));
    }
    let labelled = pool.examples_by_label.iter().flatten();
    let labelled = labelled.map(|&id| dataset.reviews[id as usize].text.as_str());
    let labelled: HashSet<&str> = labelled.collect();
    texts.retain(|text| !labelled.contains(text.as_str()));
    let expected = "a text a line, or JSONL, that is not adapted to with its label";
    checks::require(!texts.is_empty(), path.display(), expected, "no text")?;
    if texts.len() < num_read {
        let count = num_read - texts.len();
        let path = path.display();
        console
            .line(&format!("{path}: left out {count} texts that are adapted to with their labels"));
    }
    Ok(texts)
}

/// The episodes that meta-training takes, from index 0 on.
pub fn meta_train_episodes(dataset: &Dataset, split: &Split, config: &RunConfig) -> EpisodeSampler {
    let pools = dataset.pools(split.domains(Side::MetaTrain));
    EpisodeSampler::new(&config.training_episode(), pools, config.seed, "meta-train episodes")
}

/// The draws of `sampler` with no larger query sets than training and searches score on.
pub fn with_dev_query(sampler: EpisodeSampler, config: &RunConfig) -> EpisodeSampler {
    match config.evaluate.dev_query {
        0 => sampler,
        count => sampler.with_query_of_at_most(count),
    }
}

/// The draws of support and query that an evaluation of these domains takes.
pub fn evaluation_episodes(
    dataset: &Dataset,
    domains: &[DomainId],
    episode: &EpisodeConfig,
    config: &RunConfig,
    purpose: &str,
) -> EpisodeSampler {
    let sampler = EpisodeSampler::new(episode, dataset.pools(domains), config.seed, purpose);
    match config.evaluate.query {
        QuerySize::All => sampler.with_query_all(),
        QuerySize::Count(_) => sampler,
    }
}
