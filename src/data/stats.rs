//! What a dataset holds: sizes, labels and text lengths of every domain, as numbers and as a table.

use serde::Serialize;

use super::ids::ExampleId;
use super::intake::Dataset;
use super::labels::LabelSet;
use super::split::{Side, Split};
use super::tokens::Corpus;
use crate::table::{Align, Table, shown};

/// The numbers of all domains and of the dataset as a whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataStats {
    /// The names of all labels.
    pub labels: Vec<String>,
    /// Whether each domain has a label set of its own.
    pub label_sets_differ: bool,
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
    /// The names of its labels, in the order of the counts.
    pub labels: Vec<String>,
    /// The number of examples of each label.
    pub label_counts: Vec<usize>,
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
    let examples_by_domain = dataset.examples_by_domain();
    let label_sets = dataset.label_sets();
    let rows = (0..).zip(&dataset.domains).zip(&label_sets).zip(&examples_by_domain);
    let rows = rows.map(|(((domain, name), labels), examples)| {
        let side = split.map(|split| split.side_of(domain));
        measure(name, side, examples, labels, dataset, corpus)
    });
    let all: Vec<ExampleId> = (0..dataset.reviews.len() as ExampleId).collect();
    let all_labels = LabelSet::all(dataset.labels.len());
    DataStats {
        labels: dataset.labels.clone(),
        label_sets_differ: dataset.label_sets_differ,
        domains: rows.collect(),
        total: measure("total", None, &all, &all_labels, dataset, corpus),
    }
}

fn measure(
    name: &str,
    side: Option<Side>,
    examples: &[ExampleId],
    labels: &LabelSet,
    dataset: &Dataset,
    corpus: Option<&Corpus>,
) -> DomainStats {
    let mut label_counts = vec![0_usize; labels.len()];
    for &id in examples {
        label_counts[labels.number_of(dataset.reviews[id as usize].label) as usize] += 1;
    }
    // A domain can lose all its reviews to the other sides.
    let num_examples = examples.len().max(1) as f64;
    DomainStats {
        domain: name.to_owned(),
        side,
        examples: examples.len(),
        labels: labels.names(&dataset.labels),
        label_shares: label_counts.iter().map(|&count| count as f64 / num_examples).collect(),
        label_counts,
        lengths: corpus
            .filter(|_| !examples.is_empty())
            .map(|corpus| LengthStats::of(examples, corpus)),
    }
}

impl LengthStats {
    /// The lengths of some examples.
    ///
    /// # Panics
    /// If there is none.
    pub fn of(examples: &[ExampleId], corpus: &Corpus) -> Self {
        let mut lengths: Vec<usize> =
            examples.iter().map(|&id| corpus.full_length_of(id)).collect();
        lengths.sort_unstable();
        let percentile =
            |percent: usize| lengths[(percent * lengths.len()).div_ceil(100).max(1) - 1];
        let num_truncated = examples.iter().filter(|&&id| corpus.is_truncated(id)).count();
        Self {
            min: lengths[0],
            p5: percentile(5),
            p50: percentile(50),
            p95: percentile(95),
            max: percentile(100),
            share_truncated: num_truncated as f64 / lengths.len() as f64,
        }
    }
}

/// The most labels that get a column each.
const MAX_LABEL_COLUMNS: usize = 4;
/// How much of the names of a domain and of a label a table shows.
const MAX_DOMAIN_CHARS: usize = 20;
const MAX_LABEL_CHARS: usize = 14;
/// The lengths of a table that has no room for the first two.
const LENGTHS: [&str; 6] = ["min", "p5", "p50", "p95", "max", "cut %"];

/// The numbers as a table with a line a domain and a last line for the total.
pub fn render_table(stats: &DataStats) -> String {
    let has_sides = stats.domains.iter().any(|row| row.side.is_some());
    let has_label_columns = !stats.label_sets_differ && stats.labels.len() <= MAX_LABEL_COLUMNS;
    let lengths = match (&stats.total.lengths, has_label_columns) {
        (None, _) => 0..0,
        (Some(_), true) => 0..LENGTHS.len(),
        (Some(_), false) => 2..LENGTHS.len(),
    };

    let mut columns = vec![(Align::Left, "domain".to_owned())];
    columns.extend(has_sides.then(|| (Align::Left, "side".to_owned())));
    columns.push((Align::Right, "examples".to_owned()));
    if has_label_columns {
        let labels = stats.labels.iter();
        columns.extend(
            labels.map(|label| (Align::Right, format!("{} %", shown(label, MAX_LABEL_CHARS)))),
        );
    } else {
        columns.push((Align::Right, "labels".to_owned()));
        for title in ["rarest", "most frequent"] {
            columns.extend([(Align::Right, "%".to_owned()), (Align::Left, title.to_owned())]);
        }
    }
    columns.extend(LENGTHS[lengths.clone()].iter().map(|title| (Align::Right, title.to_string())));

    let mut table = Table::new(columns);
    for row in stats.domains.iter().chain([&stats.total]) {
        let mut cells = vec![shown(&row.domain, MAX_DOMAIN_CHARS)];
        cells.extend(has_sides.then(|| row.side.map_or_else(String::new, |side| side.to_string())));
        cells.push(row.examples.to_string());
        match has_label_columns {
            true => cells.extend(row.label_shares.iter().map(|&share| percent(share))),
            false => cells.extend(label_cells(row)),
        }
        cells.extend_from_slice(&length_cells(row.lengths.as_ref())[lengths.clone()]);
        table.push(cells);
    }
    table.to_string()
}

/// How many labels a domain has, and its rarest and its most frequent one, each after its share.
fn label_cells(row: &DomainStats) -> Vec<String> {
    let used = (0..row.labels.len()).filter(|&label| row.label_counts[label] > 0);
    let used: Vec<usize> = used.collect();
    let count = |label: &&usize| row.label_counts[**label];
    let [rarest, largest] = [used.iter().min_by_key(count), used.iter().rev().max_by_key(count)];
    let mut cells = vec![used.len().to_string()];
    for label in [rarest, largest] {
        let share = label.map_or_else(String::new, |&label| percent(row.label_shares[label]));
        cells.extend([
            share,
            label.map_or_else(String::new, |&label| shown(&row.labels[label], MAX_LABEL_CHARS)),
        ]);
    }
    cells
}

/// The cells of [`LENGTHS`].
fn length_cells(lengths: Option<&LengthStats>) -> [String; 6] {
    let Some(lengths) = lengths else { return LENGTHS.map(|_| "-".to_owned()) };
    let LengthStats { min, p5, p50, p95, max, share_truncated } = lengths;
    let [min, p5, p50, p95, max] = [min, p5, p50, p95, max].map(ToString::to_string);
    [min, p5, p50, p95, max, percent(*share_truncated)]
}

fn percent(share: f64) -> String {
    format!("{:.1}", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::super::intake::tests::{dataset, dataset_of_sizes};
    use super::super::tokens::TextTokenizer;
    use super::*;

    #[test]
    fn the_table_has_a_row_a_domain_and_a_total() {
        let dataset = dataset_of_sizes(&[("b\u{e9}b\u{e9}", 4), ("music", 3)]);
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
        let table = render_table(&stats(&dataset_of_sizes(&[("a", 2)]), None, None));
        assert_eq!(
            table,
            "domain  examples  no %  yes %\na              2  50.0   50.0\ntotal          2  50.0   50.0\n"
        );
    }

    #[test]
    fn many_labels_are_counted_and_not_spread_over_columns() {
        let records = [
            ["bank", "transfer", "1"],
            ["bank", "balance", "2"],
            ["bank", "transfer", "3"],
            ["travel", "visa", "4"],
            ["travel", "flight", "5"],
            ["travel", "a_label_whose_name_is_long", "6"],
            ["travel", "flight", "7"],
        ];
        let stats = stats(&dataset(&records), None, None);
        let table = render_table(&stats);
        let expected = "\
domain  examples  labels     %  rarest             %  most frequent
bank           3       2  33.3  balance         66.7  transfer
travel         4       3  25.0  a_label_whose\u{2026}  50.0  flight
total          7       5  14.3  a_label_whose\u{2026}  28.6  flight
";
        assert_eq!(table, expected, "\n{table}");
        assert_eq!(stats.total.label_counts, [1, 1, 2, 2, 1]);
    }

    #[test]
    fn a_domain_with_labels_of_its_own_is_measured_on_these() {
        let records = [["a", "x", "1"], ["b", "y", "2"], ["b", "z", "3"], ["a", "y", "4"]];
        let dataset = Dataset { label_sets_differ: true, ..dataset(&records) };
        let stats = stats(&dataset, None, None);
        assert_eq!(stats.domains[1].labels, ["y", "z"]);
        assert_eq!(stats.domains[1].label_counts, [1, 1]);
        assert_eq!((stats.total.labels.len(), &stats.total.label_counts[..]), (3, &[1, 2, 1][..]));
        let table = render_table(&stats);
        let expected = "\
domain  examples  labels     %  rarest     %  most frequent
a              2       2  50.0  x       50.0  x
b              2       2  50.0  y       50.0  y
total          4       3  25.0  x       50.0  y
";
        assert_eq!(table, expected, "\n{table}");
    }

    #[test]
    fn lengths_are_measured_before_truncation() {
        let directory = tempfile::tempdir().unwrap();
        let vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\ngood\nbad\n";
        std::fs::write(directory.path().join("vocab.txt"), vocab).unwrap();
        let tokenizer = TextTokenizer::open(directory.path()).unwrap();
        let records =
            [["d", "pos", "good bad good"], ["d", "neg", "bad"], ["books", "pos", "good"]];
        let dataset = dataset(&records);
        let corpus = Corpus::new(&dataset, &tokenizer, 4).unwrap();
        let lengths = stats(&dataset, Some(&corpus), None).total.lengths.unwrap();
        assert_eq!((lengths.min, lengths.p50, lengths.max), (3, 3, 5));
        assert!((lengths.share_truncated - 1.0 / 3.0).abs() < 1e-12);
    }

    /// Names of any length and wide numbers: still no wider than a wide terminal.
    #[test]
    fn a_line_stays_within_120_columns() {
        let name = "a".repeat(900);
        let lengths =
            LengthStats { min: 9, p5: 9, p50: 99, p95: 999, max: 999, share_truncated: 1.0 };
        let total = DomainStats {
            domain: name.clone(),
            side: Some(Side::LowResource),
            examples: 99_999_999,
            labels: vec![name.clone(); 150],
            label_counts: vec![1; 150],
            label_shares: vec![1.0; 150],
            lengths: Some(lengths),
        };
        let (labels, domains) = (vec![name; 150], vec![total.clone()]);
        let stats = DataStats { labels, label_sets_differ: false, domains, total };
        let table = render_table(&stats);
        let width = table.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(width <= 120, "{width} columns:\n{table}");
    }
}
