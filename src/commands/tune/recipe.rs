//! The outcome of a search: a recipe, and a table of what mattered.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use toml::{Table, Value};

use super::journal::Line;
use super::space::Settings;
use crate::config::RunConfig;
use crate::table::{Align, Table as TextTable};

/// Sections and keys that belong to the data, the machine or the occasion, and to no recipe.
const NOT_OF_A_RECIPE: [&str; 8] =
    ["preset", "seed", "device", "precision", "threads", "workers", "model.path", "labels"];
/// The one key of `[data]` that does.
const MAX_LENGTH: &str = "data.max_length";

/// `config` as a recipe: what differs from the defaults, after `comment`, a line for each of its lines.
pub fn recipe(config: &RunConfig, comment: &str) -> String {
    let defaults = RunConfig::default().entries();
    let mut table = Table::new();
    for (key, value) in config.entries() {
        let is_of_recipe = !NOT_OF_A_RECIPE.contains(&key.as_str())
            && (key == MAX_LENGTH || !key.starts_with("data."));
        if is_of_recipe && defaults.get(&key) != Some(&value) {
            let (section, name) = key.split_once('.').expect("other keys have a section");
            let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            section.as_table_mut().expect("a section").insert(name.to_owned(), value);
        }
    }
    let mut text = String::new();
    for line in comment.lines() {
        let _ = writeln!(text, "{}", format!("# {line}").trim_end());
    }
    text + "\n" + &toml::to_string_pretty(&table).expect("a table serialises")
}

/// How the first round's scores depend on each setting that was tried with more than one value: a row for each value, with the
/// mean and the least log loss of the trials that had it.
pub fn what_mattered(
    lines: &[Line],
    trainings: &[Settings],
    adaptations: &[Vec<Settings>],
    first_draws: u64,
) -> TextTable {
    let mut losses: BTreeMap<(&str, String), Vec<f64>> = BTreeMap::new();
    for line in lines {
        let Line::Scored { training, adaptation, draws, log_loss: Some(loss), .. } = line else {
            continue;
        };
        if *draws != first_draws {
            continue;
        }
        let settings = trainings[*training].iter().chain(&adaptations[*training][*adaptation]);
        for (key, value) in settings {
            losses.entry((key, show(value))).or_default().push(*loss);
        }
    }
    let titles = [("setting", Align::Left), ("value", Align::Left), ("trials", Align::Right)];
    let titles =
        titles.into_iter().chain([("mean log loss", Align::Right), ("least", Align::Right)]);
    let mut table = TextTable::new(titles.map(|(title, align)| (align, title)));
    let keys: Vec<&str> = losses.keys().map(|(key, _)| *key).collect();
    for ((key, value), found) in &losses {
        if keys.iter().filter(|other| *other == key).count() > 1 {
            let mean = found.iter().sum::<f64>() / found.len() as f64;
            let least = found.iter().copied().fold(f64::INFINITY, f64::min);
            table.push(vec![
                (*key).to_owned(),
                value.clone(),
                found.len().to_string(),
                format!("{mean:.3}"),
                format!("{least:.3}"),
            ]);
        }
    }
    table
}

/// A value in few characters.
fn show(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Float(number) if *number != 0.0 && number.abs() < 1e-2 => format!("{number:.1e}"),
        Value::Float(number) => {
            format!("{number:.3}").trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_is_what_differs_and_belongs_to_no_data_or_machine() {
        let mut config = RunConfig { threads: 3, seed: 9, ..RunConfig::default() };
        config.data.path = "d.json".into();
        config.data.max_length = 64;
        config.outer.lr = 0.25;
        let text = recipe(&config, "Found.\n\nLog loss 0.5.");
        let expected =
            "# Found.\n#\n# Log loss 0.5.\n\n[data]\nmax_length = 64\n\n[outer]\nlr = 0.25\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn settings_with_two_values_are_compared_on_the_first_round() {
        let settings = |value: f64| Settings::from([("outer.lr".to_owned(), Value::from(value))]);
        let trainings = [settings(1e-4), settings(0.5)];
        let same = Settings::from([("evaluate.scope".to_owned(), Value::from("head"))]);
        let adaptations = [vec![same.clone(), same.clone()], vec![same]];
        let scored = |training, adaptation, draws, loss| Line::Scored {
            training,
            adaptation,
            settings: BTreeMap::new(),
            draws,
            log_loss: Some(loss),
            macro_f1: 0.5,
        };
        let lines = [
            scored(0, 0, 2, 0.5),
            scored(0, 1, 2, 1.5),
            scored(1, 0, 2, 3.0),
            scored(0, 0, 4, 9.0),
        ];
        let text = what_mattered(&lines, &trainings, &adaptations, 2).to_string();
        let rows: Vec<Vec<&str>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            rows[1..],
            [
                vec!["outer.lr", "0.5", "1", "3.000", "3.000"],
                vec!["outer.lr", "1.0e-4", "2", "1.000", "0.500"],
            ]
        );
    }
}
