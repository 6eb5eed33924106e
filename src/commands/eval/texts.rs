//! The texts that `eval` adapts to and scores on.

use std::collections::HashSet;
use std::path::Path;

use anyhow::Result;

use super::super::texts;
use crate::checks;
use crate::config::RunConfig;
use crate::data::{Corpus, Dataset, DomainId, ExampleId, RecordRules, Review, Split};

/// The texts of an evaluation.
pub struct EvaluationTexts<'a> {
    /// The dataset.
    pub dataset: &'a Dataset,
    /// The evaluated domains.
    pub domains: &'a [DomainId],
    /// Texts to score on instead of query sets.
    pub test: Option<&'a Dataset>,
}

impl EvaluationTexts<'_> {
    /// The test texts for the draws of one domain.
    pub fn test_examples(&self, corpus: &Corpus, domain: DomainId) -> Vec<ExampleId> {
        let name = self.dataset.domain_name(domain);
        match self.test.and_then(|test| test.domain_id(name)) {
            Some(domain) => corpus.examples_of(domain).to_vec(),
            None => (0..corpus.len() as ExampleId).collect(),
        }
    }
}

/// The domains named by `--domain`, or else the low-resource ones.
pub fn chosen_domains(
    named: &[String],
    dataset: &Dataset,
    config: &RunConfig,
) -> Result<Vec<DomainId>> {
    let stored = &config.data.low_resource;
    let is_known = |name: &String| dataset.domain_id(name).is_some();
    if named.is_empty() && !stored.is_empty() && !stored.iter().any(is_known) {
        let expected = format!("a low-resource domain of the checkpoint, one of {stored:?}");
        let found = "none of them; choose domains with --domain";
        checks::require(false, dataset.path.display(), expected, found)?;
    }
    let named = if named.is_empty() { stored } else { named };
    if !named.is_empty() {
        let mut domains = Vec::new();
        for name in named {
            let domain = texts::named_domain(dataset, name)?;
            if !domains.contains(&domain) {
                domains.push(domain);
            }
        }
        return Ok(domains);
    }
    let largest = config.data.low_resource_max;
    let sizes = dataset.domain_sizes();
    let is_low = |&domain: &DomainId| (1..=largest).contains(&sizes[domain as usize]);
    let domains: Vec<DomainId> = (0..sizes.len() as DomainId).filter(is_low).collect();
    checks::require(
        !domains.is_empty(),
        dataset.path.display(),
        format!("a domain of at most {largest} examples"),
        "none; choose domains with --domain or --low-resource-max",
    )?;
    Ok(domains)
}

/// The split that matters to an evaluation: the evaluated domains against all others.
pub fn held_out(dataset: &Dataset, domains: &[DomainId]) -> Split {
    let all = 0..dataset.domains.len() as DomainId;
    Split {
        meta_train: all.filter(|domain| !domains.contains(domain)).collect(),
        meta_dev: Vec::new(),
        low_resource: domains.to_vec(),
    }
}

/// Reads the test file. A text that is in the dataset as well would be scored from memory. A file
/// with texts of any evaluated domain needs texts of each: every draw is scored on those of its own.
pub fn read_test(
    path: &Path,
    rules: RecordRules,
    dataset: &Dataset,
    domains: &[DomainId],
) -> Result<Dataset> {
    let test = Dataset::read_as(path, rules, &dataset.labels)?;
    let known: HashSet<&str> = dataset.reviews.iter().map(|review| review.text.as_str()).collect();
    let repeated = test.reviews.iter().filter(|review| known.contains(review.text.as_str()));
    let (path, repeated) = (path.display(), repeated.count());
    let expected = format!("texts that {} does not have", dataset.path.display());
    checks::require(repeated == 0, &path, expected, format!("{repeated} that it has"))?;
    let names = domains.iter().map(|&domain| dataset.domain_name(domain));
    let (tested, untested): (Vec<&str>, Vec<&str>) =
        names.partition(|name| test.domain_id(name).is_some());
    let found = format!("none of {untested:?}; choose domains with --domain");
    let is_complete = tested.is_empty() || untested.is_empty();
    checks::require(is_complete, &path, "texts of every evaluated domain", found)?;
    let sets = dataset.label_sets();
    for &domain in domains {
        let (name, labels) = (dataset.domain_name(domain), &sets[domain as usize]);
        let is_scored =
            |review: &&Review| tested.is_empty() || test.domain_name(review.domain) == name;
        let mut scored = test.reviews.iter().filter(is_scored);
        let Some(other) = scored.find(|review| !labels.ids().contains(&review.label)) else {
            continue;
        };
        let file = test.file_of(other).unwrap_or(&test.path).display();
        let place = format!("{file}: {}, field \"{}\"", other.place, rules.fields.label);
        let expected =
            format!("a label of the domain {name:?}: {:?}", labels.names(&dataset.labels));
        checks::require(false, place, expected, format!("{:?}", test.label_name(other.label)))?;
    }
    Ok(test)
}
