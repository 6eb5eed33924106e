//! Which labels are taken for which.

use super::super::charts::heat_map::HeatMap;
use super::super::comparison::{Candidate, Comparison};
use super::super::document::{Cell, DataTable, Figure, Section};
use super::super::evaluation::ResultRecord;
use super::words::size_in_words;
use crate::eval::report::SupportSize;

/// The most charts: a page of more is not looked at.
const MOST_FIGURES: usize = 48;
/// The most labels whose counts are all in the table.
const MOST_LABELS: usize = 8;
/// How many of the most frequent errors are in the table otherwise.
const MOST_ERRORS: usize = 10;

/// The counts of a matrix and what they are counts of.
struct Matrix {
    title: String,
    labels: Vec<String>,
    counts: Vec<Vec<u64>>,
}

/// A matrix for each candidate with the largest support set: one where all domains share their labels, else one for each.
pub fn section(comparison: &Comparison) -> Section {
    let Some(&size) = comparison.sizes.last() else { return Section::default() };
    let of_candidate = |candidate: &Candidate| matrices(comparison, candidate, size);
    let matrices: Vec<Matrix> = comparison.candidates.iter().flat_map(of_candidate).collect();
    let figure = |matrix: &Matrix| {
        let Matrix { title, labels, counts } = matrix;
        let label = format!("Confusion matrix of {title}");
        let svg = HeatMap { label: &label, labels, counts }.draw()?;
        Some(Figure { caption: title.clone(), svg })
    };
    let mut text = format!(
        "Answers with {}, counted over all draws. A square is as strong as its share of the row.",
        size_in_words(size)
    );
    if matrices.len() > MOST_FIGURES {
        text += &format!(" {MOST_FIGURES} of {} are drawn.", matrices.len());
    }
    Section {
        id: "confusion".to_owned(),
        title: "Confusion".to_owned(),
        text,
        figures: matrices.iter().take(MOST_FIGURES).filter_map(figure).collect(),
        tables: matrices.iter().map(|matrix| table(matrix, size)).collect(),
        ..Section::default()
    }
}

fn matrices(comparison: &Comparison, candidate: &Candidate, size: SupportSize) -> Vec<Matrix> {
    let Some(scored) = candidate.record.of_size(size) else { return Vec::new() };
    let matrix = |result: &ResultRecord| {
        let labels = result.of_domain.labels.iter().map(|label| label.name.clone()).collect();
        let counts = result.of_domain.confusion.clone()?;
        Some(Matrix { title: format!("{}, {}", candidate.name, result.domain), labels, counts })
    };
    let mut found: Vec<Matrix> = scored.domains.iter().filter_map(matrix).collect();
    let is_shared = found.iter().all(|matrix| {
        let size = |matrix: &Matrix| matrix.counts.iter().map(Vec::len).collect::<Vec<_>>();
        matrix.labels == found[0].labels && size(matrix) == size(&found[0])
    });
    if is_shared && found.len() > 1 {
        let mut pooled = found.swap_remove(0);
        for other in found {
            let rows = pooled.counts.iter_mut().zip(&other.counts);
            rows.for_each(|(sum, row)| sum.iter_mut().zip(row).for_each(|(sum, it)| *sum += it));
        }
        pooled.title = format!("{}, {} domains", candidate.name, comparison.domains.len());
        return vec![pooled];
    }
    found
}

fn table(matrix: &Matrix, size: SupportSize) -> DataTable {
    let Matrix { title, labels, counts } = matrix;
    let title = format!("{title}, with {}", size_in_words(size));
    if labels.len() <= MOST_LABELS {
        let columns = [String::new()].into_iter().chain(labels.iter().cloned());
        let mut table = DataTable::new(title, columns);
        for (label, row) in labels.iter().zip(counts) {
            let mut cells = vec![Cell::text(label)];
            cells.extend(row.iter().map(|count| Cell::Count(*count)));
            cells.resize(labels.len() + 1, Cell::Absent);
            table.rows.push(cells);
        }
        return table;
    }
    let mut errors = Vec::new();
    for (row, (truth, of_truth)) in labels.iter().zip(counts).enumerate() {
        let total: u64 = of_truth.iter().sum();
        for (column, (answer, &count)) in labels.iter().zip(of_truth).enumerate() {
            if row != column && count > 0 {
                errors.push((count, total, truth, answer));
            }
        }
    }
    errors.sort_by_key(|(count, ..)| std::cmp::Reverse(*count));
    let title = format!("{title}: most frequent errors");
    let mut table = DataTable::new(title, ["truth", "answer", "texts", "of"]);
    for (count, total, truth, answer) in errors.into_iter().take(MOST_ERRORS) {
        let counts = [count, total].map(Cell::Count);
        table.rows.push([truth, answer].map(Cell::text).into_iter().chain(counts).collect());
    }
    table
}
