//! A dataset as it was read becomes one to learn from, with its split.
//!
//! Knows the order of what is done; each rule has a file of its own.

use super::duplicates::without_repeats;
use super::leaks::keep_sides_apart;
use super::rare_labels::without_rare_labels;
use super::sides::{Side, Split};
use super::similar_labels::warn_of_similar_labels;
use super::single_label::settle_single_label_domains;
use crate::data::config::{CrossSideDuplicates, DataConfig, LabelSets};
use crate::data::intake::{DataError, Dataset};

/// A dataset in which no text is twice in a domain or on two sides, and its split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The reviews that are left.
    pub dataset: Dataset,
    /// The sides of its domains.
    pub split: Split,
    /// What the user has to know of what was left out or stayed.
    pub warnings: Vec<String>,
    /// Whether a review was left out because its text is on another side.
    has_dropped_copies: bool,
}

/// Settles a dataset as it was read: repeated texts, domains of one label, the split, texts on two sides.
///
/// # Errors
/// A rule of the configuration that the dataset breaks, or a split that is not possible.
pub fn settle(dataset: Dataset, config: &DataConfig, seed: u64) -> Result<Settled, DataError> {
    let mut warnings = Vec::new();
    let dataset = settle_domains(dataset, config, &mut warnings)?;
    let split = Split::new(&dataset, config, seed)?;
    let num_before = dataset.reviews.len();
    let dataset = keep_sides_apart(dataset, &split, config, &mut warnings)?;
    let has_dropped_copies = dataset.reviews.len() < num_before;
    Ok(Settled { dataset, split, warnings, has_dropped_copies })
}

/// Settles each domain by itself, for what needs no split: repeated texts, rare labels, domains of one label.
///
/// # Errors
/// Rare labels where domains share theirs; domains of one label, where the configuration refuses them.
pub fn settle_domains(
    dataset: Dataset,
    config: &DataConfig,
    warnings: &mut Vec<String>,
) -> Result<Dataset, DataError> {
    warn_of_empty_texts(&dataset, warnings);
    warn_of_similar_labels(&dataset, warnings);
    let dataset = without_repeats(dataset, warnings);
    let dataset = without_rare_labels(dataset, config.min_texts_per_label, warnings)?;
    settle_single_label_domains(dataset, config.single_label_domains, warnings)
}

/// The dataset without what the configuration leaves out of the file: records without a text, rare labels.
///
/// # Errors
/// Rare labels where domains share theirs.
pub fn without_gaps(
    dataset: Dataset,
    config: &DataConfig,
    warnings: &mut Vec<String>,
) -> Result<Dataset, DataError> {
    warn_of_empty_texts(&dataset, warnings);
    without_rare_labels(dataset, config.min_texts_per_label, warnings)
}

fn warn_of_empty_texts(dataset: &Dataset, warnings: &mut Vec<String>) {
    if dataset.num_empty > 0 {
        let (file, count) = (dataset.path.display(), dataset.num_empty);
        warnings.push(format!("{file}: left out {count} records without a text"));
    }
}

impl Settled {
    /// Writes what was chosen into the configuration, which then gives the same dataset and split under any seed.
    pub fn pin(&self, config: &mut DataConfig) {
        config.label_sets = match self.dataset.label_sets_differ {
            true => LabelSets::Domain,
            false => LabelSets::Shared,
        };
        let names = |side| self.dataset.names_of(self.split.domains(side));
        config.low_resource = names(Side::LowResource);
        config.meta_dev = names(Side::MetaDev);
        if config.meta_dev.is_empty() {
            config.meta_dev_count = 0;
        }
        // Named domains would not make meta-train give way, as those that the seed chose did.
        if self.has_dropped_copies {
            config.cross_side_duplicates = CrossSideDuplicates::Drop;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::intake::tests::dataset;

    /// Six high-resource domains, two of which share a text, and a low-resource one.
    fn with_shared_text() -> Dataset {
        let mut texts = Vec::new();
        for domain in ["a", "b", "c", "d", "e", "f"] {
            texts.extend((0..4).map(|number| (domain, format!("{domain} {number}"))));
        }
        let more = [("a", "shared"), ("d", "shared"), ("low", "y"), ("low", "z")];
        texts.extend(more.map(|(domain, text)| (domain, text.to_owned())));
        let label = |position: usize| ["no", "yes"][position % 2];
        let records = texts.iter().enumerate();
        let records = records.map(|(position, (domain, text))| [domain, label(position), text]);
        dataset(&records.collect::<Vec<_>>())
    }

    #[test]
    fn no_seed_decides_whether_a_file_is_accepted() {
        let config = DataConfig { low_resource_max: 2, ..DataConfig::default() };
        let mut num_shared = [0; 3];
        for seed in 0..20 {
            let settled = settle(with_shared_text(), &config, seed).unwrap();
            let Settled { dataset, split, warnings, .. } = &settled;
            let shared = dataset.reviews.iter().filter(|review| review.text == "shared");
            let sides: Vec<Side> = shared.map(|review| split.side_of(review.domain)).collect();
            num_shared[sides.len()] += 1;
            let is_in_dev = [0, 3].iter().any(|&domain| split.side_of(domain) == Side::MetaDev);
            let expected = if is_in_dev { Side::MetaDev } else { Side::MetaTrain };
            assert!(sides.iter().all(|&side| side == expected), "seed {seed}: {sides:?}");
            assert_eq!(warnings.len(), 1, "seed {seed}: {warnings:?}");

            // Named, the chosen domains give the same again.
            let mut pinned = config.clone();
            settled.pin(&mut pinned);
            let again = settle(with_shared_text(), &pinned, seed + 1).unwrap();
            assert_eq!(again, settled, "seed {seed}");
        }
        assert!(num_shared[1] > 0 && num_shared[2] > 0, "one case never came: {num_shared:?}");
    }

    #[test]
    fn a_text_shared_with_named_domains_is_refused() {
        let meta_dev = vec!["a".to_owned()];
        let config = DataConfig { low_resource_max: 2, meta_dev, ..DataConfig::default() };
        let error = settle(with_shared_text(), &config, 0).unwrap_err().to_string();
        assert!(
            error.contains(r#"the text "shared" ("a", meta-dev) occurs at line 26"#),
            "{error}"
        );
    }

    #[test]
    fn a_run_stores_whether_label_sets_differ() {
        let config = DataConfig { low_resource_max: 2, ..DataConfig::default() };
        for (label_sets_differ, expected) in [(false, LabelSets::Shared), (true, LabelSets::Domain)]
        {
            let dataset = Dataset { label_sets_differ, ..with_shared_text() };
            let mut pinned = config.clone();
            settle(dataset, &config, 0).unwrap().pin(&mut pinned);
            assert_eq!(pinned.label_sets, expected);
        }
    }
}
