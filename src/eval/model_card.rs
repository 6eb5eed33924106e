//! The model card of an adapted model.

use std::fmt::Write as _;
use std::path::Path;

use super::card_metadata::{MeasuredResult, Metadata};
use super::cross_validation::CrossValidation;
use crate::data::{Dataset, LengthStats};
use crate::model::Pooling;

/// The facts on a model card.
pub struct ModelCard<'a> {
    /// The domain adapted to.
    pub domain: &'a str,
    /// The name of what it was adapted from.
    pub origin: &'a str,
    /// The licence that the card of that states.
    pub license: Option<&'a str>,
    /// The languages that the card of that states.
    pub languages: &'a [String],
    /// The dataset.
    pub dataset: &'a Dataset,
    /// How many texts of each label were adapted to.
    pub label_counts: Vec<usize>,
    /// How long they are.
    pub lengths: LengthStats,
    /// The adaptation, in words.
    pub adaptation: String,
    /// How its vectors are pooled, which decides the library that opens it.
    pub pooling: Pooling,
    /// What keeps it from doing harm, in words; empty for nothing.
    pub safeguard: String,
    /// Wordpieces to which texts are truncated.
    pub max_length: usize,
    /// The seed.
    pub seed: u64,
    /// The release of libtorch that it was adapted with.
    pub torch: &'a str,
    /// The estimate of its quality.
    pub estimate: Option<&'a CrossValidation>,
}

impl ModelCard<'_> {
    /// The card of the model in `out` as Markdown, with the metadata header of the Hugging Face hub.
    pub fn render(&self, out: &Path, labels: &[String]) -> String {
        let name = out.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy());
        let (library, opens) = match self.pooling {
            Pooling::Cls => (
                "transformers",
                "`transformers.pipeline(\"text-classification\", DIR, truncation=True)` gives labels with their scores.",
            ),
            Pooling::Mean => (
                "sentence-transformers",
                "`SentenceTransformer(DIR).encode(texts)` gives its logits, in the order of the labels below.",
            ),
        };
        let file = self.dataset.path.file_name().unwrap_or_default().to_string_lossy();
        let metadata = Metadata {
            library,
            base_model: self.origin,
            license: self.license,
            languages: self.languages,
            name: &name,
            result: self.estimate.map(|found| MeasuredResult {
                domain: self.domain,
                file: &file,
                method: found.method(),
                accuracy: found.accuracy,
                macro_f1: found.macro_f1,
            }),
        };
        let mut text = format!(
            "{}\n# {name}\n\nA BERT text classifier adapted by metabert {} to the domain `{}`. {opens}\n\n{}",
            metadata.render(),
            env!("CARGO_PKG_VERSION"),
            self.domain,
            self.data(&file, labels),
        );
        let inherited = match (self.license, self.languages) {
            (None, []) => "",
            (Some(_), []) => "licence",
            (None, _) => "language",
            (Some(_), _) => "licence and language",
        };
        let stated = match inherited {
            "" => String::new(),
            facts => format!(
                " What the header says of {facts} comes from the card of the model that it descends from, not from `{file}`."
            ),
        };
        let _ = write!(
            text,
            "\n## Settings\n\nAdapted from `{}` in {}{}{}; texts truncated to {} wordpieces; seed {}; libtorch {}. The \
             complete configuration is in `metabert.toml`.{stated}\n\n## Estimate\n\n",
            self.origin,
            self.adaptation,
            if self.safeguard.is_empty() { "" } else { "; " },
            self.safeguard,
            self.max_length,
            self.seed,
            self.torch,
        );
        match self.estimate {
            Some(found) => text.push_str(&describe(found, labels)),
            None => text.push_str("None was made.\n"),
        }
        text
    }

    /// The texts adapted to: how many, how long, of which labels.
    fn data(&self, file: &str, labels: &[String]) -> String {
        let total: usize = self.label_counts.iter().sum();
        let LengthStats { min, p50, max, share_truncated, .. } = self.lengths;
        let cut = match share_truncated {
            0.0 => String::new(),
            share => format!("; {:.1} % of them were truncated", 100.0 * share),
        };
        let mut text = format!(
            "## Data\n\n{total} labelled texts of `{file}` (SHA-256 `{}`), {min} to {max} wordpieces long, half of them \
             at most {p50}{cut}:\n\n| label | texts |\n|---|---|\n",
            self.dataset.sha256,
        );
        for (label, name) in labels.iter().enumerate() {
            let count = self.label_counts.get(label).copied().unwrap_or(0);
            let _ = writeln!(text, "| {} | {count} |", cell(name));
        }
        text
    }
}

/// The estimate in words, and a table of the labels.
fn describe(found: &CrossValidation, labels: &[String]) -> String {
    let mut text = format!(
        "Stratified {} on the same texts with the same settings, each fold calibrated by the \
         others: accuracy {}, macro F1 {}, log loss {:.3}, calibration error {:.3} (from the answers of all folds \
         together; the 95 % intervals resample the folds). The model itself was adapted to all of the texts.\n\n\
         | label | texts | precision | recall | F1 |\n|---|---|---|---|---|\n",
        found.method(),
        found.accuracy,
        found.macro_f1,
        found.pooled.log_loss(),
        found.pooled.calibration_error(),
    );
    for (name, counts) in labels.iter().zip(found.pooled.confusion.by_label()) {
        let (texts, precision, recall) = (counts.texts, counts.precision(), counts.recall());
        let f1 = counts.f1();
        let name = cell(name);
        if texts == 0 {
            let _ = writeln!(text, "| {name} | 0 | not tested | | |");
            continue;
        }
        let _ = writeln!(text, "| {name} | {texts} | {precision:.3} | {recall:.3} | {f1:.3} |");
    }
    text
}

/// A label in a table of Markdown.
fn cell(label: &str) -> String {
    label.replace('|', "\\|").replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_stays_in_its_cell() {
        assert_eq!(cell("yes|no\nmaybe"), "yes\\|no maybe");
    }
}
