//! `config.json` of a BERT model directory.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The activation between the two halves of a feed-forward block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// Gaussian error linear unit, exact.
    #[default]
    Gelu,
    /// Its tanh approximation.
    #[serde(alias = "gelu_pytorch_tanh")]
    GeluNew,
    /// Rectified linear unit.
    Relu,
}

/// More than thirty times BERT-large: a configuration beyond it is a mistake, and would abort the
/// process for want of memory.
const MAX_PARAMETERS: i64 = 10_000_000_000;

/// The architecture of a BERT, with the names and defaults of Hugging Face's `BertConfig`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BertConfig {
    /// Rows of the word embedding table.
    pub vocab_size: i64,
    /// Width of the hidden states.
    pub hidden_size: i64,
    /// Number of encoder layers.
    pub num_hidden_layers: i64,
    /// Number of attention heads; divides `hidden_size`.
    pub num_attention_heads: i64,
    /// Width of the feed-forward blocks.
    pub intermediate_size: i64,
    /// Rows of the position embedding table: the longest text in wordpieces.
    pub max_position_embeddings: i64,
    /// Rows of the token type embedding table.
    pub type_vocab_size: i64,
    /// Added to the variance in layer norms.
    pub layer_norm_eps: f64,
    /// Activation of the feed-forward blocks.
    pub hidden_act: Activation,
    /// Dropout on hidden states.
    pub hidden_dropout_prob: f64,
    /// Dropout on attention weights.
    pub attention_probs_dropout_prob: f64,
    /// Dropout before the classifier; that of the hidden states where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classifier_dropout: Option<f64>,
    /// Standard deviation of freshly drawn weights.
    pub initializer_range: f64,
}

impl Default for BertConfig {
    /// BERT-base, uncased.
    fn default() -> Self {
        Self {
            vocab_size: 30_522,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3_072,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            hidden_act: Activation::Gelu,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            classifier_dropout: None,
            initializer_range: 0.02,
        }
    }
}

impl Display for BertConfig {
    /// Its sizes in one line.
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let (layers, hidden) = (self.num_hidden_layers, self.hidden_size);
        let (heads, wide) = (self.num_attention_heads, self.intermediate_size);
        write!(formatter, "BERT, {layers} layers, hidden {hidden}, {heads} heads, ")?;
        write!(formatter, "feed-forward {wide}, {:?}", self.hidden_act)
    }
}

impl BertConfig {
    /// The architecture called `bert-base`, `bert-mini` or `bert-tiny`: layers and hidden size of Turc
    /// et al. 2019, "Well-Read Students Learn Better", table 1. There are hidden / 64 heads, and the
    /// feed-forward block is four times as wide.
    pub fn named(name: &str) -> Option<Self> {
        let (num_hidden_layers, hidden_size) = match name {
            "bert-base" => (12, 768),
            "bert-mini" => (4, 256),
            "bert-tiny" => (2, 128),
            _ => return None,
        };
        Some(Self {
            num_hidden_layers,
            hidden_size,
            num_attention_heads: hidden_size / 64,
            intermediate_size: 4 * hidden_size,
            ..Self::default()
        })
    }

    /// Reads the architecture out of a parsed `config.json`.
    ///
    /// # Errors
    /// The reason, in one line: a wrong type, an architecture that is not BERT, or
    /// numbers that fit no model.
    pub fn from_json(raw: &Map<String, Value>) -> Result<Self, String> {
        if let Some(model_type) = raw.get("model_type").and_then(Value::as_str)
            && model_type != "bert"
        {
            return Err(format!("expected `model_type` \"bert\", found \"{model_type}\""));
        }
        if let Some(kind) = raw.get("position_embedding_type").and_then(Value::as_str)
            && kind != "absolute"
        {
            return Err(format!(
                "expected `position_embedding_type` \"absolute\", found \"{kind}\""
            ));
        }
        let config: Self = serde_json::from_value(Value::Object(raw.clone()))
            .map_err(|error| error.to_string())?;
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), String> {
        let sizes = [
            ("vocab_size", self.vocab_size, 1 << 24),
            ("hidden_size", self.hidden_size, 1 << 16),
            ("num_hidden_layers", self.num_hidden_layers, 1 << 10),
            ("num_attention_heads", self.num_attention_heads, 1 << 10),
            ("intermediate_size", self.intermediate_size, 1 << 18),
            ("max_position_embeddings", self.max_position_embeddings, 1 << 20),
            ("type_vocab_size", self.type_vocab_size, 1 << 10),
        ];
        for (name, found, largest) in sizes {
            if !(1..=largest).contains(&found) {
                return Err(format!("expected `{name}` in 1..={largest}, found {found}"));
            }
        }
        let num_parameters = (self.vocab_size + self.max_position_embeddings) * self.hidden_size
            + self.num_hidden_layers
                * self.hidden_size
                * (4 * self.hidden_size + 2 * self.intermediate_size);
        if num_parameters > MAX_PARAMETERS {
            return Err(format!(
                "expected at most {MAX_PARAMETERS} parameters, found about {num_parameters}"
            ));
        }
        if self.hidden_size % self.num_attention_heads != 0 {
            return Err(format!(
                "expected `hidden_size` to be a multiple of `num_attention_heads`, found {} and {}",
                self.hidden_size, self.num_attention_heads
            ));
        }
        let rates = [
            ("hidden_dropout_prob", self.hidden_dropout_prob),
            ("attention_probs_dropout_prob", self.attention_probs_dropout_prob),
            ("classifier_dropout", self.classifier_dropout.unwrap_or(0.0)),
        ];
        for (name, found) in rates {
            if !(0.0..1.0).contains(&found) {
                return Err(format!("expected `{name}` from 0 to below 1, found {found}"));
            }
        }
        for (name, found) in
            [("layer_norm_eps", self.layer_norm_eps), ("initializer_range", self.initializer_range)]
        {
            // Weights are drawn and layers normalised in float32, where far larger numbers are infinite.
            if !(found > 0.0 && found <= 1e3) {
                return Err(format!("expected `{name}` above 0 and at most 1000, found {found}"));
            }
        }
        Ok(())
    }
}

/// The labels that `id2label` of a parsed `config.json` names, in the order of their ids; `None`
/// where it is absent or empty.
///
/// # Errors
/// Ids that are not 0, 1, 2, ...
pub fn labels_of(raw: &Map<String, Value>) -> Result<Option<Vec<String>>, String> {
    let map = raw.get("id2label").and_then(Value::as_object);
    let Some(map) = map.filter(|map| !map.is_empty()) else { return Ok(None) };
    let mut labels = Vec::with_capacity(map.len());
    for id in 0..map.len() {
        let label = map.get(&id.to_string()).and_then(Value::as_str);
        let label = label.ok_or_else(|| format!("`id2label` has no string for id {id}"))?;
        labels.push(label.to_owned());
    }
    Ok(Some(labels))
}

/// `raw` with everything set that makes it the `config.json` of a sequence classifier with these
/// labels. Keys that metabert does not know are kept.
pub fn classifier_json(raw: &Map<String, Value>, labels: &[String]) -> Map<String, Value> {
    let mut out = labelled(raw, labels);
    out.insert("architectures".into(), vec!["BertForSequenceClassification"].into());
    out.insert("problem_type".into(), "single_label_classification".into());
    out
}

/// The same for an encoder alone, whose head is elsewhere; without labels there is none.
pub(super) fn encoder_json(raw: &Map<String, Value>, labels: &[String]) -> Map<String, Value> {
    let mut out = labelled(raw, labels);
    out.insert("architectures".into(), vec!["BertModel"].into());
    out.remove("problem_type");
    if labels.is_empty() {
        out.remove("id2label");
        out.remove("label2id");
    }
    out
}

fn labelled(raw: &Map<String, Value>, labels: &[String]) -> Map<String, Value> {
    let mut out = raw.clone();
    // A folder of whoever made the model, or the model's name, which the card has.
    out.shift_remove("_name_or_path");
    // Not every program has defaults for what the file leaves out.
    let architecture = BertConfig::from_json(raw).ok().and_then(|it| serde_json::to_value(it).ok());
    let architecture = architecture.as_ref().and_then(Value::as_object).into_iter().flatten();
    let padding = ("pad_token_id".to_owned(), 0.into());
    for (key, value) in
        architecture.map(|(key, value)| (key.clone(), value.clone())).chain([padding])
    {
        out.entry(key).or_insert(value);
    }
    let id2label: Map<_, _> = labels
        .iter()
        .enumerate()
        .map(|(id, label)| (id.to_string(), label.clone().into()))
        .collect();
    let label2id: Map<_, _> =
        labels.iter().enumerate().map(|(id, label)| (label.clone(), id.into())).collect();
    out.insert("model_type".into(), "bert".into());
    out.insert("id2label".into(), id2label.into());
    out.insert("label2id".into(), label2id.into());
    out.remove("num_labels");
    // The dtype of the weights; newer releases of transformers write `dtype`, older `torch_dtype`.
    out.remove("dtype");
    out.insert("torch_dtype".into(), "float32".into());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn another_architecture_is_refused() {
        let raw = object(serde_json::json!({ "model_type": "roberta" }));
        assert_eq!(
            BertConfig::from_json(&raw).unwrap_err(),
            "expected `model_type` \"bert\", found \"roberta\""
        );
    }

    #[test]
    fn impossible_numbers_are_refused() {
        for bad in [
            serde_json::json!({ "hidden_size": 0 }),
            serde_json::json!({ "hidden_size": 100, "num_attention_heads": 12 }),
            serde_json::json!({ "hidden_dropout_prob": 1.0 }),
            serde_json::json!({ "vocab_size": -1 }),
            serde_json::json!({ "vocab_size": "many" }),
            serde_json::json!({ "layer_norm_eps": 0.0 }),
            serde_json::json!({ "initializer_range": 1e39 }),
        ] {
            assert!(BertConfig::from_json(&object(bad.clone())).is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn no_labels_are_as_good_as_none_named() {
        assert_eq!(labels_of(&object(serde_json::json!({ "id2label": {} }))), Ok(None));
        let raw = object(serde_json::json!({ "id2label": { "1": "a" } }));
        assert_eq!(labels_of(&raw).unwrap_err(), "`id2label` has no string for id 0");
    }

    #[test]
    fn labels_and_unknown_keys_survive_the_round_trip() {
        let raw = object(serde_json::json!({ "my_key": 3, "hidden_size": 384 }));
        let labels = vec!["negative".to_owned(), "positive".to_owned()];
        let written = classifier_json(&raw, &labels);
        assert_eq!(written["my_key"], 3);
        assert_eq!(labels_of(&written).unwrap(), Some(labels));
    }
}
