//! Domains whose texts all have one label: nothing is learned there but to answer with it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::problem::{DataError, Place, Problem, Problems, quote};
use super::{Dataset, DomainId, LabelId};

/// What to do about a domain whose texts all have one label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SingleLabelDomains {
    /// Use it as the others, with a warning.
    #[default]
    Warn,
    /// Refuse the file.
    Error,
    /// Leave the domain out, with a warning.
    Drop,
}

/// Applies the policy. Returns the dataset that is left, and the warnings.
///
/// # Errors
/// Every such domain, where the policy refuses them; and a file that has no other, where it leaves them out.
pub fn settle_single_label_domains(
    dataset: Dataset,
    policy: SingleLabelDomains,
) -> Result<(Dataset, Vec<String>), DataError> {
    let found = single_label_domains(&dataset);
    let about = |&(domain, label): &(DomainId, LabelId)| {
        let [domain, label] = [dataset.domain_name(domain), dataset.label_name(label)].map(quote);
        format!("every text of the domain {domain} has the label {label}")
    };
    let told = |what: &str| {
        let path = dataset.path.display();
        found.iter().map(|domain| format!("{path}: {}{what}", about(domain))).collect()
    };
    match policy {
        SingleLabelDomains::Warn => {
            let warnings = told("");
            Ok((dataset, warnings))
        }
        SingleLabelDomains::Error => {
            let mut problems = Problems::default();
            for domain in &found {
                let fix =
                    "label more of it, or set data.single_label_domains = \"drop\" or \"warn\"";
                problems.push(Problem::new(Place::File, "", about(domain)).with_fix(fix));
            }
            problems.into_result(&dataset.path)?;
            Ok((dataset, Vec::new()))
        }
        SingleLabelDomains::Drop => {
            let warnings = told("; it is left out");
            let dropped: BTreeSet<DomainId> = found.iter().map(|(domain, _)| *domain).collect();
            if !dropped.is_empty() && dropped.len() == dataset.domains.len() {
                let expected = "a domain with texts of two labels";
                let problem = Problem::expected(Place::File, "", expected, "none");
                return Err(DataError::single(&dataset.path, problem));
            }
            Ok((dataset.without_domains(&dropped), warnings))
        }
    }
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
    use std::path::Path;

    use super::*;

    fn dataset(domains: &[(&str, &str)]) -> Dataset {
        let records: String = domains
            .iter()
            .enumerate()
            .map(|(at, (domain, label))| {
                format!(r#"{{"text":"{at}","label":"{label}","domain":"{domain}"}}"#) + "\n"
            })
            .collect();
        Dataset::parse(Path::new("d.jsonl"), records.as_bytes(), &[]).unwrap()
    }

    const MIXED: [(&str, &str); 6] =
        [("b", "pos"), ("a", "pos"), ("b", "pos"), ("c", "neg"), ("c", "pos"), ("a", "neg")];

    #[test]
    fn the_domain_is_left_out_and_the_others_keep_their_texts() {
        let (left, warnings) =
            settle_single_label_domains(dataset(&MIXED), SingleLabelDomains::Drop).unwrap();
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
        let whole = dataset(&MIXED);
        let (same, warnings) =
            settle_single_label_domains(whole.clone(), SingleLabelDomains::Warn).unwrap();
        assert_eq!((same, warnings.len()), (whole.clone(), 1));
        let error = settle_single_label_domains(whole, SingleLabelDomains::Error).unwrap_err();
        let told = error.to_string();
        assert!(told.contains(r#"the domain "b" has the label "pos""#), "{told}");
        assert!(told.contains("data.single_label_domains"), "{told}");
    }

    #[test]
    fn a_file_of_nothing_else_cannot_be_left_out() {
        let all = [("a", "pos"), ("b", "neg")];
        let error = settle_single_label_domains(dataset(&all), SingleLabelDomains::Drop);
        assert!(error.unwrap_err().to_string().contains("expected a domain with texts of two"));
    }

    #[test]
    fn nothing_is_told_of_domains_with_two_labels() {
        for policy in
            [SingleLabelDomains::Warn, SingleLabelDomains::Error, SingleLabelDomains::Drop]
        {
            let whole = dataset(&MIXED[3..]).without_domains(&BTreeSet::from([0]));
            let settled = settle_single_label_domains(whole.clone(), policy).unwrap();
            assert_eq!(settled, (whole, Vec::new()), "{policy:?}");
        }
    }
}
