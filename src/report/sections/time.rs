//! Where the time of the runs went.

use super::super::charts::bars::{Bars, Part};
use super::super::document::{Cell, DataTable, Figure, Section};
use super::super::run_record::NamedRun;

/// A bar for each run, whose parts are phases.
pub fn section(runs: &[NamedRun]) -> Section {
    let mut phases: Vec<String> = Vec::new();
    let mut table = DataTable::new("", ["run", "phase", "seconds", "share, %"]);
    let mut bars = Vec::new();
    for run in runs {
        let found = run.record.phases_s();
        let total_s: f64 = found.iter().map(|(_, phase_s)| phase_s).sum();
        let mut parts = Vec::new();
        for (phase, phase_s) in found {
            let kind = phases.iter().position(|it| *it == phase).unwrap_or(phases.len());
            if kind == phases.len() {
                phases.push(phase.clone());
            }
            let share = 100.0 * phase_s / total_s;
            let tooltip = format!("{}, {phase}: {phase_s:.1} s, {share:.0} %", run.name);
            parts.push(Part { kind, length: phase_s / 60.0, tooltip });
            table.rows.push(vec![
                Cell::text(&run.name),
                Cell::text(phase),
                Cell::Number(phase_s, 1),
                Cell::Number(share, 1),
            ]);
        }
        if !parts.is_empty() {
            bars.push((run.name.clone(), parts));
        }
    }
    let caption = "Minutes by phase".to_owned();
    let svg = Bars { label: &caption, name: "minutes", bars }.draw();
    Section {
        id: "time".to_owned(),
        title: "Time".to_owned(),
        text: "Phases are those of train --profile; without it, outer steps and evaluations."
            .to_owned(),
        kinds: phases.into_iter().enumerate().collect(),
        figures: svg.map(|svg| Figure { caption, svg }).into_iter().collect(),
        tables: vec![table],
        ..Section::default()
    }
}
