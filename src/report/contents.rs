//! Which sections a report has, and in which order.

use std::collections::BTreeMap;

use super::comparison::Comparison;
use super::document::{Document, Section};
use super::evaluation::EvaluationRecord;
use super::names::Names;
use super::run_record::{NamedRun, RunRecord};
use super::sections::{
    confusion, differences, domains, inner_loss, overview, reliability, settings, support_size,
    time, training,
};

/// The report of runs and evaluations. `differing` holds the settings in which the runs differ, by key, a value for each run.
pub fn document(
    runs: &[RunRecord],
    evaluations: &[EvaluationRecord],
    differing: &BTreeMap<String, Vec<String>>,
) -> Document {
    let names = names(runs, evaluations);
    // A run and its checkpoint have one name and one colour.
    let mut known: Vec<String> = Vec::new();
    let mut series = |name: &str| {
        let place = known.iter().position(|it| it == name);
        place.unwrap_or_else(|| {
            known.push(name.to_owned());
            known.len() - 1
        })
    };
    let mut named_runs = Vec::new();
    for record in runs {
        let name = names.name(&record.path);
        named_runs.push(NamedRun { series: series(&name), name, record });
    }
    let runs = named_runs;
    let comparisons = Comparison::all(evaluations, &names, series);
    let mut sections = vec![overview::runs(&runs)];
    for (number, comparison) in (1..).zip(&comparisons) {
        let mut found = [
            overview::scores(comparison),
            support_size::section(comparison),
            domains::section(comparison),
            differences::to_first(comparison),
            differences::gain(comparison),
            confusion::section(comparison),
            reliability::section(comparison),
            inner_loss::section(comparison),
        ];
        if comparisons.len() > 1 {
            // Scores on other texts or domains cannot be compared: each group has sections of its own.
            for Section { id, title, .. } in &mut found {
                *id = format!("{id}-{number}");
                *title = format!("{title}, group {number}");
            }
        }
        sections.extend(found);
    }
    sections.extend([
        training::section(&runs),
        time::section(&runs),
        settings::section(&runs, differing),
    ]);
    sections.retain(|section| !section.is_empty());
    Document { title: title(&runs, &comparisons), sections }
}

/// The names of runs and checkpoints.
fn names(runs: &[RunRecord], evaluations: &[EvaluationRecord]) -> Names {
    let names = Names::default().with_group(runs.iter().map(|run| run.path.as_str()));
    let as_named = runs.iter().map(|run| (run.argument.as_str(), run.path.as_str()));
    evaluations.iter().fold(names.with_synonyms(as_named), |names, evaluation| {
        names.with_group(evaluation.checkpoints().map(|it| it.checkpoint.as_str()))
    })
}

/// The names of what is compared.
fn title(runs: &[NamedRun], comparisons: &[Comparison]) -> String {
    let candidates = comparisons.iter().flat_map(|comparison| &comparison.candidates);
    let all = runs.iter().map(|run| &run.name).chain(candidates.map(|it| &it.name));
    let mut names: Vec<&str> = Vec::new();
    for name in all {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    match names.as_slice() {
        [first, second, third, _, ..] => {
            format!("{first}, {second}, {third} and {} more", names.len() - 3)
        }
        names => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{html, markdown};
    use super::*;

    const EVALUATION: &str = include_str!("../../tests/fixtures/report/eval.json");
    const EVENTS: &str = include_str!("../../tests/fixtures/report/runs/fomaml/events.jsonl");

    /// A text with one of its numbers or words replaced.
    fn spoiled(text: &str, place: usize, replacement: &str) -> String {
        let starts: Vec<usize> = text.match_indices(": ").map(|(at, _)| at + 2).collect();
        let start = starts[place % starts.len()];
        let length = text[start..].find([',', '}', ']', '\n']).unwrap_or(0);
        format!("{}{replacement}{}", &text[..start], &text[start + length..])
    }

    proptest! {
        #[test]
        fn spoiled_input_is_refused_or_shown(
            place: usize,
            replacement in "0|-1|1e308|-1e308|1e-320|null|\"\"|\"<a>\"|\\[\\]|\\[\\[\\]\\]|\\{\\}|18446744073709551615|true"
        ) {
            let json = spoiled(EVALUATION, place, &replacement);
            let evaluations = EvaluationRecord::parse("e.json", json.as_bytes());
            let events = spoiled(EVENTS, place, &replacement);
            let run = RunRecord::parse("r", "r", String::new(), "r/events.jsonl", events.as_bytes());
            let evaluations: Vec<EvaluationRecord> = evaluations.into_iter().collect();
            let runs: Vec<RunRecord> = run.into_iter().collect();
            let document = document(&runs, &evaluations, &BTreeMap::new());
            let page = html(&document);
            for word in ["\"NaN", ",NaN", "\"inf", "\"-inf", ",inf", ",-inf"] {
                prop_assert!(!page.contains(word), "{replacement} at {place}: {word}");
            }
            prop_assert!(markdown(&document).starts_with("# "));
        }
    }
}
