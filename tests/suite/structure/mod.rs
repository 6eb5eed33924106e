//! The map in src/lib.rs is the truth: every module is in it, and imports only what it may.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn source_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The lines of the import table: module, then what it may import.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(source_root().join("lib.rs")).unwrap();
    let table = text.split("# Who may import whom").nth(1).expect("lib.rs has the import table");
    let table = table.split("```").nth(1).expect("the table is a code block");
    table
        .lines()
        .filter_map(|line| line.strip_prefix("//! "))
        .filter(|line| !line.trim().is_empty() && line.trim() != "text")
        .map(|line| {
            let mut words = line.split_whitespace().map(str::to_owned);
            let module = words.next().expect("a line names a module");
            (module, words.filter(|word| word != "-").collect())
        })
        .collect()
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The modules that a file's code names behind `crate::`.
fn imports(text: &str) -> BTreeSet<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code: Vec<&str> = code.collect();
    let code = code.join("\n");
    let behind = code.split("crate::").skip(1);
    behind
        .map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
        .filter(|name: &String| !name.is_empty())
        .collect()
}

#[test]
fn every_module_imports_only_what_the_table_allows() {
    let table = table();
    let root = source_root();
    let mut seen = BTreeSet::new();
    for file in rust_files(&root) {
        let relative = file.strip_prefix(&root).unwrap();
        let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
        let module = first.trim_end_matches(".rs").to_owned();
        if ["lib", "main"].contains(&module.as_str()) {
            continue;
        }
        let allowed = table.get(&module).unwrap_or_else(|| panic!("{module}: not in the table"));
        for imported in imports(&fs::read_to_string(&file).unwrap()) {
            assert!(
                imported == module || allowed.contains(&imported),
                "{}: imports {imported}, which the table in src/lib.rs does not allow",
                relative.display()
            );
        }
        seen.insert(module);
    }
    let listed: BTreeSet<String> = table.keys().cloned().collect();
    assert_eq!(listed, seen, "the table lists the modules that exist");
}

#[test]
fn unsafe_code_lives_in_torch_ext() {
    for file in rust_files(&source_root()) {
        let text = fs::read_to_string(&file).unwrap();
        let is_unsafe = text.lines().any(|line| {
            !line.trim_start().starts_with("//")
                && line.split_whitespace().any(|word| word == "unsafe")
        });
        let may = file.components().any(|part| part.as_os_str() == "torch_ext");
        assert!(may || !is_unsafe, "{}: unsafe code outside torch_ext", file.display());
    }
}

#[test]
fn files_are_short_enough_to_be_read_in_one_sitting() {
    for file in rust_files(&source_root()) {
        let num_lines = fs::read_to_string(&file).unwrap().lines().count();
        let most =
            if file.components().any(|part| part.as_os_str() == "commands") { 220 } else { 450 };
        assert!(num_lines <= most, "{}: {num_lines} lines, of {most} at most", file.display());
    }
}
