//! What README.md names exists: commands, flags, files.

use std::fs;
use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

/// The commands of the code blocks, one a string, continued lines joined.
fn commands() -> Vec<String> {
    let text = readme();
    let blocks = text.split("```").skip(1).step_by(2);
    let shell = blocks.filter_map(|block| block.strip_prefix("sh\n"));
    shell
        .flat_map(|block| {
            let joined = block.replace("\\\n", " ");
            joined.lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .map(|line| line.split(" #").next().unwrap_or_default().trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

fn help(words: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_metabert")).args(words).arg("--help").output().unwrap();
    assert!(output.status.success(), "metabert {} --help", words.join(" "));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_metabert_command_and_flag_of_the_readme_exists() {
    let mut checked = 0;
    for command in commands() {
        let Some(at) = command.find("metabert ") else { continue };
        let words: Vec<&str> = command[at..].split_whitespace().skip(1).collect();
        if words.first().is_some_and(|word| !word.starts_with(|c: char| c.is_ascii_lowercase())) {
            continue;
        }
        let num_names = if matches!(words[0], "data" | "model") { 2 } else { 1 };
        let help = help(&words[..num_names]);
        for flag in words.iter().filter(|word| word.starts_with("--")) {
            let is_known = help.split(|c: char| c.is_whitespace() || c == ',').any(|w| w == *flag);
            assert!(is_known, "`{command}`: {flag} is not in the help");
            checked += 1;
        }
    }
    assert!(checked >= 15, "only {checked} flags were found in README.md");
}

#[test]
fn every_make_target_of_the_readme_exists() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let mut targets = Vec::new();
    for command in commands() {
        let Some(words) = command.strip_prefix("make ") else { continue };
        let mut words = words.split_whitespace();
        let target = words.next().expect("`make` names a target").to_owned();
        let has_line = |start: &str, what: &str| {
            let is_there = makefile.lines().any(|line| {
                line.strip_prefix(start).is_some_and(|rest| rest.trim_start().starts_with(what))
            });
            assert!(is_there, "`{command}`: the Makefile has no {start}");
        };
        has_line(&target, ":");
        let is_name = |name: &&str| name.chars().all(|c| c.is_ascii_uppercase());
        let settings = words.filter_map(|word| word.split_once('=')).map(|(name, _)| name);
        settings.filter(is_name).for_each(|name| has_line(name, ":="));
        targets.push(target);
    }
    assert_eq!(targets.first().map(String::as_str), Some("demo"), "the first command");
    assert_eq!(targets.get(1).map(String::as_str), Some("test"), "the second command");
}

#[test]
fn every_file_the_readme_links_to_exists() {
    let text = readme();
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    for link in links.filter(|link| !link.starts_with("http") && !link.starts_with('#')) {
        assert!(root().join(link).exists(), "README.md links to {link}");
    }
    for command in commands() {
        for word in command.split_whitespace().filter(|word| word.starts_with("configs/")) {
            assert!(root().join(word).exists(), "`{command}`: {word}");
        }
    }
}

#[test]
fn every_recipe_in_configs_resolves() {
    let mut seen = 0;
    for entry in fs::read_dir(root().join("configs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "toml") {
            continue;
        }
        let output = Command::new(env!("CARGO_BIN_EXE_metabert"))
            .args(["train", "--print-config", "--config"])
            .arg(&path)
            .output()
            .unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {message}", path.display());
        seen += 1;
    }
    assert!(seen >= 2, "only {seen} recipes");
}
