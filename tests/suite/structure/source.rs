//! Rust files, and their code apart from comments and strings.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::run::repository;

/// A Rust file.
pub struct Source {
    /// Its path, from the folder that was searched.
    pub path: PathBuf,
    /// Its content.
    pub text: String,
}

/// Every file of the library and the program, by its path in `src`.
pub fn sources() -> Vec<Source> {
    let root = repository("src");
    sources_below(&root, &root)
}

/// Every file of the repository, tests and benchmarks included, by its path from the root.
pub fn repository_sources() -> Vec<Source> {
    let root = repository("");
    ["src", "tests", "benches"]
        .iter()
        .flat_map(|dir| sources_below(&root.join(dir), &root))
        .collect()
}

fn sources_below(dir: &Path, root: &Path) -> Vec<Source> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources_below(&path, root));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push(Source { path: path.strip_prefix(root).unwrap().into(), text });
        }
    }
    found
}

impl Source {
    /// The modules that lead to the file: `["run", "log"]` for `run/log.rs`, `["run"]` for `run/mod.rs`.
    pub fn module(&self) -> Vec<String> {
        let path = self.path.with_extension("");
        let mut module: Vec<String> =
            path.iter().map(|part| part.to_str().expect("a path in UTF-8").to_owned()).collect();
        if ["mod", "lib", "main"].contains(&module.last().expect("a file has a name").as_str()) {
            module.pop();
        }
        module
    }

    /// The tokens of the code, without those of its unit tests, which come last in a file: words, `::`, and other characters.
    pub fn tokens(&self) -> Vec<String> {
        let end = ["\n#[cfg(test)]\nmod tests {", "\n#[cfg(test)]\npub(super) mod tests {"]
            .iter()
            .find_map(|start| self.text.find(start));
        let code = parts(&self.text[..end.unwrap_or(self.text.len())]).0;
        let mut tokens: Vec<String> = Vec::new();
        let mut is_in_word = false;
        for character in code.chars() {
            let is_of_word = character.is_alphanumeric() || character == '_';
            match tokens.last_mut() {
                Some(last) if is_of_word && is_in_word => last.push(character),
                Some(last) if character == ':' && last == ":" => last.push(':'),
                _ if character.is_whitespace() => {}
                _ => tokens.push(character.into()),
            }
            is_in_word = is_of_word;
        }
        tokens
    }
}

/// A line of a comment or a string.
pub struct Prose {
    /// The number of the line, from 1.
    pub line: usize,
    /// The text.
    pub text: String,
}

/// The code of a file, and its comments and strings, which are a blank in the code.
pub fn parts(text: &str) -> (String, Vec<Prose>) {
    let (mut code, mut prose) = (String::new(), Vec::new());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = first.len_utf8();
        let (is_prose, length) = if rest.starts_with("//") {
            (true, rest.find('\n').unwrap_or(rest.len()))
        } else if let Some(length) = raw_string(rest) {
            (true, length)
        } else if first == '"' {
            (true, quoted(rest, '"'))
        } else if first == '\''
            && (rest.starts_with("'\\") || rest[1..].chars().nth(1) == Some('\''))
        {
            (true, quoted(rest, '\''))
        } else {
            (false, length)
        };
        if is_prose {
            let start = text[..text.len() - rest.len()].matches('\n').count() + 1;
            let lines = (start..).zip(rest[..length].lines());
            prose.extend(lines.map(|(line, text)| Prose { line, text: text.into() }));
            code.push(' ');
        } else {
            code.push(first);
        }
        rest = &rest[length..];
    }
    (code, prose)
}

/// The length of the raw string that `text` begins with.
fn raw_string(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('r')?.trim_start_matches('#');
    let num_hashes = text.len() - inside.len() - 1;
    let inside = inside.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(num_hashes));
    Some(text.len() - inside.len() + inside.find(&end)? + end.len())
}

/// The length of the quotation, with escapes, that `text` begins with.
fn quoted(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (position, character) in text.char_indices().skip(1) {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            end if end == quote => return position + 1,
            _ => {}
        }
    }
    text.len()
}

#[test]
fn comments_and_strings_are_no_code() {
    let text = "a // b \"c\"\n'\\'' d(\"e \\\" // f\", '\"') \n/// g\nr#\"h\"i\"# &'j k 'l'\n";
    let (code, prose) = parts(text);
    assert_eq!(code.split_whitespace().collect::<String>(), "ad(,)&'jk");
    let found: Vec<(usize, &str)> =
        prose.iter().map(|prose| (prose.line, prose.text.as_str())).collect();
    let expected = [
        (1, "// b \"c\""),
        (2, "'\\''"),
        (2, "\"e \\\" // f\""),
        (2, "'\"'"),
        (3, "/// g"),
        (4, "r#\"h\"i\"#"),
        (4, "'l'"),
    ];
    assert_eq!(found, expected);
}
