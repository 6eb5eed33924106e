//! What the report is about: the runs, and the scores over all domains.

use super::super::comparison::Comparison;
use super::super::document::{Cell, DataTable, Section};
use super::super::run_record::NamedRun;
use super::words::size_in_words;
use crate::eval::Estimate;

/// A row for each run.
pub fn runs(runs: &[NamedRun]) -> Section {
    let columns = [
        "run",
        "algorithm",
        "outer steps",
        "best meta-dev macro F1",
        "at step",
        "end",
        "left out",
        "minutes",
    ];
    let mut table = DataTable::new("", columns);
    for NamedRun { name, record, .. } in runs {
        let (end, seconds) = record.end();
        let best = record.best();
        let score = best.map(|best| {
            let ends = best.interval;
            Cell::Score(Estimate {
                mean: best.macro_f1,
                low: ends.map(|(low, _)| low),
                high: ends.map(|(_, high)| high),
            })
        });
        let skipped = record.num_skipped();
        table.rows.push(vec![
            Cell::text(name),
            Cell::text(&record.algorithm),
            Cell::Count(record.last_step()),
            score.unwrap_or(Cell::Absent),
            best.map_or(Cell::Absent, |best| Cell::Count(best.step)),
            Cell::text(end.unwrap_or("not yet").replace('_', " ")),
            if skipped > 0 { Cell::Count(skipped) } else { Cell::Absent },
            seconds.map_or(Cell::Absent, |seconds| Cell::Number(seconds / 60.0, 1)),
        ]);
    }
    Section {
        id: "runs".to_owned(),
        title: "Runs".to_owned(),
        text: "The score is that of the meta-dev domains, which pick the checkpoint.".to_owned(),
        tables: vec![table.without_empty_columns()],
        ..Section::default()
    }
}

/// A row for each candidate and support size.
pub fn scores(comparison: &Comparison) -> Section {
    let columns = [
        "checkpoint",
        "support",
        "accuracy",
        "macro F1",
        "accuracy before adapting",
        "macro F1 before adapting",
        "log loss",
        "calibration error",
        "draws that fell back",
    ];
    let mut table = DataTable::new("", columns);
    for &size in &comparison.sizes {
        for (candidate, scored) in comparison.of_size(size) {
            let overall = &scored.overall;
            let fallen = scored.domains.iter().map(|it| it.of_domain.num_fallen_back);
            let fallen: Option<u64> = fallen.sum();
            table.rows.push(vec![
                Cell::text(&candidate.name),
                Cell::text(size_in_words(size)),
                Cell::Score(overall.accuracy),
                Cell::Score(overall.macro_f1),
                overall.zero_step_accuracy.map_or(Cell::Absent, Cell::Score),
                overall.zero_step_macro_f1.map_or(Cell::Absent, Cell::Score),
                Cell::optional(overall.log_loss),
                Cell::optional(overall.calibration_error),
                fallen.filter(|count| *count > 0).map_or(Cell::Absent, Cell::Count),
            ]);
        }
        if let Some(majority) = comparison.majority(size) {
            let mut row = vec![Cell::text("majority label"), Cell::text(size_in_words(size))];
            row.extend([majority.overall.accuracy, majority.overall.macro_f1].map(Cell::Score));
            row.resize(columns.len(), Cell::Absent);
            table.rows.push(row);
        }
    }
    Section {
        id: "scores".to_owned(),
        title: "Scores".to_owned(),
        text: format!("{}. Means over the domains with 95 % intervals.", comparison.task()),
        tables: vec![table.without_empty_columns()],
        ..Section::default()
    }
}
