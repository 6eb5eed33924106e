//! Messages and docs of `src`, and the documents beside it, in plain English: none of the words that read as translated.

use super::source::{parts, sources};
use crate::support::run::repository;

/// The words, and what to say instead.
const BANNED: [(&str, &str); 12] = [
    ("behind", "after"),
    ("stands", "is, occurs"),
    ("stood", "was"),
    ("tell", "report, show, name"),
    ("tells", "reports, shows, names"),
    ("telling", "reporting, showing, naming"),
    ("told", "reported, shown, named"),
    ("go on", "continue, resume"),
    ("goes on", "continues, resumes"),
    ("going on", "continuing, resuming"),
    ("gone on", "continued, resumed"),
    ("went on", "continued, resumed"),
];

/// The banned words in the comments and strings of a file, each with its line and the better word.
fn found(text: &str) -> Vec<(usize, &'static str, &'static str)> {
    found_in(parts(text).1.into_iter().map(|prose| (prose.line, prose.text)))
}

/// The same in lines of prose with their numbers.
fn found_in(
    lines: impl IntoIterator<Item = (usize, impl AsRef<str>)>,
) -> Vec<(usize, &'static str, &'static str)> {
    let mut words: Vec<(usize, String)> = Vec::new();
    for (line, text) in lines {
        let parts = text.as_ref().split(|c: char| !c.is_alphanumeric() && c != '_');
        let parts = parts.filter(|part| !part.is_empty());
        words.extend(parts.map(|part| (line, part.to_lowercase())));
    }
    let mut found = Vec::new();
    for (start, (line, _)) in words.iter().enumerate() {
        for (banned, better) in BANNED {
            let mut rest = words[start..].iter().map(|(_, word)| word.as_str());
            if banned.split(' ').all(|word| rest.next() == Some(word)) {
                found.push((*line, banned, better));
            }
        }
    }
    found
}

#[test]
fn messages_and_docs_are_plain_english() {
    let mut problems = Vec::new();
    for source in sources() {
        for (line, banned, better) in found(&source.text) {
            let path = source.path.display();
            problems.push(format!("src/{path}:{line}: \"{banned}\"; say {better}"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Files for people outside `src`.
const DOCUMENTS: [&str; 15] = [
    "README.md",
    "SECURITY.md",
    "Makefile",
    "benches/README.md",
    "data/README.md",
    "tests/fixtures/README.md",
    "configs/bert-base.toml",
    "configs/eight-gpus.toml",
    "configs/intents.toml",
    "configs/quickstart.toml",
    "configs/reference-fomaml.toml",
    "configs/reference-reptile.toml",
    "configs/reviews.toml",
    ".ci/run",
    ".ci/setup",
];

#[test]
fn documents_are_plain_english() {
    let mut problems = Vec::new();
    for name in DOCUMENTS {
        let text = std::fs::read_to_string(repository(name)).unwrap();
        for (line, banned, better) in found_in((1..).zip(text.lines())) {
            problems.push(format!("{name}:{line}: \"{banned}\"; say {better}"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_banned_word_is_found_in_comments_and_strings_and_not_in_code() {
    let text = "//! It goes\n//! on.\nlet told = \"Behind: {}\"; // untold\n";
    assert_eq!(found(text), [(1, "goes on", "continues, resumes"), (3, "behind", "after")]);
}
