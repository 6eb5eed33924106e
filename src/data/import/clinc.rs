//! CLINC150 (Larson et al. 2019, "An Evaluation Dataset for Intent Classification and Out-of-Scope Prediction"): pairs of a text
//! and its intent, and a list of the intents of every domain.
//!
//! `data_full.json`: an object with the arrays `train`, `val` and `test`; `oos_*` are left out. `domains.json`: an object with an
//! array of intents for each domain.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::gathered::{Gathered, LeftOut};
use super::layout::{content, wrong};
use super::old_text::decoded;
use crate::data::intake::problem::quote;
use crate::data::intake::{DataError, Place};

/// The file of the texts, and the one of the domains.
const TEXTS: &str = "data_full.json";
const DOMAINS: &str = "domains.json";
/// What texts that belong to no domain have as their intent.
const OUT_OF_SCOPE: &str = "oos";

/// Reads these parts of a folder, or of a file in it; `domains` lists the domains where `domains.json` is elsewhere.
pub(super) fn read(
    path: &Path,
    parts: &[&str],
    domains: Option<&Path>,
    gathered: &mut Gathered,
) -> Result<(), DataError> {
    let file = if path.is_dir() { path.join(TEXTS) } else { path.to_owned() };
    let all: BTreeMap<String, Vec<[String; 2]>> = parsed(&file, "arrays of [text, intent]")?;
    let domains = domains.map_or_else(|| file.with_file_name(DOMAINS), PathBuf::from);
    if !domains.exists() {
        let expected = "a file with the intents of every domain; name it with --domains FILE";
        return Err(wrong(&domains, Place::File, expected, "none"));
    }
    let listed: BTreeMap<String, Vec<String>> = parsed(&domains, "arrays of intents")?;
    let mut domain_of = BTreeMap::new();
    for (domain, intent) in
        listed.iter().flat_map(|(domain, it)| it.iter().map(move |it| (domain, it)))
    {
        if let Some(other) = domain_of.insert(intent.as_str(), domain) {
            let found = format!("{} in {} and {}", quote(intent), quote(other), quote(domain));
            return Err(wrong(&domains, Place::File, "each intent in one domain", found));
        }
    }
    for part in parts {
        let Some(pairs) = all.get(*part) else {
            let found = all.keys().map(|it| quote(it)).collect::<Vec<_>>().join(", ");
            return Err(wrong(&file, Place::File, format!("an array {part:?}"), found));
        };
        for (number, [text, intent]) in (1..).zip(pairs) {
            if intent == OUT_OF_SCOPE {
                gathered.leave_out(LeftOut::OutOfScope);
                continue;
            }
            let domain = domain_of.get(intent.as_str()).ok_or_else(|| {
                let expected = format!("an intent that {} lists", domains.display());
                let found = format!("{} in {part:?}", quote(intent));
                wrong(&file, Place::Record(number), expected, found)
            })?;
            gathered.take(domain, intent, text);
        }
        let out_of_scope = all.get(&format!("{OUT_OF_SCOPE}_{part}"));
        out_of_scope.into_iter().flatten().for_each(|_| gathered.leave_out(LeftOut::OutOfScope));
    }
    Ok(())
}

/// The JSON of a file.
fn parsed<T: DeserializeOwned>(file: &Path, expected: &str) -> Result<T, DataError> {
    let text = decoded(&content(file)?);
    serde_json::from_str(&text).map_err(|error| {
        let expected = format!("an object of {expected}");
        wrong(file, Place::Line(error.line().max(1)), expected, error)
    })
}

#[cfg(test)]
mod tests {
    use super::super::gathered::tests::{self, texts};
    use super::*;

    const FULL: &str = r#"{"val": [["what do i owe", "balance"]], "oos_val": [["why is the sky blue", "oos"]],
        "train": [["pay it", "pay_bill"], ["play abba", "play_music"], ["hm", "oos"]], "test": [["pay it", "pay_bill"]]}"#;
    const LISTED: &str = r#"{"banking": ["pay_bill", "balance"], "home": ["play_music"]}"#;

    fn import(
        files: &[(&str, &str)],
        path: &str,
        domains: Option<&str>,
    ) -> Result<Gathered, String> {
        tests::import(files, |root, gathered| {
            let domains = domains.map(|name| root.join(name));
            read(&root.join(path), &["train", "val", "test"], domains.as_deref(), gathered)
        })
    }

    #[test]
    fn intents_are_labels_of_their_domains() {
        let expected = [
            ["banking", "pay_bill", "pay it"],
            ["home", "play_music", "play abba"],
            ["banking", "balance", "what do i owe"],
        ];
        for (files, path, domains) in [
            ([("data_full.json", FULL), ("domains.json", LISTED)], "", None),
            ([("small.json", FULL), ("domains.json", LISTED)], "small.json", None),
            ([("data_full.json", FULL), ("mine", LISTED)], "", Some("mine")),
        ] {
            let gathered = import(&files, path, domains).unwrap();
            assert_eq!(texts(&gathered), expected);
            let left_out = "left out: 1 that repeat a text of their domain\n\
                            left out: 2 out of scope, which belong to no domain\n";
            assert!(gathered.summary().ends_with(left_out), "{}", gathered.summary());
        }
    }

    #[test]
    fn another_layout_is_named_with_its_place() {
        let only_home = r#"{"home": ["play_music"]}"#;
        let twice = r#"{"home": ["play_music"], "work": ["play_music"]}"#;
        for (files, expected) in [
            (
                &[("data_full.json", FULL)][..],
                "domains.json: expected a file with the intents of every domain; name it with --domains FILE, found none",
            ),
            (
                &[("data_full.json", FULL), ("domains.json", only_home)],
                "data_full.json: record 1: expected an intent that domains.json lists, found \"pay_bill\" in \"train\"",
            ),
            (
                &[("data_full.json", FULL), ("domains.json", twice)],
                "domains.json: expected each intent in one domain, found \"play_music\" in \"home\" and \"work\"",
            ),
            (
                &[("data_full.json", "{\"train\": []}"), ("domains.json", LISTED)],
                "data_full.json: expected an array \"val\", found \"train\"",
            ),
            (
                &[("data_full.json", "{\n\"train\": [3]}"), ("domains.json", LISTED)],
                "data_full.json: line 2: expected an object of arrays of [text, intent], found invalid type: integer `3`, \
                 expected an array of length 2 at line 2 column 11",
            ),
            (
                &[],
                "data_full.json: expected a readable file, found no such file or directory (os error 2)",
            ),
        ] {
            assert_eq!(import(files, "", None).unwrap_err(), expected);
        }
    }
}
