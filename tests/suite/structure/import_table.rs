//! The map in src/lib.rs is the truth: every module is in it, and imports only what it may.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::source::{parts, sources};
use crate::support::run::repository;

/// The lines of the import table: module, then what it may import.
fn table() -> Vec<(String, BTreeSet<String>)> {
    let text = fs::read_to_string(repository("src/lib.rs")).unwrap();
    let table = text.split("# Who may import whom").nth(1).expect("lib.rs has the import table");
    let table = table.split("```").nth(1).expect("the table is a code block");
    // A line that begins with spaces continues the one before it.
    let table = table.replace("\n//!    ", " ");
    let lines = table.lines().filter_map(|line| line.strip_prefix("//! "));
    lines
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let mut words = line.split_whitespace().map(str::to_owned);
            let module = words.next().expect("a line names a module");
            (module, words.filter(|word| word != "-").collect())
        })
        .collect()
}

#[test]
fn every_module_imports_only_what_the_table_allows() {
    let table: BTreeMap<String, BTreeSet<String>> = table().into_iter().collect();
    let mut seen = BTreeSet::new();
    for source in sources() {
        let Some(module) = source.module().into_iter().next() else { continue };
        let allowed = table.get(&module).unwrap_or_else(|| panic!("{module}: not in the table"));
        // Unit tests too, unlike in `Source::tokens`.
        for path in parts(&source.text).0.split("crate::").skip(1) {
            let end = path.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(path.len());
            let imported = &path[..end];
            assert!(
                imported.is_empty() || imported == module || allowed.contains(imported),
                "{}: imports {imported}, which the table in src/lib.rs does not allow",
                source.path.display()
            );
        }
        seen.insert(module);
    }
    let listed: BTreeSet<String> = table.into_keys().collect();
    assert_eq!(listed, seen, "the table lists the modules that exist");
}

#[test]
fn the_table_goes_from_the_bottom_up() {
    let mut earlier = BTreeSet::new();
    for (module, allowed) in table() {
        assert!(allowed.is_subset(&earlier), "{module}: may import {allowed:?}, after {earlier:?}");
        earlier.insert(module);
    }
}
