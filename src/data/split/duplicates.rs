//! Texts that occur more than once.
//!
//! Only exact copies are found. Knows no side.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use crate::data::ids::ExampleId;
use crate::data::intake::Dataset;

/// Groups of reviews with exactly the same text: the ids of a group ascend, the groups go by their first id.
pub(super) fn duplicates(dataset: &Dataset) -> Vec<Vec<ExampleId>> {
    let text_of = |id: &ExampleId| dataset.reviews[*id as usize].text.as_str();
    let mut ids: Vec<ExampleId> = (0..dataset.reviews.len() as ExampleId).collect();
    ids.sort_by(|left, right| text_of(left).cmp(text_of(right)));
    let copies = ids.chunk_by(|left, right| text_of(left) == text_of(right));
    let mut groups: Vec<_> = copies.filter(|ids| ids.len() > 1).map(<[_]>::to_vec).collect();
    groups.sort_unstable_by_key(|group| group[0]);
    groups
}

/// Leaves out of every domain the reviews that repeat an earlier text of it: a text that is drawn into a support and a
/// query set would be scored from memory.
pub(super) fn without_repeats(dataset: Dataset, warnings: &mut Vec<String>) -> Dataset {
    let mut repeats: BTreeSet<ExampleId> = BTreeSet::new();
    let mut contradictions = BTreeSet::new();
    for group in duplicates(&dataset) {
        let mut label_in = BTreeMap::new();
        for &id in &group {
            let review = &dataset.reviews[id as usize];
            match label_in.entry(review.domain) {
                Entry::Vacant(first) => {
                    first.insert(review.label);
                }
                Entry::Occupied(first) => {
                    repeats.insert(id);
                    if *first.get() != review.label {
                        contradictions.insert(id);
                    }
                }
            }
        }
    }
    if !repeats.is_empty() {
        let (file, count) = (dataset.path.display(), repeats.len());
        let mut text =
            format!("{file}: left out {count} reviews that repeat a text of their domain");
        if let Some(&first) = contradictions.first() {
            let place = dataset.place_of(&dataset.reviews[first as usize]);
            let count = contradictions.len();
            text += &format!(
                "; {count} of them have another label than the text before, the first at {place}"
            );
        }
        warnings.push(text);
    }
    dataset.without(&repeats)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::intake::tests::dataset;

    #[test]
    fn duplicates_are_grouped_in_file_order() {
        let texts = ["a", "b", "c", "b", "a", "a", "A"];
        let dataset = dataset(&texts.map(|text| ["d", text, text]));
        assert_eq!(duplicates(&dataset), [vec![0, 4, 5], vec![1, 3]]);
    }

    #[test]
    fn the_first_copy_in_each_domain_stays() {
        let records = [
            ["a", "x", "1"],
            ["b", "x", "1"],
            ["a", "y", "1"],
            ["b", "y", "2"],
            ["a", "x", "1"],
            ["a", "y", "1"],
        ];
        let mut warnings = Vec::new();
        let rest = without_repeats(dataset(&records), &mut warnings);
        let positions: Vec<usize> = rest.reviews.iter().map(|review| review.position).collect();
        assert_eq!(positions, [0, 1, 3]);
        let expected = "d.jsonl: left out 3 reviews that repeat a text of their domain; 2 of them have another label than \
                        the text before, the first at line 3";
        assert_eq!(warnings, [expected]);
    }
}
