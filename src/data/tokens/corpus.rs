//! The dataset tokenised once, in one flat array, picked from by example id.
//!
//! Knows no split and no tensor.

use super::error::TokenizerError;
use super::label_words::words_of;
use super::tokenizer::TextTokenizer;
use crate::data::ids::{DomainId, ExampleId, LabelId};
use crate::data::intake::Dataset;

/// The token ids, labels and domains of all examples.
#[derive(Clone, Debug)]
pub struct Corpus {
    token_ids: Vec<u32>,
    /// Where each example begins in `token_ids`, and the end of the last one.
    offsets: Vec<usize>,
    full_lengths: Vec<u32>,
    labels: Vec<LabelId>,
    domains: Vec<DomainId>,
    examples_by_domain: Vec<Vec<ExampleId>>,
    num_truncated: usize,
    label_names: Vec<Vec<u32>>,
}

impl Corpus {
    /// Tokenises every review of `dataset`, cut to `max_length` ids with `[CLS]` and `[SEP]` included.
    ///
    /// # Errors
    /// As [`TextTokenizer::encode_batch`].
    pub fn new(
        dataset: &Dataset,
        tokenizer: &TextTokenizer,
        max_length: usize,
    ) -> Result<Self, TokenizerError> {
        let texts: Vec<&str> = dataset.reviews.iter().map(|review| review.text.as_str()).collect();
        let encodings = tokenizer.encode_batch(&texts, max_length)?;
        let names: Vec<String> = dataset.labels.iter().map(|name| words_of(name)).collect();
        let names = tokenizer.encode_batch(&names, max_length)?;

        let mut token_ids =
            Vec::with_capacity(encodings.iter().map(|encoding| encoding.ids.len()).sum());
        let mut offsets = Vec::with_capacity(encodings.len() + 1);
        offsets.push(0);
        for encoding in &encodings {
            token_ids.extend_from_slice(&encoding.ids);
            offsets.push(token_ids.len());
        }
        Ok(Self {
            token_ids,
            offsets,
            full_lengths: encodings.iter().map(|encoding| encoding.full_length as u32).collect(),
            labels: dataset.reviews.iter().map(|review| review.label).collect(),
            domains: dataset.reviews.iter().map(|review| review.domain).collect(),
            examples_by_domain: dataset.examples_by_domain(),
            num_truncated: encodings
                .iter()
                .filter(|encoding| encoding.full_length > encoding.ids.len())
                .count(),
            label_names: names.into_iter().map(|encoding| encoding.ids).collect(),
        })
    }

    /// The token ids of an example, `[CLS]` first and `[SEP]` last.
    pub fn tokens_of(&self, example: ExampleId) -> &[u32] {
        let position = example as usize;
        &self.token_ids[self.offsets[position]..self.offsets[position + 1]]
    }

    /// The token ids of the words of a label's name.
    pub fn name_of(&self, label: LabelId) -> &[u32] {
        &self.label_names[label as usize]
    }

    /// The label of an example.
    pub fn label_of(&self, example: ExampleId) -> LabelId {
        self.labels[example as usize]
    }

    /// The domain of an example.
    pub fn domain_of(&self, example: ExampleId) -> DomainId {
        self.domains[example as usize]
    }

    /// The number of token ids that an example had before truncation.
    pub fn full_length_of(&self, example: ExampleId) -> usize {
        self.full_lengths[example as usize] as usize
    }

    /// Whether an example was cut to the longest allowed length.
    pub fn is_truncated(&self, example: ExampleId) -> bool {
        self.full_length_of(example) > self.tokens_of(example).len()
    }

    /// The examples of a domain, ascending.
    pub fn examples_of(&self, domain: DomainId) -> &[ExampleId] {
        &self.examples_by_domain[domain as usize]
    }

    /// The number of examples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The number of token ids in all.
    pub fn num_tokens(&self) -> usize {
        self.token_ids.len()
    }

    /// The number of examples that were cut to the longest allowed length.
    pub fn num_truncated(&self) -> usize {
        self.num_truncated
    }

    /// The largest token id, which has to lie inside the model's embedding table; 0 where there is no example.
    pub fn max_token_id(&self) -> u32 {
        self.token_ids.iter().copied().max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn examples_keep_their_tokens_label_and_domain() {
        let directory = tempfile::tempdir().unwrap();
        let vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\ngood\nbad\n";
        std::fs::write(directory.path().join("vocab.txt"), vocab).unwrap();
        let tokenizer = TextTokenizer::open(directory.path()).unwrap();
        let lines = r#"{"text":"good bad good","label":"pos","domain":"dvd"}
            {"text":"bad","label":"neg","domain":"books"}
            {"text":"good","label":"pos","domain":"dvd"}"#;
        let dataset = Dataset::parse(Path::new("d.jsonl"), lines.as_bytes(), &[]).unwrap();
        let corpus = Corpus::new(&dataset, &tokenizer, 4).unwrap();

        let tokens: Vec<&[u32]> = (0..3).map(|id| corpus.tokens_of(id)).collect();
        assert_eq!(tokens, [&[2, 4, 5, 3][..], &[2, 5, 3], &[2, 4, 3]]);
        assert_eq!([0, 1, 2].map(|id| corpus.label_of(id)), [1, 0, 1]);
        assert_eq!([0, 1, 2].map(|id| corpus.domain_of(id)), [1, 0, 1]);
        assert_eq!([0, 1].map(|domain| corpus.examples_of(domain)), [&[1][..], &[0, 2]]);
        assert_eq!([0, 1, 2].map(|id| corpus.full_length_of(id)), [5, 3, 3]);
        assert_eq!((corpus.len(), corpus.num_truncated(), corpus.max_token_id()), (3, 1, 5));
    }
}
