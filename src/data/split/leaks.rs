//! Keeps a text that is scored on from being learned from.
//!
//! Knows which side gives way to which; not how the sides were chosen, only whether the user did.

use std::collections::BTreeSet;

use super::duplicates::duplicates;
use super::sides::{Side, Split};
use crate::data::config::{CrossSideDuplicates, DataConfig};
use crate::data::ids::ExampleId;
use crate::data::intake::Dataset;
use crate::data::intake::problem::{DataError, Problem, Problems, quote};

/// Leaves out, or refuses, the copies by which a text is on two sides: meta-train gives way to meta-dev, and both to
/// low-resource.
///
/// Meta-train always gives way to meta-dev domains that the seed chose: no seed decides whether a file is accepted.
/// Domains get smaller: check their sizes afterwards. Copies within a side stay, with a warning.
///
/// # Errors
/// Every text on two sides of the split, with both places, unless the configuration has copies left out.
pub fn keep_sides_apart(
    dataset: Dataset,
    split: &Split,
    config: &DataConfig,
    warnings: &mut Vec<String>,
) -> Result<Dataset, DataError> {
    let side_of = |id: ExampleId| split.side_of(dataset.reviews[id as usize].domain);
    let gives_way_to = |side: Side| {
        config.cross_side_duplicates == CrossSideDuplicates::Drop
            || side == Side::MetaDev && config.meta_dev.is_empty()
    };
    let mut problems = Problems::default();
    let mut dropped = BTreeSet::new();
    let mut repeats: [Vec<Vec<ExampleId>>; 3] = Default::default();
    for group in duplicates(&dataset) {
        let keeper = group.iter().map(|&id| side_of(id)).max().expect("a group has members");
        let (kept, others): (Vec<_>, Vec<_>) = group.iter().partition(|&&id| side_of(id) == keeper);
        match group.iter().find(|&&id| side_of(id) != side_of(group[0])) {
            Some(&other) if !gives_way_to(keeper) => {
                problems.push(leak(&dataset, split, group[0], other));
            }
            _ => dropped.extend(others),
        }
        if kept.len() > 1 {
            repeats[keeper as usize].push(kept);
        }
    }
    problems.into_result(&dataset.path)?;
    let file = dataset.path.display();
    if !dropped.is_empty() {
        warnings.push(format!(
            "{file}: left out {} reviews whose text a meta-dev or low-resource domain has as well",
            dropped.len()
        ));
    }
    for (side, groups) in Side::ALL.into_iter().zip(&repeats) {
        let [first, ..] = groups.as_slice() else { continue };
        let place = |id: ExampleId| dataset.place_of(&dataset.reviews[id as usize]);
        let [first, second] = [first[0], first[1]].map(place);
        let num_reviews: usize = groups.iter().map(Vec::len).sum();
        let texts = if groups.len() == 1 { "text occurs" } else { "texts occur" };
        let num_texts = groups.len();
        warnings.push(format!(
            "{file}: {side}: {num_texts} {texts} more than once ({num_reviews} reviews), as at {first} and {second}"
        ));
    }
    Ok(dataset.without(&dropped))
}

fn leak(dataset: &Dataset, split: &Split, first: ExampleId, other: ExampleId) -> Problem {
    let [first, other] = [first, other].map(|id| &dataset.reviews[id as usize]);
    let home =
        |domain| format!("{}, {}", quote(dataset.domain_name(domain)), split.side_of(domain));
    let message = format!(
        "the text {} ({}) occurs at {} ({}) as well",
        quote(&first.text),
        home(first.domain),
        dataset.place_of(other),
        home(other.domain),
    );
    Problem::new(first.place, "field \"text\"", message)
        .in_file(dataset.file_of(first))
        .with_fix("remove one of them, or set data.cross_side_duplicates = \"drop\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::intake::tests::dataset;

    /// Domains a (meta-train), b (meta-dev, named), c (low-resource) with texts given as `domain text`.
    fn three(reviews: &[&str]) -> (Dataset, Split) {
        let parts = reviews.iter().map(|review| review.split_once(' ').unwrap());
        let labels = ["no", "yes"].into_iter().cycle();
        let records = parts.zip(labels).map(|((domain, text), label)| [domain, label, text]);
        let records: Vec<_> = records.collect();
        let split = Split { meta_train: vec![0], meta_dev: vec![1], low_resource: vec![2] };
        (dataset(&records), split)
    }

    fn config(cross_side_duplicates: CrossSideDuplicates) -> DataConfig {
        let meta_dev = vec!["b".to_owned()];
        DataConfig { meta_dev, cross_side_duplicates, ..DataConfig::default() }
    }

    fn texts(dataset: &Dataset) -> Vec<String> {
        let reviews = dataset.reviews.iter();
        reviews.map(|r| format!("{} {}", dataset.domain_name(r.domain), r.text)).collect()
    }

    #[test]
    fn copies_within_a_side_are_warnings() {
        let (dataset, split) = three(&["a x", "b y", "c z", "a x", "a w", "a w", "a w", "c z"]);
        for policy in [CrossSideDuplicates::Error, CrossSideDuplicates::Drop] {
            let mut warnings = Vec::new();
            let same = keep_sides_apart(dataset.clone(), &split, &config(policy), &mut warnings);
            assert_eq!(same.as_ref(), Ok(&dataset));
            assert_eq!(
                warnings,
                [
                    "d.jsonl: meta-train: 2 texts occur more than once (5 reviews), as at line 1 and line 4",
                    "d.jsonl: low-resource: 1 text occurs more than once (2 reviews), as at line 3 and line 8",
                ]
            );
        }
    }

    #[test]
    fn copies_across_sides_are_errors() {
        let (dataset, split) = three(&["a x", "b y", "c z", "b x", "a z", "a q", "b y"]);
        let config = config(CrossSideDuplicates::Error);
        let error = keep_sides_apart(dataset, &split, &config, &mut Vec::new()).unwrap_err();
        assert_eq!(error.count, 2);
        assert_eq!(
            error.problems[0].to_string(),
            "line 1, field \"text\": the text \"x\" (\"a\", meta-train) occurs at line 4 (\"b\", meta-dev) as well; \
             remove one of them, or set data.cross_side_duplicates = \"drop\""
        );
    }

    #[test]
    fn the_side_that_is_tested_on_keeps_its_copy() {
        let (dataset, split) =
            three(&["a x", "b x", "c x", "c x", "a y", "b y", "a z", "b w", "c w"]);
        let (config, mut warnings) = (config(CrossSideDuplicates::Drop), Vec::new());
        let rest = keep_sides_apart(dataset.clone(), &split, &config, &mut warnings).unwrap();
        assert_eq!(texts(&rest), ["c x", "c x", "b y", "a z", "c w"]);
        assert_eq!(rest.domains, dataset.domains);
        let left_out =
            "d.jsonl: left out 4 reviews whose text a meta-dev or low-resource domain has as well";
        assert_eq!(warnings[0], left_out);
    }

    #[test]
    fn meta_train_gives_way_to_meta_dev_domains_that_the_seed_chose() {
        let chosen = DataConfig::default();
        let (dataset, split) = three(&["a x", "b x", "a y", "c z", "b q"]);
        let rest = keep_sides_apart(dataset, &split, &chosen, &mut Vec::new()).unwrap();
        assert_eq!(texts(&rest), ["b x", "a y", "c z", "b q"]);
        for leak in ["a z", "b z"] {
            let (dataset, split) = three(&["a x", "b x", "c z", "b q", leak]);
            let error = keep_sides_apart(dataset, &split, &chosen, &mut Vec::new()).unwrap_err();
            assert!(error.to_string().contains("low-resource"), "{error}");
        }
    }
}
