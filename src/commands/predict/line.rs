//! An answer as a line of JSON.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use crate::data::unlabelled::Record;

/// What the fields of an answer are called. Those of a record with these names get [`OWN`] in front, until
/// the record has no other of that name.
const FIELDS: [&str; 3] = ["label", "score", "scores"];
/// Put in front of the name that a field of a record has in common with one of its answer.
const OWN: &str = "input_";

/// The answer to a text, beside the record that it is a field of.
pub struct Line<'a> {
    /// The text.
    pub text: &'a str,
    /// All fields, where it is one of several.
    pub record: Option<Record>,
    /// The label, where it is sure enough.
    pub label: Option<&'a str>,
    /// Its probability.
    pub score: f64,
    /// Those of all labels.
    pub scores: Map<String, Value>,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_map(None)?;
        match &self.record {
            Some(record) => {
                let is_taken = |name: &str| record.iter().any(|(other, _)| other == name);
                for (name, value) in record {
                    let mut own = name.clone();
                    while FIELDS.contains(&own.as_str()) || own != *name && is_taken(&own) {
                        own = format!("{OWN}{own}");
                    }
                    fields.serialize_entry(&own, value)?;
                }
            }
            None => fields.serialize_entry("text", self.text)?,
        }
        fields.serialize_entry(FIELDS[0], &self.label)?;
        fields.serialize_entry(FIELDS[1], &self.score)?;
        fields.serialize_entry(FIELDS[2], &self.scores)?;
        fields.end()
    }
}
