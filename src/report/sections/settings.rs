//! The settings in which the runs differ.

use std::collections::BTreeMap;

use super::super::document::{Cell, DataTable, Section};
use super::super::names::last_part;
use super::super::run_record::NamedRun;

/// A row for each setting, a column for each run.
pub fn section(runs: &[NamedRun], differing: &BTreeMap<String, Vec<String>>) -> Section {
    let columns = ["setting"].into_iter().chain(runs.iter().map(|run| run.name.as_str()));
    let mut table = DataTable::new("", columns);
    for (key, values) in differing {
        let shown = values.iter().map(|value| match key.ends_with(".path") {
            // The folders above a file say nothing about a run.
            true => last_part(value.trim_matches('"')),
            false => value.clone(),
        });
        let shown: Vec<String> = shown.collect();
        if shown.iter().any(|value| *value != shown[0]) {
            table.rows.push([key.clone()].into_iter().chain(shown).map(Cell::Text).collect());
        }
    }
    Section {
        id: "settings".to_owned(),
        title: "Settings that differ".to_owned(),
        text: "Every key in which the runs differ, as metabert config diff shows it.".to_owned(),
        tables: vec![table],
        ..Section::default()
    }
}
