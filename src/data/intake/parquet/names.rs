//! The label names in the metadata of a Parquet file that Hugging Face `datasets` wrote.

use std::collections::BTreeMap;

use parquet::file::metadata::KeyValue;
use serde::Deserialize;
use serde_json::Value;

/// The key of the metadata.
const KEY: &str = "huggingface";

/// The names of the integers in some columns, by column: those of `datasets.ClassLabel`.
pub(super) type Names = BTreeMap<String, Vec<String>>;

#[derive(Deserialize)]
struct Metadata {
    info: Info,
}

#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    features: Option<BTreeMap<String, Value>>,
}

#[derive(Deserialize)]
struct ClassLabel {
    names: Vec<String>,
}

/// The names that the metadata of a file lists; none where `datasets` did not write it.
///
/// # Errors
/// What is wrong with the metadata, in words.
pub(super) fn class_names(metadata: Option<&Vec<KeyValue>>) -> Result<Names, String> {
    let mut entries = metadata.into_iter().flatten();
    let Some(text) = entries.find(|entry| entry.key == KEY).and_then(|entry| entry.value.as_ref())
    else {
        return Ok(Names::new());
    };
    let metadata: Metadata = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let features = metadata.info.features.unwrap_or_default().into_iter();
    let labels = features.filter(|(_, feature)| feature["_type"] == "ClassLabel");
    labels
        .map(|(column, feature)| match serde_json::from_value(feature) {
            Ok(ClassLabel { names }) => Ok((column, names)),
            Err(error) => Err(format!("the names of {column:?}: {error}")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(value: &str) -> Result<Names, String> {
        class_names(Some(&vec![KeyValue::new(KEY.to_owned(), value.to_owned())]))
    }

    #[test]
    fn only_class_labels_have_names() {
        let value = r#"{"info": {"features": {
            "text": {"dtype": "string", "_type": "Value"}, "tags": [{"dtype": "string", "_type": "Value"}],
            "label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}}}"#;
        let expected =
            Names::from([("label".to_owned(), vec!["neg".to_owned(), "pos".to_owned()])]);
        assert_eq!(names(value), Ok(expected));
        assert_eq!(names(r#"{"info": {}}"#), Ok(Names::new()));
        assert_eq!(class_names(None), Ok(Names::new()));
        for wrong in ["{", r#"{"info": {"features": {"label": {"_type": "ClassLabel"}}}}"#] {
            assert!(names(wrong).is_err(), "{wrong}");
        }
    }
}
