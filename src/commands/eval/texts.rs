//! The texts that `eval` adapts to and scores on.

use std::path::Path;

use anyhow::Result;

use super::super::error::InputError;
use super::super::texts;
use crate::config::RunConfig;
use crate::data::{Corpus, Dataset, DomainId, ExampleId, Split};

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
    /// Whether the test file has texts of any evaluated domain: then every draw is scored on those
    /// of its own.
    fn is_tested_by_domain(&self) -> bool {
        let name = |&domain: &DomainId| self.dataset.domain_name(domain);
        self.test.is_some_and(|test| {
            self.domains.iter().any(|domain| test.domain_id(name(domain)).is_some())
        })
    }

    /// Requires of a test file with texts of an evaluated domain that it has texts of each.
    pub fn ensure_every_domain_is_tested(&self) -> Result<(), InputError> {
        let Some(test) = self.test.filter(|_| self.is_tested_by_domain()) else { return Ok(()) };
        for &domain in self.domains {
            let name = self.dataset.domain_name(domain);
            if test.domain_id(name).is_none() {
                return Err(InputError(format!(
                    "{}: expected texts of every evaluated domain, found none of \"{name}\"; choose \
                     domains with --domain",
                    test.path.display()
                )));
            }
        }
        Ok(())
    }

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
    let named = if named.is_empty() { &config.data.low_resource } else { named };
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
    if domains.is_empty() {
        return Err(InputError(format!(
            "{}: expected a domain of at most {largest} examples, found none; choose domains with \
             --domain or --low-resource-max",
            dataset.path.display()
        ))
        .into());
    }
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

/// Reads the test file; a text that is in the dataset as well would be scored from memory.
pub fn read_test(path: &Path, dataset: &Dataset) -> Result<Dataset> {
    let test = Dataset::read(path, &dataset.labels)?;
    let known: std::collections::HashSet<&str> =
        dataset.reviews.iter().map(|review| review.text.as_str()).collect();
    let repeated = test.reviews.iter().filter(|review| known.contains(review.text.as_str()));
    match repeated.count() {
        0 => Ok(test),
        count => Err(InputError(format!(
            "{}: expected texts that {} does not have, found {count} that it has",
            path.display(),
            dataset.path.display()
        ))
        .into()),
    }
}
