//! The settings in which the runs differ.

use std::collections::{BTreeMap, BTreeSet};

use super::super::document::{Cell, DataTable, Section};
use super::super::run_record::NamedRun;

/// A row for each setting, a column for each run.
pub fn section(runs: &[NamedRun], differing: &BTreeMap<String, Vec<String>>) -> Section {
    let columns = ["setting"].into_iter().chain(runs.iter().map(|run| run.name.as_str()));
    let mut table = DataTable::new("", columns);
    for (key, values) in differing {
        let shown = match key.ends_with(".path") {
            true => ends_of_paths(values),
            false => values.clone(),
        };
        table.rows.push([key.clone()].into_iter().chain(shown).map(Cell::Text).collect());
    }
    Section {
        id: "settings".to_owned(),
        title: "Settings that differ".to_owned(),
        text: "Every key in which the runs differ, as metabert config diff shows it.".to_owned(),
        tables: vec![table],
        ..Section::default()
    }
}

/// As few of the last parts of each path as keep different ones apart: the folders above say nothing about a run.
fn ends_of_paths(values: &[String]) -> Vec<String> {
    let paths: Vec<&str> = values.iter().map(|value| value.trim_matches('"')).collect();
    let num_parts = |path: &&str| path.split('/').count();
    let most = paths.iter().map(num_parts).max().unwrap_or(1);
    let ends = |count: usize| {
        let end = |path: &&str| {
            let start = path.rmatch_indices('/').nth(count - 1).map_or(0, |(at, _)| at + 1);
            path[start..].to_owned()
        };
        paths.iter().map(end).collect::<Vec<String>>()
    };
    let num_different = |shown: &[String]| shown.iter().collect::<BTreeSet<_>>().len();
    let wanted = paths.iter().collect::<BTreeSet<_>>().len();
    let found = (1..most).map(ends).find(|shown| num_different(shown) == wanted);
    found.unwrap_or_else(|| ends(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_differ_are_shown_with_the_parts_in_which_they_do() {
        let shown = |paths: &[&str]| {
            let quoted: Vec<String> = paths.iter().map(|path| format!("\"{path}\"")).collect();
            ends_of_paths(&quoted)
        };
        assert_eq!(
            shown(&["/x/d.json", "/y/d.json", "/x/d.json"]),
            ["x/d.json", "y/d.json", "x/d.json"]
        );
        assert_eq!(shown(&["/home/me/a.json", "b.json"]), ["a.json", "b.json"]);
        assert_eq!(shown(&["/home/me/a.json", "a.json"]), ["me/a.json", "a.json"]);
        assert_eq!(shown(&["/a", "a", ""]), ["/a", "a", ""]);
    }
}
