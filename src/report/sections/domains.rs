//! The score of each domain.

use super::super::charts::intervals::{Dot, Intervals, Row};
use super::super::comparison::Comparison;
use super::super::document::{Cell, DataTable, Figure, Section};
use super::super::evaluation::{ResultRecord, ScoredRecord};
use super::words::{interval, legend, size_in_words};
use crate::eval::report::SupportSize;

/// A chart for each support size: a row for each domain and one for all, a dot for each candidate.
pub fn section(comparison: &Comparison) -> Section {
    let figure = |&size: &SupportSize| {
        let caption = format!("Macro F1 with {}", size_in_words(size));
        let rows = comparison.rows();
        let rows = rows.map(|domain| row(comparison, size, domain)).collect();
        let chart = Intervals { label: &caption, name: "macro F1", has_zero_line: false, rows };
        chart.draw().map(|svg| Figure { caption: caption.clone(), svg })
    };
    Section {
        id: "domains".to_owned(),
        title: "Domains".to_owned(),
        text: "Dots are macro F1 after adapting, with 95 % intervals over the draws; hollow ones that before adapting. The \
               grey bar is what always answering the domain's most frequent label scores."
            .to_owned(),
        legend: legend(comparison),
        figures: comparison.sizes.iter().filter_map(figure).collect(),
        tables: vec![table(comparison)],
        ..Section::default()
    }
}

/// The result of one domain, or of all.
fn of<'a>(scored: &'a ScoredRecord, domain: Option<&str>) -> Option<&'a ResultRecord> {
    match domain {
        Some(name) => scored.of_domain(name),
        None => Some(&scored.overall),
    }
}

fn row(comparison: &Comparison, size: SupportSize, domain: Option<&str>) -> Row {
    let shown = domain.unwrap_or("all domains");
    let dots = comparison.of_size(size).filter_map(|(candidate, scored)| {
        let result = of(scored, domain)?;
        let before = result.zero_step_macro_f1;
        let before_in_words =
            before.map(|it| format!("; before adapting {}", Cell::Score(it).shown()));
        Some(Dot {
            series: candidate.series,
            value: result.macro_f1.mean,
            interval: interval(&result.macro_f1),
            other: before.map(|it| it.mean),
            tooltip: format!(
                "{shown}, {}: {}{}",
                candidate.name,
                Cell::Score(result.macro_f1).shown(),
                before_in_words.unwrap_or_default()
            ),
        })
    });
    let dots: Vec<Dot> = dots.collect();
    let majority = comparison.majority(size).and_then(|scored| of(scored, domain));
    let level = majority.map(|result| {
        let score = result.macro_f1.mean;
        (score, format!("{shown}, majority label: {score:.3}"))
    });
    Row { name: shown.to_owned(), is_total: domain.is_none(), dots, level }
}

fn table(comparison: &Comparison) -> DataTable {
    let columns = [
        "domain",
        "support",
        "checkpoint",
        "accuracy",
        "macro F1",
        "macro F1 before adapting",
        "majority label's macro F1",
        "log loss",
        "calibration error",
        "texts a draw",
    ];
    let mut table = DataTable::new("", columns);
    for domain in &comparison.domains {
        for &size in &comparison.sizes {
            let majority = comparison.majority(size).and_then(|scored| scored.of_domain(domain));
            for (candidate, scored) in comparison.of_size(size) {
                let Some(result) = scored.of_domain(domain) else { continue };
                table.rows.push(vec![
                    Cell::text(*domain),
                    Cell::text(size_in_words(size)),
                    Cell::text(&candidate.name),
                    Cell::Score(result.accuracy),
                    Cell::Score(result.macro_f1),
                    result.zero_step_macro_f1.map_or(Cell::Absent, Cell::Score),
                    Cell::optional(majority.map(|it| it.macro_f1.mean)),
                    Cell::optional(result.log_loss),
                    Cell::optional(result.calibration_error),
                    result.num_scored.map_or(Cell::Absent, Cell::Count),
                ]);
            }
        }
    }
    table.without_empty_columns()
}
