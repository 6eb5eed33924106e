//! Labels of too few texts, in domains with label sets of their own.

use std::collections::{BTreeMap, BTreeSet};

use crate::data::ids::{DomainId, ExampleId};
use crate::data::intake::Dataset;
use crate::data::intake::problem::{DataError, Place, Problem, quote};

/// Names of a warning, after which the rest is counted.
const MAX_NAMED: usize = 5;

/// Leaves out of every domain its texts of labels that have fewer than `least` there, and domains that have no others.
///
/// # Errors
/// Any `least` above 0 where domains share their labels: a domain would lose answers that its classifier still gives. Domains
/// none of which is left.
pub(super) fn without_rare_labels(
    dataset: Dataset,
    least: usize,
    warnings: &mut Vec<String>,
) -> Result<Dataset, DataError> {
    if least == 0 {
        return Ok(dataset);
    }
    if !dataset.label_sets_differ {
        let found = format!("{least}, while the domains share their labels");
        let subject = "setting data.min_texts_per_label";
        let problem = Problem::expected(Place::File, subject, "0", found);
        return Err(DataError::single(&dataset.path, problem));
    }
    let mut texts: BTreeMap<_, Vec<ExampleId>> = BTreeMap::new();
    for (id, review) in (0..).zip(&dataset.reviews) {
        texts.entry((review.domain, review.label)).or_default().push(id);
    }
    texts.retain(|_, ids| ids.len() < least);
    if texts.is_empty() {
        return Ok(dataset);
    }
    let named = texts.iter().take(MAX_NAMED).map(|(&(domain, label), ids)| {
        let [domain, label] = [dataset.domain_name(domain), dataset.label_name(label)].map(quote);
        format!("{label} of {domain} ({})", ids.len())
    });
    let mut list = named.collect::<Vec<_>>().join(", ");
    if texts.len() > MAX_NAMED {
        list += &format!(" and {} more", texts.len() - MAX_NAMED);
    }
    let (file, num_labels) = (dataset.path.display(), texts.len());
    let of_labels = if num_labels == 1 { "a label" } else { "labels" };
    warnings.push(format!("{file}: left out {of_labels} of fewer than {least} texts: {list}"));
    let dropped: BTreeSet<ExampleId> = texts.into_values().flatten().collect();
    let left = dataset.without(&dropped);
    if left.reviews.is_empty() {
        let expected = format!("a label with {least} texts or more (data.min_texts_per_label)");
        let problem = Problem::expected(Place::File, "", expected, "none");
        return Err(DataError::single(&left.path, problem));
    }
    let sizes = left.domain_sizes();
    let is_empty = |domain: &DomainId| sizes[*domain as usize] == 0;
    let empty: BTreeSet<DomainId> = (0..sizes.len() as DomainId).filter(is_empty).collect();
    Ok(if empty.is_empty() { left } else { left.without_domains(&empty) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::intake::tests::dataset;

    /// Two domains, one of which has a label with a single text.
    fn differing() -> Dataset {
        let records = [
            ["bank", "card", "a"],
            ["bank", "card", "b"],
            ["bank", "loan", "c"],
            ["bank", "rate", "d"],
            ["bank", "rate", "e"],
            ["work", "loan", "f"],
            ["work", "loan", "g"],
            ["work", "pay", "h"],
            ["work", "pay", "i"],
        ];
        Dataset { label_sets_differ: true, ..dataset(&records) }
    }

    #[test]
    fn a_rare_label_leaves_its_domain_alone() {
        let mut warnings = Vec::new();
        let left = without_rare_labels(differing(), 2, &mut warnings).unwrap();
        assert_eq!(
            warnings,
            [r#"d.jsonl: left out a label of fewer than 2 texts: "loan" of "bank" (1)"#]
        );
        assert_eq!(left.reviews.len(), 8);
        let sets = left.label_sets();
        assert_eq!(sets[0].names(&left.labels), ["card", "rate"]);
        assert_eq!(sets[1].names(&left.labels), ["loan", "pay"]);
        assert_eq!(without_rare_labels(differing(), 0, &mut warnings).unwrap(), differing());
    }

    #[test]
    fn a_long_list_is_cut() {
        let mut warnings = Vec::new();
        let texts: Vec<[String; 3]> = (0..8)
            .map(|n| ["d".into(), format!("l{}", n.min(6)), format!("t{n}")])
            .chain([["e".into(), "l0".into(), "t9".into()]])
            .collect();
        let records: Vec<[&str; 3]> =
            texts.iter().map(|it| it.each_ref().map(String::as_str)).collect();
        let dataset = Dataset { label_sets_differ: true, ..dataset(&records) };
        let left = without_rare_labels(dataset.clone(), 2, &mut warnings).unwrap();
        assert_eq!((left.reviews.len(), left.domains), (2, vec!["d".to_owned()]));
        let end = r#""l4" of "d" (1) and 2 more"#;
        assert!(warnings[0].ends_with(end), "{warnings:?}");
        let error = without_rare_labels(dataset, 3, &mut warnings).unwrap_err().to_string();
        assert!(error.contains("expected a label with 3 texts or more"), "{error}");
    }

    #[test]
    fn domains_that_share_their_labels_keep_them() {
        let shared = Dataset { label_sets_differ: false, ..differing() };
        let error = without_rare_labels(shared, 2, &mut Vec::new()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "d.jsonl: setting data.min_texts_per_label: expected 0, found 2, while the domains share their labels"
        );
    }
}
