//! Domains whose texts all have one label: nothing is learned there but to answer with it.

use std::collections::BTreeSet;

use crate::data::config::SingleLabelDomains;
use crate::data::ids::{DomainId, LabelId};
use crate::data::intake::Dataset;
use crate::data::intake::problem::{DataError, Place, Problem, Problems, quote};

/// Applies the policy, and returns the dataset that is left.
///
/// # Errors
/// Every such domain, where the policy refuses them; and a file that has no other, where it leaves them out.
pub(super) fn settle_single_label_domains(
    dataset: Dataset,
    policy: SingleLabelDomains,
    warnings: &mut Vec<String>,
) -> Result<Dataset, DataError> {
    let found = single_label_domains(&dataset);
    let mut problems = Problems::default();
    for &(domain, label) in &found {
        let [name, label] = [dataset.domain_name(domain), dataset.label_name(label)].map(quote);
        let about = format!("every text of the domain {name} has the label {label}");
        let file = dataset.path.display();
        match policy {
            SingleLabelDomains::Warn => warnings.push(format!("{file}: {about}")),
            SingleLabelDomains::Drop => warnings.push(format!("{file}: {about}; it is left out")),
            SingleLabelDomains::Error => {
                let fix =
                    "label more of it, or set data.single_label_domains = \"drop\" or \"warn\"";
                problems.push(Problem::new(Place::File, "", about).with_fix(fix));
            }
        }
    }
    if policy == SingleLabelDomains::Drop && found.len() == dataset.domains.len() {
        let expected = "a domain with texts of two labels";
        problems.push(Problem::expected(Place::File, "", expected, "none"));
    }
    problems.into_result(&dataset.path)?;
    Ok(match policy {
        SingleLabelDomains::Drop => {
            dataset.without_domains(&found.iter().map(|(domain, _)| *domain).collect())
        }
        _ => dataset,
    })
}

/// The domains whose texts all have one label, with that label.
fn single_label_domains(dataset: &Dataset) -> Vec<(DomainId, LabelId)> {
    let mut labels_of = vec![BTreeSet::new(); dataset.domains.len()];
    for review in &dataset.reviews {
        labels_of[review.domain as usize].insert(review.label);
    }
    let only = |labels: &BTreeSet<LabelId>| labels.first().copied().filter(|_| labels.len() == 1);
    (0..).zip(&labels_of).filter_map(|(domain, labels)| Some((domain, only(labels)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::intake::tests::dataset;

    const MIXED: [[&str; 3]; 6] = [
        ["b", "pos", "0"],
        ["a", "pos", "1"],
        ["b", "pos", "2"],
        ["c", "neg", "3"],
        ["c", "pos", "4"],
        ["a", "neg", "5"],
    ];

    /// The dataset that is left, with the warnings, or the error.
    fn settled(
        records: &[[&str; 3]],
        policy: SingleLabelDomains,
    ) -> Result<(Dataset, Vec<String>), String> {
        let mut warnings = Vec::new();
        let left = settle_single_label_domains(dataset(records), policy, &mut warnings);
        left.map(|left| (left, warnings)).map_err(|error| error.to_string())
    }

    #[test]
    fn the_domain_is_left_out_and_the_others_keep_their_texts() {
        let (left, warnings) = settled(&MIXED, SingleLabelDomains::Drop).unwrap();
        let expected =
            r#"d.jsonl: every text of the domain "b" has the label "pos"; it is left out"#;
        assert_eq!(warnings, [expected]);
        assert_eq!(left.domains, ["a", "c"]);
        let reviews: Vec<(&str, &str)> = left
            .reviews
            .iter()
            .map(|review| (review.text.as_str(), left.domain_name(review.domain)))
            .collect();
        assert_eq!(reviews, [("1", "a"), ("3", "c"), ("4", "c"), ("5", "a")]);
        assert_eq!((left.domain_id("b"), left.domain_id("c")), (None, Some(1)));
    }

    #[test]
    fn a_warning_leaves_the_dataset_as_it_is_and_an_error_refuses_it() {
        let (same, warnings) = settled(&MIXED, SingleLabelDomains::Warn).unwrap();
        assert_eq!((same, warnings.len()), (dataset(&MIXED), 1));
        let error = settled(&MIXED, SingleLabelDomains::Error).unwrap_err();
        assert!(error.contains(r#"the domain "b" has the label "pos""#), "{error}");
        assert!(error.contains("data.single_label_domains"), "{error}");
    }

    #[test]
    fn a_file_of_nothing_else_cannot_be_left_out() {
        let all = [["a", "pos", "0"], ["b", "neg", "1"]];
        let error = settled(&all, SingleLabelDomains::Drop).unwrap_err();
        assert!(error.contains("expected a domain with texts of two"), "{error}");
    }

    #[test]
    fn domains_with_two_labels_stay_without_a_word() {
        let policies =
            [SingleLabelDomains::Warn, SingleLabelDomains::Error, SingleLabelDomains::Drop];
        for policy in policies {
            let records = [MIXED[1], MIXED[3], MIXED[4], MIXED[5]];
            assert_eq!(settled(&records, policy), Ok((dataset(&records), Vec::new())));
        }
    }
}
