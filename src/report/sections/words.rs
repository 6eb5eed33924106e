//! What sections say alike.

use super::super::comparison::Comparison;
use crate::eval::Estimate;
use crate::eval::report::SupportSize;

/// The names of all candidates with their colours.
pub fn legend(comparison: &Comparison) -> Vec<(usize, String)> {
    comparison.candidates.iter().map(|it| (it.series, it.name.clone())).collect()
}

/// A size of the support set as a number on an axis.
pub fn as_number(size: SupportSize) -> f64 {
    size.total().or(size.per_label()).unwrap_or(0) as f64
}

/// A size of the support set in words.
pub fn size_in_words(size: SupportSize) -> String {
    match size {
        SupportSize::Total(1) => "1 text".to_owned(),
        SupportSize::Total(count) => format!("{count} texts"),
        SupportSize::PerLabel(1) => "1 text a label".to_owned(),
        SupportSize::PerLabel(count) => format!("{count} texts a label"),
    }
}

/// The ends of an interval.
pub fn interval(estimate: &Estimate) -> Option<(f64, f64)> {
    estimate.low.zip(estimate.high)
}
