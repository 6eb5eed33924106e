//! What a model was adapted from, as other people may read it: its name, without a folder of this machine, and what its card
//! states.

use std::path::{Path, PathBuf};

use super::checkpoint::{located, recorded_start};
use crate::files::limited;
use crate::hub::HubName;
use crate::model::ModelDirectory;
use crate::run::environment::model_sha256;
use crate::run::{Environment, RunDirectory};

/// The largest card that is read.
const MAX_CARD_MIB: u64 = 1;
/// How many runs after each other may have started from one another.
const MAX_RUNS: usize = 8;

/// A model that another one descends from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Its name.
    pub name: String,
    /// The licence that its card states.
    pub license: Option<String>,
    /// The languages that its card states.
    pub languages: Vec<String>,
}

impl Origin {
    /// That of the model directory `model`, which `argument` means. A run has no card: that of the model which it started from
    /// counts, as long as it is there.
    pub fn of(argument: &Path, model: &Path) -> Self {
        let (license, languages) = stated_by(model).unwrap_or_default();
        Self { name: public_name(argument), license, languages }
    }
}

/// The last part of a path; the name on the Hugging Face hub for a folder of its cache; the name of the run for a checkpoint.
pub fn public_name(path: &Path) -> String {
    // A name of the Hub means a folder of its cache.
    let located = located(path).unwrap_or_else(|_| path.to_owned());
    if let Some(name) = HubName::of_snapshot(&located) {
        return name.repository().to_owned();
    }
    let parts = |path: &Path| -> Vec<String> {
        let parts = path.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
        parts.filter(|part| part != "." && part != "/").collect()
    };
    let mut parts = match parts(path) {
        // The folder that one is in, or one above it.
        relative if relative.last().is_none_or(|last| last == "..") => {
            path.canonicalize().map_or(Vec::new(), |path| parts(&path))
        }
        parts => parts,
    };
    if let [.., _, checkpoints, _] = parts.as_slice()
        && checkpoints == "checkpoints"
    {
        parts.truncate(parts.len() - 2);
    }
    parts.pop().unwrap_or_default()
}

/// The licence and the languages that the card of a model states, or else that of the model which its run started from.
fn stated_by(model: &Path) -> Option<(Option<String>, Vec<String>)> {
    let mut model: PathBuf = model.to_owned();
    for _ in 0..MAX_RUNS {
        if let Ok(card) = limited::read(&model.join("README.md"), MAX_CARD_MIB) {
            return Some(stated(&String::from_utf8_lossy(&card)));
        }
        let start = RunDirectory::resolve(&located(&recorded_start(&model)?).ok()?).ok()?;
        if !is_start_of(&start, &model) {
            return None;
        }
        model = start;
    }
    None
}

/// Whether the run of a checkpoint has started from what is now in the directory `start`.
fn is_start_of(start: &Path, checkpoint: &Path) -> bool {
    let run = checkpoint.ancestors().nth(2).map(RunDirectory::at);
    let recorded = run.and_then(|run| Environment::read(&run).ok()).map(|it| it.model_sha256);
    let found = ModelDirectory::open(start).ok().and_then(|start| model_sha256(&start).ok());
    recorded.is_some_and(|recorded| !recorded.is_empty() && Some(recorded) == found)
}

/// The values of `license` and `language` in the YAML header of a card. What is written in a form that people do not use there
/// is left out.
fn stated(card: &str) -> (Option<String>, Vec<String>) {
    let lines = card.lines().map(str::trim_end);
    let header: Vec<&str> = match card.starts_with("---\n") || card.starts_with("---\r\n") {
        true => lines.skip(1).take_while(|line| *line != "---").collect(),
        false => Vec::new(),
    };
    let values = |key: &str| -> Vec<String> {
        let start = format!("{key}:");
        let Some(at) = header.iter().position(|line| line.starts_with(&start)) else {
            return Vec::new();
        };
        let inline = header[at][start.len()..].trim();
        let list = inline.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let items: Vec<&str> = match (inline, list) {
            ("", _) => header[at + 1..]
                .iter()
                .map_while(|line| line.trim_start().strip_prefix("- "))
                .collect(),
            (_, Some(items)) => items.split(',').collect(),
            _ => vec![inline],
        };
        let plain = items.iter().map(|item| item.trim().trim_matches(['"', '\'']));
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-._+".contains(c);
        plain.filter(|it| !it.is_empty() && it.chars().all(is_name)).map(str::to_owned).collect()
    };
    let [license] = values("license").try_into().map_or([None], |[one]: [String; 1]| [Some(one)]);
    (license, values("language"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_no_folder_of_this_machine() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        for (path, name) in [
            ("data/models/minilm-l6", "minilm-l6"),
            ("/home/someone/runs/reviews/", "reviews"),
            ("runs/reviews/checkpoints/step-000100", "reviews"),
            (
                &format!("/x/hub/models--org--all-MiniLM-L6-v2/snapshots/{commit}"),
                "org/all-MiniLM-L6-v2",
            ),
            (&format!("models--bert/snapshots/{commit}"), "bert"),
            ("checkpoints/a", "a"),
            ("", ""),
        ] {
            assert_eq!(public_name(Path::new(path)), name, "{path}");
        }
        let here = std::env::current_dir().unwrap();
        assert_eq!(public_name(Path::new(".")), here.file_name().unwrap().to_string_lossy());
    }

    #[test]
    fn licence_and_languages_are_those_of_the_header() {
        let both = |card: &str| {
            let (license, languages) = stated(card);
            (license.unwrap_or_default(), languages.join(" "))
        };
        let pair = |license: &str, languages: &str| (license.to_owned(), languages.to_owned());
        let header = "---\nlanguage: en\nlicense: apache-2.0\ntags:\n- bert\n---\nlicense: mit\n";
        assert_eq!(both(header), pair("apache-2.0", "en"));
        assert_eq!(
            both("---\nlanguage:\n- en\n- \"de\"\nlicense: 'mit'\n---\n"),
            pair("mit", "en de")
        );
        assert_eq!(both("---\nlanguage: [en, fr]\n---\n"), pair("", "en fr"));
        assert_eq!(both("---\nlicense: see the file\nlanguage: {a: b}\n---\n"), pair("", ""));
        assert_eq!(both("# A model\n\nlicense: mit\n"), pair("", ""));
    }
}
