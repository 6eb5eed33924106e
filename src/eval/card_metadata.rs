//! The YAML header of a model card, which the Hugging Face hub reads.
//!
//! Of what nobody said, such as a licence, it says nothing.

use std::fmt::Write as _;

use super::bootstrap::Estimate;

/// The facts of the header.
pub(super) struct Metadata<'a> {
    /// The library that opens the model.
    pub library: &'a str,
    /// The name of what it was adapted from.
    pub base_model: &'a str,
    /// The licence that the card of that states.
    pub license: Option<&'a str>,
    /// The languages that the card of that states.
    pub languages: &'a [String],
    /// The model's own name.
    pub name: &'a str,
    /// How good it is, where that was measured.
    pub result: Option<MeasuredResult<'a>>,
}

/// An estimate of accuracy and macro F1.
pub(super) struct MeasuredResult<'a> {
    /// The domain.
    pub domain: &'a str,
    /// The name of the data file.
    pub file: &'a str,
    /// How it was measured, in words.
    pub method: String,
    /// Accuracy.
    pub accuracy: Estimate,
    /// Macro F1.
    pub macro_f1: Estimate,
}

impl Metadata<'_> {
    /// The header with its delimiters.
    pub(super) fn render(&self) -> String {
        let mut text = format!("---\nlibrary_name: {}\n", self.library);
        text +=
            "pipeline_tag: text-classification\ntags:\n- bert\n- metabert\n- text-classification\n";
        let _ = writeln!(text, "base_model: {}", quoted(&identifier(self.base_model)));
        if let Some(license) = self.license {
            let _ = writeln!(text, "license: {}", quoted(license));
        }
        if !self.languages.is_empty() {
            text += "language:\n";
        }
        for language in self.languages {
            let _ = writeln!(text, "- {}", quoted(language));
        }
        if let Some(result) = &self.result {
            text += "metrics:\n- accuracy\n- f1\nmodel-index:\n";
            let _ = writeln!(text, "- name: {}\n  results:", quoted(self.name));
            text += &result.render();
        }
        text + "---\n"
    }
}

impl MeasuredResult<'_> {
    fn render(&self) -> String {
        let stem = self.file.split('.').next().unwrap_or_default();
        let dataset = format!("{}, domain {}", self.file, self.domain);
        let mut text = format!(
            "  - task:\n      type: text-classification\n      name: Text classification\n    dataset:\n      \
             type: {}\n      name: {}\n    metrics:\n",
            quoted(&identifier(stem)),
            quoted(&dataset),
        );
        for (kind, name, score) in
            [("accuracy", "Accuracy", self.accuracy), ("f1", "Macro F1", self.macro_f1)]
        {
            let interval = match (score.low, score.high) {
                (Some(low), Some(high)) => format!(", 95 % interval {low:.4} to {high:.4}"),
                _ => String::new(),
            };
            let name = quoted(&format!("{name}, {}{interval}", self.method));
            let value = score.mean;
            let _ =
                writeln!(text, "    - type: {kind}\n      value: {value:.4}\n      name: {name}");
        }
        text
    }
}

/// The most characters of a name on the hub.
const MAX_IDENTIFIER: usize = 96;

/// A name as the hub accepts it where it expects one of its own: letters, digits, single `-`, `_`, `.`, and `/` before the last
/// part.
fn identifier(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        let is_allowed = c.is_ascii_alphanumeric() || "-_./".contains(c);
        let c = if is_allowed { c } else { '-' };
        let repeats = "-.".contains(c) && out.ends_with(['-', '.']);
        if !repeats && out.len() < MAX_IDENTIFIER {
            out.push(c);
        }
    }
    match out.trim_matches(['-', '.']) {
        "" => "unnamed".to_owned(),
        name => name.to_owned(),
    }
}

/// A string in double quotes: YAML takes those of JSON, but for characters that it wants escaped.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' | '\u{a1}'..='\u{1fff}' | '\u{3000}'..='\u{d7ff}' => out.push(c),
            _ => {
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
        }
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_is_left_out() {
        let metadata = Metadata {
            library: "transformers",
            base_model: "minilm-l6",
            license: None,
            languages: &[],
            name: "boots",
            result: None,
        };
        let expected = "---\nlibrary_name: transformers\npipeline_tag: text-classification\ntags:\n- bert\n- metabert\n\
                        - text-classification\nbase_model: \"minilm-l6\"\n---\n";
        assert_eq!(metadata.render(), expected);
    }

    // yaml.safe_load gives each text back: tests/fixtures/check_card.py.
    #[test]
    fn strings_are_escaped_where_yaml_wants_it() {
        assert_eq!(quoted("a \"b\" \\ c: - #"), r#""a \"b\" \\ c: - #""#);
        assert_eq!(
            quoted("\n\u{85}\u{2028}\u{7f}\u{e9}"),
            r#""\U0000000A\U00000085\U00002028\U0000007Fé""#
        );
    }

    #[test]
    fn names_are_those_that_the_hub_accepts() {
        assert_eq!(identifier("board games & puzzles!"), "board-games-puzzles");
        assert_eq!(identifier("org/all-MiniLM_v2.1"), "org/all-MiniLM_v2.1");
        assert_eq!(identifier("\u{65e5}\u{672c}"), "unnamed");
        assert_eq!(identifier(&"a".repeat(200)).len(), MAX_IDENTIFIER);
    }
}
