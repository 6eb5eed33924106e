//! What a dataset holds: sizes, labels and text lengths of every domain, as numbers and as a table.

use serde::Serialize;

use super::split::{Side, Split};
use super::{Corpus, Dataset, ExampleId};

/// The numbers of all domains and of the dataset as a whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataStats {
    /// The label names, in the order of the shares.
    pub labels: Vec<String>,
    /// A row a domain, in the order of the names.
    pub domains: Vec<DomainStats>,
    /// All domains together; its name is `total`.
    pub total: DomainStats,
}

/// The numbers of one domain.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DomainStats {
    /// Its name.
    pub domain: String,
    /// Its side, where the dataset is split.
    pub side: Option<Side>,
    /// The number of examples.
    pub examples: usize,
    /// The share of each label, 0 to 1.
    pub label_shares: Vec<f64>,
    /// Its text lengths, where the dataset is tokenised and the domain has examples.
    pub lengths: Option<LengthStats>,
}

/// Text lengths in wordpieces before truncation, `[CLS]` and `[SEP]` included; percentiles by nearest rank.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LengthStats {
    /// The shortest.
    pub min: usize,
    /// The 5th percentile.
    pub p5: usize,
    /// The median.
    pub p50: usize,
    /// The 95th percentile.
    pub p95: usize,
    /// The longest.
    pub max: usize,
    /// The share of texts that are truncated, 0 to 1.
    pub share_truncated: f64,
}

/// Counts and measures every domain; lengths need the corpus, sides the split.
pub fn stats(dataset: &Dataset, corpus: Option<&Corpus>, split: Option<&Split>) -> DataStats {
    let mut examples_of = vec![Vec::new(); dataset.domains.len()];
    for (id, review) in (0..).zip(&dataset.reviews) {
        examples_of[review.domain as usize].push(id);
    }
    let rows = (0..).zip(&dataset.domains).zip(&examples_of).map(|((domain, name), examples)| {
        let side = split.map(|split| split.side_of(domain));
        measure(name, side, examples, dataset, corpus)
    });
    let domains = rows.collect();
    let all: Vec<ExampleId> = (0..dataset.reviews.len() as ExampleId).collect();
    DataStats {
        labels: dataset.labels.clone(),
        domains,
        total: measure("total", None, &all, dataset, corpus),
    }
}

/// The numbers as a table with a line a domain and a last line for the total.
pub fn render_table(stats: &DataStats) -> String {
    let mut header = vec!["domain".to_owned()];
    let has_sides = stats.domains.iter().any(|row| row.side.is_some());
    let has_lengths = stats.total.lengths.is_some();
    if has_sides {
        header.push("side".to_owned());
    }
    header.push("examples".to_owned());
    header.extend(stats.labels.iter().map(|label| format!("{} %", label.escape_debug())));
    if has_lengths {
        header.extend(["min", "p5", "p50", "p95", "max", "truncated %"].map(String::from));
    }
    let mut rows = vec![header];
    for row in stats.domains.iter().chain([&stats.total]) {
        let mut cells = vec![row.domain.escape_debug().to_string()];
        if has_sides {
            cells.push(row.side.map_or_else(String::new, |side| side.to_string()));
        }
        cells.push(row.examples.to_string());
        cells.extend(row.label_shares.iter().map(|share| format!("{:.1}", 100.0 * share)));
        match &row.lengths {
            Some(lengths) => {
                let LengthStats { min, p5, p50, p95, max, share_truncated } = lengths;
                cells.extend([min, p5, p50, p95, max].map(ToString::to_string));
                cells.push(format!("{:.1}", 100.0 * share_truncated));
            }
            None if has_lengths => cells.extend(std::iter::repeat_n("-".to_owned(), 6)),
            None => {}
        }
        rows.push(cells);
    }
    align(&rows, if has_sides { 2 } else { 1 })
}

fn measure(
    name: &str,
    side: Option<Side>,
    examples: &[ExampleId],
    dataset: &Dataset,
    corpus: Option<&Corpus>,
) -> DomainStats {
    let mut counts = vec![0_usize; dataset.labels.len()];
    for &id in examples {
        counts[dataset.reviews[id as usize].label as usize] += 1;
    }
    // A domain can lose all its reviews to the other sides.
    let num_examples = examples.len().max(1) as f64;
    DomainStats {
        domain: name.to_owned(),
        side,
        examples: examples.len(),
        label_shares: counts.iter().map(|&count| count as f64 / num_examples).collect(),
        lengths: corpus
            .filter(|_| !examples.is_empty())
            .map(|corpus| measure_lengths(examples, corpus)),
    }
}

fn measure_lengths(examples: &[ExampleId], corpus: &Corpus) -> LengthStats {
    let mut lengths: Vec<usize> = examples.iter().map(|&id| corpus.full_length_of(id)).collect();
    lengths.sort_unstable();
    let percentile = |percent: usize| lengths[(percent * lengths.len()).div_ceil(100).max(1) - 1];
    let num_truncated = examples.iter().filter(|&&id| corpus.is_truncated(id)).count();
    LengthStats {
        min: lengths[0],
        p5: percentile(5),
        p50: percentile(50),
        p95: percentile(95),
        max: percentile(100),
        share_truncated: num_truncated as f64 / lengths.len() as f64,
    }
}

/// Lines of cells under each other: the first `num_left` columns to the left, the numbers to the right.
fn align(rows: &[Vec<String>], num_left: usize) -> String {
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells =
            row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
                match column < num_left {
                    true => format!("{cell:<width$}"),
                    false => format!("{cell:>width$}"),
                }
            });
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::split::tests::dataset;
    use super::*;

    #[test]
    fn the_table_has_a_row_a_domain_and_a_total() {
        let dataset = dataset(&[("b\u{e9}b\u{e9}", 4), ("music", 3)]);
        let split = Split { meta_train: vec![0], meta_dev: vec![], low_resource: vec![1] };
        let table = render_table(&stats(&dataset, None, Some(&split)));
        let expected = "\
domain  side          examples  no %  yes %
b\u{e9}b\u{e9}    meta-train           4  50.0   50.0
music   low-resource         3  66.7   33.3
total                        7  57.1   42.9
";
        assert_eq!(table, expected, "\n{table}");
    }

    #[test]
    fn a_split_is_not_needed() {
        let table = render_table(&stats(&dataset(&[("a", 2)]), None, None));
        assert_eq!(
            table,
            "domain  examples  no %  yes %\na              2  50.0   50.0\ntotal          2  50.0   50.0\n"
        );
    }
}
