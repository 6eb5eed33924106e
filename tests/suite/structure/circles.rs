//! Within a folder of `src` no file imports another that imports it, by whatever detour.
//!
//! A folder is a graph of its files and folders. Its `mod.rs` is one of them, but for its re-exports, which belong to the file
//! that has the item: a contract in `mod.rs` knows nobody who keeps it.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Source, sources};

/// Who imports whom in one folder, by names of files and folders.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// A path in the code, such as `["super", "events", "Event"]`.
struct PathInCode {
    segments: Vec<String>,
    is_re_export: bool,
}

/// The paths in the code of a file; those of a `use` with braces one by one.
fn paths(tokens: &[String]) -> Vec<PathInCode> {
    let mut found = Vec::new();
    let mut start = 0;
    while start + 1 < tokens.len() {
        if !is_word(&tokens[start]) || tokens[start + 1] != "::" {
            start += 1;
            continue;
        }
        let is_re_export = tokens[..start].ends_with(&["pub".into(), "use".into()])
            || tokens[..start].ends_with(&[")".into(), "use".into()]);
        let mut expanded = Vec::new();
        start += expand(&tokens[start..], &[], &mut expanded);
        let paths = expanded.into_iter();
        found.extend(paths.map(|segments| PathInCode { segments, is_re_export }));
    }
    found
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Adds the paths that begin at the first token to `found`, and returns how many tokens they take.
fn expand(tokens: &[String], prefix: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut path = prefix.to_vec();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at] == "{" {
            at += 1;
            while at < tokens.len() && tokens[at] != "}" {
                at += match tokens[at].as_str() {
                    "," => 1,
                    "as" => 2,
                    _ => expand(&tokens[at..], &path, found).max(1),
                };
            }
            return at + 1;
        }
        if is_word(&tokens[at]) {
            path.push(tokens[at].clone());
            at += 1;
        }
        if tokens.get(at).is_none_or(|token| token != "::") {
            break;
        }
        at += 1;
    }
    found.push(path);
    at
}

/// The path from the root of the crate; `None` for one of another crate, or of a type.
fn absolute(
    path: &[String],
    module: &[String],
    children: &BTreeSet<String>,
) -> Option<Vec<String>> {
    let num_supers = path.iter().take_while(|segment| *segment == "super").count();
    let (from, rest) = match path[0].as_str() {
        "crate" => (&module[..0], &path[1..]),
        "self" => (module, &path[1..]),
        "super" => (&module[..module.len() - num_supers], &path[num_supers..]),
        child if children.contains(child) => (module, path),
        _ => return None,
    };
    Some([from, rest].concat())
}

/// The names of the files and folders of each folder, by the folder's module.
fn folders(sources: &[Source]) -> BTreeMap<Vec<String>, BTreeSet<String>> {
    let mut folders: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for source in sources {
        let module = source.module();
        for depth in 0..module.len() {
            folders.entry(module[..depth].to_vec()).or_default().insert(module[depth].clone());
        }
    }
    folders
}

fn graph(sources: &[Source], folder: &[String], children: &BTreeSet<String>) -> Graph {
    let mut graph = Graph::new();
    // Where an item that mod.rs re-exports is to be found.
    let mut origins: BTreeMap<String, String> = BTreeMap::new();
    let mut imports = Vec::new();
    for source in sources.iter().filter(|source| source.module().starts_with(folder)) {
        let module = source.module();
        let is_mod = module == folder;
        let importer = module.get(folder.len()).map_or("mod", String::as_str).to_owned();
        let own_children = if is_mod { children.clone() } else { BTreeSet::new() };
        for PathInCode { segments, is_re_export } in paths(&source.tokens()) {
            let Some(path) = absolute(&segments, &module, &own_children) else { continue };
            let Some(inside) = path.strip_prefix(folder) else { continue };
            match (is_mod && is_re_export, inside) {
                (true, [child, .., item]) => drop(origins.insert(item.clone(), child.clone())),
                (true, _) => {}
                (false, inside) => imports.push((importer.clone(), inside.first().cloned())),
            }
        }
    }
    for (importer, name) in imports {
        let imported = match name {
            Some(name) if children.contains(&name) => name,
            name => name.and_then(|name| origins.get(&name).cloned()).unwrap_or("mod".into()),
        };
        if importer != imported {
            graph.entry(importer).or_default().insert(imported);
        }
    }
    graph
}

/// A way from `path`'s first file back to it.
fn circle(graph: &Graph, path: &[String], seen: &mut BTreeSet<String>) -> Option<Vec<String>> {
    let last = path.last().expect("a path has a start");
    for next in graph.get(last)? {
        let longer = [path, std::slice::from_ref(next)].concat();
        if *next == path[0] {
            return Some(longer);
        }
        if seen.insert(next.clone())
            && let Some(found) = circle(graph, &longer, seen)
        {
            return Some(found);
        }
    }
    None
}

#[test]
fn no_files_of_a_folder_import_each_other() {
    let sources = sources();
    let mut circles = Vec::new();
    for (folder, children) in folders(&sources) {
        let graph = graph(&sources, &folder, &children);
        let found = graph
            .keys()
            .filter_map(|file| circle(&graph, std::slice::from_ref(file), &mut BTreeSet::new()));
        // Each circle once, not once for each file of it.
        if let Some(found) = found.min_by_key(Vec::len) {
            circles.push(format!("src/{}: {}", folder.join("/"), found.join(" -> ")));
        }
    }
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn a_circle_is_found_through_braces_folders_and_re_exports() {
    let source = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
    let sources = [
        source("r/mod.rs", "mod a; mod b; mod c; pub use b::{Bee, c::Sea};"),
        source(
            "r/a.rs",
            "use crate::{q::Q, r::{Bee, c}};\n#[cfg(test)]\nmod tests {use super::*;}",
        ),
        source("r/b.rs", "fn f() { super::c::d::g() }"),
        source("r/c/mod.rs", "mod d;"),
        source("r/c/d.rs", "use super::super::a::A; // super::e"),
    ];
    let folders = folders(&sources);
    let folder = ["r".to_owned()];
    let graph = graph(&sources, &folder, &folders[&folder[..]]);
    let edges: Vec<String> = graph.iter().map(|(file, to)| format!("{file} {to:?}")).collect();
    assert_eq!(edges, [r#"a {"b", "c"}"#, r#"b {"c"}"#, r#"c {"a"}"#]);
    let found = circle(&graph, &["b".to_owned()], &mut BTreeSet::new());
    assert_eq!(found.unwrap(), ["b", "c", "a", "b"]);
}
