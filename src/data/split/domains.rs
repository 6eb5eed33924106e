//! Domains by name, and whether they are large enough for an episode.
//!
//! Knows no side.

use crate::data::ids::DomainId;
use crate::data::intake::Dataset;
use crate::data::intake::problem::{DataError, Place, Problem, Problems, quote, quote_list};
use crate::names::nearest;

/// The domain of this name.
///
/// # Errors
/// There is none; the problem says which name is nearest.
pub fn named_domain(dataset: &Dataset, name: &str) -> Result<DomainId, Problem> {
    dataset.domain_id(name).ok_or_else(|| {
        let known = || dataset.domains.iter().map(String::as_str);
        let message = format!("there is no domain {}", quote(name));
        let nearest = nearest(name, known()).map(quote).unwrap_or_default();
        let fix = format!("did you mean {nearest}? the domains are {}", quote_list(known()));
        Problem::new(Place::File, "", message).with_fix(fix)
    })
}

/// Checks that every one of `domains` has the examples of an episode.
///
/// # Errors
/// Every domain that has fewer than `support + query` examples, with its count.
pub fn check_sizes(
    dataset: &Dataset,
    domains: &[DomainId],
    support: usize,
    query: usize,
) -> Result<(), DataError> {
    let sizes = dataset.domain_sizes();
    let mut problems = Problems::default();
    for &domain in domains {
        let size = sizes[domain as usize];
        if size < support.saturating_add(query) {
            let about = format!("domain {}", quote(dataset.domain_name(domain)));
            let expected = format!("at least {support} + {query} examples (support + query)");
            let fix = match size.checked_sub(support) {
                None | Some(0) => "lower --support or --query, or add examples".to_owned(),
                Some(most) => format!("lower --query to {most} or add examples"),
            };
            problems.push(Problem::expected(Place::File, about, expected, size).with_fix(fix));
        }
    }
    problems.into_result(&dataset.path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::intake::tests::dataset_of_sizes;

    #[test]
    fn an_unknown_domain_names_the_nearest() {
        let dataset = dataset_of_sizes(&[("books", 2), ("office", 2)]);
        assert_eq!(named_domain(&dataset, "office"), Ok(1));
        let expected = r#"there is no domain "offices"; did you mean "office"? the domains are "books", "office""#;
        assert_eq!(named_domain(&dataset, "offices").unwrap_err().to_string(), expected);
    }

    #[test]
    fn domains_too_small_for_an_episode_are_named_with_their_count() {
        let sizes = [("books", 9), ("cars", 2), ("dvd", 8), ("music", 7), ("office", 3)];
        let dataset = dataset_of_sizes(&sizes);
        assert_eq!(check_sizes(&dataset, &[0, 2], 6, 2), Ok(()));
        let text = check_sizes(&dataset, &[0, 1, 4], 2, 2).unwrap_err().to_string();
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [
                "d.jsonl: 2 problems",
                "  d.jsonl: domain \"cars\": expected at least 2 + 2 examples (support + query), \
                 found 2; lower --support or --query, or add examples",
                "  d.jsonl: domain \"office\": expected at least 2 + 2 examples (support + query), \
                 found 3; lower --query to 1 or add examples",
            ]
        );
    }
}
