//! What the records of a file are like.

use serde::{Deserialize, Serialize};

/// The names of the fields of a record; all others are ignored.
#[derive(Clone, Copy, Debug)]
pub struct FieldNames<'a> {
    /// The field with the text.
    pub text: &'a str,
    /// The field with its label.
    pub label: &'a str,
    /// The field with its domain.
    pub domain: &'a str,
}

/// What to do about a record whose text is empty, null or missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmptyTexts {
    /// Refuse the file.
    #[default]
    Error,
    /// Leave the record out, with a warning.
    Drop,
}

/// How the records of a file are read.
#[derive(Clone, Copy, Debug)]
pub struct RecordRules<'a> {
    /// What their fields are called.
    pub fields: FieldNames<'a>,
    /// What to do about a record without a text.
    pub empty_texts: EmptyTexts,
}

impl Default for RecordRules<'static> {
    fn default() -> Self {
        Self { fields: FieldNames::OWN, empty_texts: EmptyTexts::default() }
    }
}

impl FieldNames<'static> {
    /// Those of metabert's own files.
    pub const OWN: Self = Self { text: "text", label: "label", domain: "domain" };
}

impl<'a> FieldNames<'a> {
    /// All three, in this order.
    pub fn all(self) -> [&'a str; 3] {
        [self.text, self.label, self.domain]
    }
}
