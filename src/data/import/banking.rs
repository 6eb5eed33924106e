//! BANKING77 (Casanueva et al. 2020, "Efficient Intent Detection with Dual Sentence Encoders"): two tables of texts and their
//! intents, all of one domain.
//!
//! `train.csv` and `test.csv`, with the columns `text` and `category`.

use std::path::Path;

use super::gathered::Gathered;
use super::layout::content;
use super::old_text::decoded;
use crate::data::fields::{EmptyTexts, FieldNames};
use crate::data::intake::{DataError, Fields, Problem, for_each_row};

/// The domain of all texts.
const DOMAIN: &str = "banking";

/// Reads the tables of these parts.
pub(super) fn read(path: &Path, parts: &[&str], gathered: &mut Gathered) -> Result<(), DataError> {
    for part in parts {
        let file = path.join(format!("{part}.csv"));
        let text = decoded(&content(&file)?);
        let names = FieldNames { text: "text", label: "category", domain: FieldNames::OWN.domain };
        let fields = Fields { names, file_domain: Some(DOMAIN), empty_texts: EmptyTexts::Error };
        let mut wrong = None;
        let outcome = for_each_row(&text, b',', fields, |_, _, row| match row {
            Ok([text, label, domain]) => gathered.take(domain, label.trim(), text),
            Err(problem) => drop(wrong.get_or_insert(problem)),
        });
        if let Some(problem) = outcome.err().or(wrong) {
            // There are no flags for other names.
            return Err(DataError::single(&file, Problem { fix: String::new(), ..problem }));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::gathered::tests::{self, texts};
    use super::*;

    fn import(train: &str, test: &str) -> Result<Gathered, String> {
        let files = [("train.csv", train), ("test.csv", test)];
        tests::import(&files, |root, gathered| read(root, &["train", "test"], gathered))
    }

    #[test]
    fn categories_are_the_labels_of_one_domain() {
        let train = "text,category\n\"Where is it, my card?\",card_arrival\ntop up\n?,x\n";
        assert!(import(train, "text,category\n").is_err());
        let train = "text,category\n\"Where is it,\n my card?\",card_arrival\n";
        let gathered = import(train, "text,category\nhow to top up,top_up\n").unwrap();
        let expected = [
            ["banking", "card_arrival", "Where is it,\n my card?"],
            ["banking", "top_up", "how to top up"],
        ];
        assert_eq!(texts(&gathered), expected);
    }

    #[test]
    fn another_layout_is_named_with_its_line() {
        for (test, expected) in [
            (
                "text,label\na,b\n",
                "line 1: expected a column \"category\", found \"text\", \"label\"",
            ),
            ("text,category\na,b\nc\n", "line 3: expected 2 cells, as the header has, found 1"),
        ] {
            let error = import("text,category\na,b\n", test).unwrap_err();
            assert_eq!(error, format!("test.csv: {expected}"));
        }
    }
}
