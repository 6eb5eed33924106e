//! Finds texts that stand more than once, and keeps a text that is tested on from being learned from.
//!
//! Only exact copies are found; whether a domain may be learned from is the split's business.

use std::collections::BTreeSet;

use super::problem::{DataError, Problem, Problems, quote};
use super::split::{Side, Split};
use super::{Dataset, ExampleId};

/// Looks for texts that stand more than once: within a side they are warnings, across sides errors.
///
/// # Errors
/// Every text that stands on two sides of the split, with both places.
pub fn check_leaks(dataset: &Dataset, split: &Split) -> Result<Vec<String>, DataError> {
    let mut problems = Problems::default();
    let mut repeats = [Repeats::default(); 3];
    for group in dataset.duplicates() {
        let side_of = |id: ExampleId| split.side_of(dataset.reviews[id as usize].domain);
        let side = side_of(group[0]);
        match group.iter().find(|&&id| side_of(id) != side) {
            Some(&other) => problems.push(leak(dataset, split, group[0], other)),
            None => repeats[side as usize].add(&group),
        }
    }
    problems.into_result(&dataset.path)?;
    let sides = Side::ALL.into_iter().zip(repeats).filter(|(_, repeats)| repeats.num_texts > 0);
    Ok(sides.map(|(side, repeats)| repeats.warning(dataset, side)).collect())
}

/// Removes the copies by which a text stands on two sides: meta-train gives way to meta-dev, and both to
/// low-resource.
///
/// Returns the rest, whose reviews have new ids, and the number of reviews that are gone. Domains get smaller: check
/// their sizes afterwards.
pub fn drop_leaks(dataset: &Dataset, split: &Split) -> (Dataset, usize) {
    let side_of = |id: &ExampleId| split.side_of(dataset.reviews[*id as usize].domain);
    let mut dropped = BTreeSet::new();
    for group in dataset.duplicates() {
        let keeper = group.iter().map(side_of).max();
        dropped.extend(group.iter().filter(|id| Some(side_of(id)) != keeper));
    }
    (dataset.without(&dropped), dropped.len())
}

fn leak(dataset: &Dataset, split: &Split, first: ExampleId, other: ExampleId) -> Problem {
    let [first, other] = [first, other].map(|id| &dataset.reviews[id as usize]);
    let standing =
        |domain| format!("{}, {}", quote(dataset.domain_name(domain)), split.side_of(domain));
    let message = format!(
        "the text {} ({}) stands at {} ({}) as well",
        quote(&first.text),
        standing(first.domain),
        other.place,
        standing(other.domain),
    );
    Problem::new(first.place, "field \"text\"", message)
        .with_fix("remove one of them, or set data.cross_side_duplicates = \"drop\"")
}

/// The texts of one side that stand there more than once.
#[derive(Clone, Copy, Default)]
struct Repeats {
    num_texts: usize,
    num_reviews: usize,
    first: Option<[ExampleId; 2]>,
}

impl Repeats {
    fn add(&mut self, group: &[ExampleId]) {
        self.num_texts += 1;
        self.num_reviews += group.len();
        self.first = self.first.or(Some([group[0], group[1]]));
    }

    fn warning(&self, dataset: &Dataset, side: Side) -> String {
        let places = self
            .first
            .expect("a side with repeats has a first one")
            .map(|id| dataset.reviews[id as usize].place);
        let (num_texts, num_reviews) = (self.num_texts, self.num_reviews);
        let (file, [first, second]) = (dataset.path.display(), places);
        let texts = if num_texts == 1 { "text stands" } else { "texts stand" };
        format!(
            "{file}: {side}: {num_texts} {texts} more than once ({num_reviews} reviews), as at {first} and {second}"
        )
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Domains a (meta-train), b (meta-dev), c (low-resource) with texts given as `domain text`.
    fn dataset(reviews: &[&str]) -> (Dataset, Split) {
        let line = |(number, review): (usize, &&str)| {
            let (domain, text) = review.split_once(' ').unwrap();
            format!(r#"{{"text":"{text}","label":{},"domain":"{domain}"}}"#, number % 2)
        };
        let lines: Vec<String> = reviews.iter().enumerate().map(line).collect();
        let dataset =
            Dataset::parse(Path::new("d.jsonl"), lines.join("\n").as_bytes(), &[]).unwrap();
        (dataset, Split { meta_train: vec![0], meta_dev: vec![1], low_resource: vec![2] })
    }

    #[test]
    fn copies_within_a_side_are_warnings() {
        let (dataset, split) = dataset(&["a x", "b y", "c z", "a x", "a w", "a w", "a w", "c z"]);
        assert_eq!(
            check_leaks(&dataset, &split).unwrap(),
            [
                "d.jsonl: meta-train: 2 texts stand more than once (5 reviews), as at line 1 and line 4",
                "d.jsonl: low-resource: 1 text stands more than once (2 reviews), as at line 3 and line 8",
            ]
        );
        assert_eq!(drop_leaks(&dataset, &split), (dataset, 0));
    }

    #[test]
    fn copies_across_sides_are_errors() {
        let (dataset, split) = dataset(&["a x", "b y", "c z", "b x", "a z", "a q", "b y"]);
        let error = check_leaks(&dataset, &split).unwrap_err();
        assert_eq!(error.count, 2);
        assert_eq!(
            error.problems[0].to_string(),
            "line 1, field \"text\": the text \"x\" (\"a\", meta-train) stands at line 4 (\"b\", meta-dev) as well; \
             remove one of them, or set data.cross_side_duplicates = \"drop\""
        );
    }

    #[test]
    fn the_side_that_is_tested_on_keeps_its_copy() {
        let (dataset, split) =
            dataset(&["a x", "b x", "c x", "c x", "a y", "b y", "a z", "b w", "c w"]);
        let (rest, num_dropped) = drop_leaks(&dataset, &split);
        assert_eq!(num_dropped, 4);
        let kept: Vec<String> = rest
            .reviews
            .iter()
            .map(|r| format!("{} {}", rest.domain_name(r.domain), r.text))
            .collect();
        assert_eq!(kept, ["c x", "c x", "b y", "a z", "c w"]);
        assert!(check_leaks(&rest, &split).is_ok());
        assert_eq!(rest.domains, dataset.domains);
    }
}
