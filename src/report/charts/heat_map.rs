//! Counts in a square table as a heat map: a row for each truth, a column for each answer.

use super::svg::{Anchor, Svg, WIDTH, width_of};

const TOP: f64 = 24.0;
/// The most room for the names of rows.
const MOST_NAME: f64 = 130.0;
/// Sides of the squares.
const LEAST_SIDE: f64 = 6.0;
const MOST_SIDE: f64 = 56.0;
/// Below this side a square has no number in it.
const SIDE_WITH_NUMBER: f64 = 26.0;
/// Below this side rows have no names.
const SIDE_WITH_NAME: f64 = 10.0;

/// The most labels that fit.
pub const MOST_LABELS: usize = ((WIDTH - MOST_NAME - 20.0) / LEAST_SIDE) as usize;

/// A square table of counts.
#[derive(Debug)]
pub struct HeatMap<'a> {
    /// What it shows, for those who do not see it.
    pub label: &'a str,
    /// The names of rows and columns.
    pub labels: &'a [String],
    /// `[labels, labels]`: a row for each truth.
    pub counts: &'a [Vec<u64>],
}

impl HeatMap<'_> {
    /// The chart, in which the strength of a square is its share of the row; `None` without a count, and for too many labels.
    pub fn draw(self) -> Option<String> {
        let num_labels = self.labels.len();
        let is_square = self.counts.len() == num_labels
            && self.counts.iter().all(|row| row.len() == num_labels);
        let total: u64 = self.counts.iter().flatten().sum();
        if total == 0 || num_labels > MOST_LABELS || !is_square {
            return None;
        }
        let names = self.labels.iter().map(|name| width_of(name)).fold(20.0, f64::max);
        let left = names.min(MOST_NAME) + 12.0;
        let side = ((WIDTH - left - 8.0) / num_labels as f64).min(MOST_SIDE);
        let mut svg = Svg::default();
        svg.text("name", (left, 12.0), Anchor::Start, WIDTH, "answers \u{2192}, truths \u{2193}");
        let whole = side * num_labels as f64;
        svg.rectangle("empty", (left, TOP), (whole, whole), "");
        for (row, (truth, counts)) in self.labels.iter().zip(self.counts).enumerate() {
            let of_truth: u64 = counts.iter().sum();
            let y = TOP + side * row as f64;
            if side >= SIDE_WITH_NAME {
                let place = (left - 6.0, y + side / 2.0 + 4.0);
                svg.text("row", place, Anchor::End, left - 6.0, truth);
            }
            for (column, (answer, &count)) in self.labels.iter().zip(counts).enumerate() {
                if count == 0 {
                    continue;
                }
                let (x, share) = (left + side * column as f64, count as f64 / of_truth as f64);
                let class = if row == column { "heat right" } else { "heat wrong" };
                let tooltip = format!(
                    "{truth}, answered {answer}: {count} of {of_truth} ({:.0} %)",
                    100.0 * share
                );
                svg.heat(class, (x, y), side, share, &tooltip);
                if side >= SIDE_WITH_NUMBER {
                    let class = if share > 0.5 { "count strong" } else { "count" };
                    let place = (x + side / 2.0, y + side / 2.0 + 4.0);
                    svg.text(class, place, Anchor::Middle, side, &count.to_string());
                }
            }
        }
        Some(svg.finish(TOP + whole + 8.0, self.label))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_are_there_for_counts_above_zero() {
        let labels = ["no".to_owned(), "yes".to_owned()];
        let counts = [vec![3, 1], vec![0, 2]];
        let chart = HeatMap { label: "", labels: &labels, counts: &counts }.draw().unwrap();
        assert_eq!(chart.matches("heat right").count(), 2);
        assert_eq!(chart.matches("heat wrong").count(), 1);
        assert!(chart.contains("no, answered yes: 1 of 4 (25 %)"), "{chart}");
        let none = [vec![0, 0], vec![0, 0]];
        assert_eq!(HeatMap { label: "", labels: &labels, counts: &none }.draw(), None);
    }

    #[test]
    fn a_table_that_is_not_square_is_not_drawn() {
        let labels = ["no".to_owned(), "yes".to_owned()];
        assert_eq!(HeatMap { label: "", labels: &labels, counts: &[vec![1, 2]] }.draw(), None);
    }
}
