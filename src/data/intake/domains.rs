//! Domains by the names that a user gives.

use super::dataset::Dataset;
use super::problem::{Place, Problem, quote, quote_list};
use crate::data::ids::DomainId;
use crate::names::similar;

/// The domain of this name.
///
/// # Errors
/// There is none; the problem says which one may have been meant.
pub fn named_domain(dataset: &Dataset, name: &str) -> Result<DomainId, Problem> {
    dataset.domain_id(name).ok_or_else(|| {
        let known = || dataset.domains.iter().map(String::as_str);
        let message = format!("there is no domain {}", quote(name));
        let similar = similar(name, known()).map(|name| format!("did you mean {}? ", quote(name)));
        let fix = format!("{}the domains are {}", similar.unwrap_or_default(), quote_list(known()));
        Problem::new(Place::File, "", message).with_fix(fix)
    })
}

#[cfg(test)]
mod tests {
    use super::super::dataset::tests::dataset_of_sizes;
    use super::*;

    #[test]
    fn an_unknown_domain_names_a_similar_one() {
        let dataset = dataset_of_sizes(&[("books", 2), ("office", 2)]);
        assert_eq!(named_domain(&dataset, "office"), Ok(1));
        let expected = r#"there is no domain "offices"; did you mean "office"? the domains are "books", "office""#;
        assert_eq!(named_domain(&dataset, "offices").unwrap_err().to_string(), expected);
        let expected = r#"there is no domain "dvd"; the domains are "books", "office""#;
        assert_eq!(named_domain(&dataset, "dvd").unwrap_err().to_string(), expected);
    }
}
