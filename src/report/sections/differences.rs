//! Paired differences: between checkpoints on the same draws, and between after and before adapting.

use super::super::charts::intervals::{Dot, Intervals, Row};
use super::super::comparison::{Candidate, Comparison};
use super::super::document::{Cell, DataTable, Figure, Section};
use super::words::{interval, legend, size_in_words};
use crate::eval::evaluation::Difference;
use crate::eval::report::SupportSize;

/// A difference of a candidate for a size, in one domain or (`None`) all.
type Find<'a> = dyn Fn(&Candidate, SupportSize, Option<&str>) -> Option<Difference> + 'a;

/// Each candidate minus the first one.
pub fn to_first(comparison: &Comparison) -> Section {
    let first = &comparison.candidates[0];
    let find = |candidate: &Candidate, size: SupportSize, domain: Option<&str>| {
        comparison.difference(candidate, size, domain)
    };
    let name = format!("macro F1 minus that of {}", first.name);
    Section {
        id: "differences".to_owned(),
        title: "Paired differences".to_owned(),
        text: format!(
            "Each checkpoint minus {} on the same draws, with 95 % intervals: right of the line it is better, and an interval \
             that reaches over the line leaves it open.",
            first.name
        ),
        legend: legend(comparison).split_off(1),
        figures: figures(comparison, &name, &find),
        tables: vec![table(comparison, &format!("Minus {}", first.name), &find)],
        ..Section::default()
    }
}

/// Each candidate after adapting minus the same before.
pub fn gain(comparison: &Comparison) -> Section {
    let find = |candidate: &Candidate, size: SupportSize, domain: Option<&str>| {
        let scored = candidate.record.of_size(size)?;
        match domain {
            Some(name) => scored.of_domain(name)?.gain,
            None => scored.overall.gain,
        }
    };
    Section {
        id: "gain".to_owned(),
        title: "Gain of adapting".to_owned(),
        text: "The score after adapting minus that before, on the same draws, with 95 % intervals: right of the line \
               adapting helps."
            .to_owned(),
        legend: legend(comparison),
        figures: figures(comparison, "gain in macro F1", &find),
        tables: vec![table(comparison, "After minus before adapting", &find)],
        ..Section::default()
    }
}

/// A chart for each support size.
fn figures(comparison: &Comparison, name: &str, find: &Find) -> Vec<Figure> {
    let figure = |&size: &SupportSize| {
        let caption = format!("With {}", size_in_words(size));
        let label = format!("{name}, with {}", size_in_words(size));
        let domains = comparison.rows();
        let rows = domains.map(|domain| row(comparison, size, domain, find)).collect();
        let chart = Intervals { label: &label, name, has_zero_line: true, rows };
        chart.draw().map(|svg| Figure { caption: caption.clone(), svg })
    };
    comparison.sizes.iter().filter_map(figure).collect()
}

fn row(comparison: &Comparison, size: SupportSize, domain: Option<&str>, find: &Find) -> Row {
    let name = domain.unwrap_or("all domains").to_owned();
    let dots = comparison.candidates.iter().filter_map(|candidate| {
        let found = find(candidate, size, domain)?.macro_f1;
        Some(Dot {
            series: candidate.series,
            value: found.mean,
            interval: interval(&found),
            other: None,
            tooltip: format!("{name}, {}: {}", candidate.name, Cell::Difference(found).shown()),
        })
    });
    let dots = dots.collect();
    Row { name, is_total: domain.is_none(), dots, level: None }
}

fn table(comparison: &Comparison, title: &str, find: &Find) -> DataTable {
    let mut table =
        DataTable::new(title, ["domain", "support", "checkpoint", "accuracy", "macro F1"]);
    for domain in comparison.rows() {
        for &size in &comparison.sizes {
            for candidate in &comparison.candidates {
                let Some(found) = find(candidate, size, domain) else { continue };
                table.rows.push(vec![
                    Cell::text(domain.unwrap_or("all domains")),
                    Cell::text(size_in_words(size)),
                    Cell::text(&candidate.name),
                    Cell::Difference(found.accuracy),
                    Cell::Difference(found.macro_f1),
                ]);
            }
        }
    }
    table
}
