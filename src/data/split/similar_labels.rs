//! Labels that somebody may have meant to be one.

use std::collections::BTreeMap;

use crate::data::intake::Dataset;
use crate::data::intake::problem::quote;

/// Warns of labels whose names differ in case or in spaces alone. They stay two labels.
pub(super) fn warn_of_similar_labels(dataset: &Dataset, warnings: &mut Vec<String>) {
    let mut alike: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in &dataset.labels {
        let letters = name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        alike.entry(letters).or_default().push(name);
    }
    let file = dataset.path.display();
    for names in alike.into_values().filter(|names| names.len() > 1) {
        let names: Vec<String> = names.into_iter().map(quote).collect();
        let names = names.join(" and ");
        warnings.push(format!("{file}: the labels {names} differ in case or spaces alone"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::intake::tests::dataset;

    #[test]
    fn labels_that_differ_in_case_or_spaces_are_named() {
        let labels = ["Positive", "negative", "positive", " card  lost", "card lost", "cardlost"];
        let dataset = dataset(&labels.map(|label| ["d", label, label]));
        let mut warnings = Vec::new();
        warn_of_similar_labels(&dataset, &mut warnings);
        let expected = [
            "d.jsonl: the labels \" card  lost\" and \"card lost\" differ in case or spaces alone",
            "d.jsonl: the labels \"Positive\" and \"positive\" differ in case or spaces alone",
        ];
        assert_eq!(warnings, expected);
    }
}
