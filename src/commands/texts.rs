//! From the configuration to a dataset, split and tokenised.

use std::collections::BTreeSet;

use anyhow::Result;

use super::loading::LoadedModel;
use crate::checks::Invalid;
use crate::config::RunConfig;
use crate::data::{
    Corpus, CrossSideDuplicates, Dataset, DomainId, EpisodeSampler, ExampleId, Side, Split,
    check_leaks, drop_leaks, settle_single_label_domains,
};
use crate::run::console::Console;

/// Reads `data.path`, with the labels given or, where there are none, those of `data.labels`.
pub fn read(config: &RunConfig, labels: Option<&[String]>) -> Result<Dataset> {
    if config.data.path.is_empty() {
        return Err(Invalid(
            "data.path: expected the labelled file, found nothing; pass --data FILE".into(),
        )
        .into());
    }
    Ok(Dataset::read(&config.data.path, labels.unwrap_or(&config.data.labels))?)
}

/// Reads the dataset without its repeated texts, and does about domains of one label what the configuration says.
pub fn read_settled(
    config: &RunConfig,
    labels: Option<&[String]>,
    console: &Console,
) -> Result<Dataset> {
    let dataset = without_repeats(read(config, labels)?, console);
    let policy = config.data.single_label_domains;
    let (dataset, warnings) = settle_single_label_domains(dataset, policy)?;
    warnings.iter().for_each(|warning| console.line(&format!("warning: {warning}")));
    Ok(dataset)
}

/// Leaves out of every domain the reviews that repeat an earlier text of it, and says so: a text
/// that is drawn into a support and a query set would be scored from memory.
fn without_repeats(dataset: Dataset, console: &Console) -> Dataset {
    let mut repeats: BTreeSet<ExampleId> = BTreeSet::new();
    for group in dataset.duplicates() {
        let mut domains = BTreeSet::new();
        let domain_of = |&id: &ExampleId| dataset.reviews[id as usize].domain;
        repeats.extend(group.iter().filter(|id| !domains.insert(domain_of(id))));
    }
    if repeats.is_empty() {
        return dataset;
    }
    console.line(&format!(
        "warning: {}: left out {} reviews that repeat a text of their domain",
        dataset.path.display(),
        repeats.len()
    ));
    dataset.without(&repeats)
}

/// Refuses texts that stand on two sides, or drops them where the configuration says so.
pub fn settle_leaks(
    dataset: Dataset,
    split: &Split,
    config: &RunConfig,
    console: &Console,
) -> Result<Dataset> {
    let mut dataset = dataset;
    if config.data.cross_side_duplicates == CrossSideDuplicates::Drop {
        let (kept, dropped) = drop_leaks(&dataset, split);
        if dropped > 0 {
            console.line(&format!(
                "warning: {}: left out {dropped} reviews whose text stands on a lower-resource side",
                dataset.path.display()
            ));
        }
        dataset = kept;
    }
    for warning in check_leaks(&dataset, split)? {
        console.line(&format!("warning: {warning}"));
    }
    Ok(dataset)
}

/// Reads the dataset and splits it as the configuration says, which is given the names of the
/// chosen domains: what is stored and repeated is the split itself.
pub fn read_split(
    config: &mut RunConfig,
    labels: Option<&[String]>,
    console: &Console,
) -> Result<(Dataset, Split)> {
    let dataset = read_settled(config, labels, console)?;
    let split = Split::new(&dataset, &config.data, config.seed)?;
    let dataset = settle_leaks(dataset, &split, config, console)?;
    config.data.low_resource = names(&dataset, split.domains(Side::LowResource));
    config.data.meta_dev = names(&dataset, split.domains(Side::MetaDev));
    if config.data.meta_dev.is_empty() {
        config.data.meta_dev_count = 0;
    }
    for side in Side::ALL {
        console.detail(&format!("{side}: {}", names(&dataset, split.domains(side)).join(", ")));
    }
    Ok((dataset, split))
}

/// The names of some domains.
pub fn names(dataset: &Dataset, domains: &[DomainId]) -> Vec<String> {
    domains.iter().map(|&domain| dataset.domain_name(domain).to_owned()).collect()
}

/// The domain of this name.
pub fn named_domain(dataset: &Dataset, name: &str) -> Result<DomainId, Invalid> {
    dataset.domain_id(name).ok_or_else(|| {
        let distance = |known: &&String| strsim::osa_distance(known, name);
        let nearest = dataset.domains.iter().min_by_key(distance);
        let nearest = nearest
            .map(|known| format!("; the nearest known domain is \"{known}\""))
            .unwrap_or_default();
        let path = dataset.path.display();
        Invalid(format!("{path}: expected a domain \"{name}\", found none{nearest}"))
    })
}

/// Tokenises a dataset for a model, and says how many texts were truncated.
pub fn tokenise(
    dataset: &Dataset,
    model: &LoadedModel,
    config: &RunConfig,
    console: &Console,
) -> Result<Corpus> {
    let max_length = config.data.max_length;
    let corpus = Corpus::new(dataset, &model.tokenizer, max_length)?;
    let name = dataset.path.display();
    console.detail(&format!("{name}: {} texts, {} wordpieces", corpus.len(), corpus.num_tokens()));
    if corpus.num_truncated() > 0 {
        console.line(&format!(
            "{name}: truncated {} of {} texts to {max_length} wordpieces",
            corpus.num_truncated(),
            corpus.len(),
        ));
    }
    Ok(corpus)
}

/// The episodes that meta-training takes, from index 0 on.
pub fn meta_train_episodes(dataset: &Dataset, split: &Split, config: &RunConfig) -> EpisodeSampler {
    let pools = dataset.pools(split.domains(Side::MetaTrain));
    EpisodeSampler::new(&config.episode, pools, config.seed, "meta-train episodes")
}
