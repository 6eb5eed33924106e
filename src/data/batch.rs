//! A batch of texts packed end to end, and how an episode is cut into batches.
//!
//! Knows token ids and labels, not where they come from and not what reads them.

use tch::{Device, Kind, Tensor};

use super::ExampleId;
use super::corpus::Corpus;
use crate::seed;

/// How attention runs over a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionLayout {
    /// One product for each text; nothing is padded.
    PerText,
    /// One product for the batch, padded to its longest text.
    Padded,
}

impl AttentionLayout {
    /// The faster layout on `device`.
    pub fn for_device(device: Device) -> Self {
        if device == Device::Cpu { Self::PerText } else { Self::Padded }
    }
}

/// Texts packed end to end: `tokens` is the sum of their lengths. Integer tensors are int64.
#[derive(Debug)]
pub struct Batch {
    /// Wordpiece ids, `[tokens]`.
    pub token_ids: Tensor,
    /// Position of each token in its text, `[tokens]`.
    pub position_ids: Tensor,
    /// Row of each text's first token, `[batch]`.
    pub first_rows: Tensor,
    /// Number of tokens of each text.
    pub lengths: Vec<i64>,
    /// Label of each text, `[batch]`.
    pub labels: Tensor,
    /// Index tensors for the padded attention layout.
    pub padding: Option<Padding>,
}

/// How packed rows map to rows padded to the longest text, and back.
#[derive(Debug)]
pub struct Padding {
    /// Number of texts.
    pub num_texts: i64,
    /// Packed row for each padded row (any row where there is no token), `[batch * longest]`.
    pub packed_row: Tensor,
    /// Padded row of each packed row, `[tokens]`.
    pub padded_row: Tensor,
    /// 0 where there is a token and -inf where there is none, `[batch, 1, 1, longest]`, float32.
    pub mask: Tensor,
}

impl Batch {
    /// Packs `texts` (token ids with `[CLS]` and `[SEP]`, none empty) and their labels.
    pub fn pack(texts: &[&[u32]], labels: &[u32], layout: AttentionLayout, device: Device) -> Self {
        let lengths: Vec<i64> = texts.iter().map(|text| text.len() as i64).collect();
        let token_ids: Vec<i64> =
            texts.iter().flat_map(|text| text.iter().map(|&id| i64::from(id))).collect();
        let position_ids: Vec<i64> = lengths.iter().flat_map(|&length| 0..length).collect();
        let first_rows: Vec<i64> = lengths
            .iter()
            .scan(0, |next, &length| {
                *next += length;
                Some(*next - length)
            })
            .collect();
        let labels: Vec<i64> = labels.iter().map(|&label| i64::from(label)).collect();
        let on_device = |values: &[i64]| Tensor::from_slice(values).to_device(device);
        let padding = (layout == AttentionLayout::Padded)
            .then(|| Padding::new(&lengths, &first_rows, device));
        Self {
            token_ids: on_device(&token_ids),
            position_ids: on_device(&position_ids),
            first_rows: on_device(&first_rows),
            labels: on_device(&labels),
            lengths,
            padding,
        }
    }

    /// Packs examples of a tokenised dataset.
    pub fn of_examples(
        corpus: &Corpus,
        examples: &[ExampleId],
        layout: AttentionLayout,
        device: Device,
    ) -> Self {
        let texts: Vec<&[u32]> = examples.iter().map(|&id| corpus.tokens_of(id)).collect();
        let labels: Vec<u32> = examples.iter().map(|&id| corpus.label_of(id)).collect();
        Self::pack(&texts, &labels, layout, device)
    }

    /// Number of texts.
    pub fn num_texts(&self) -> usize {
        self.lengths.len()
    }

    /// Number of tokens.
    pub fn num_tokens(&self) -> i64 {
        self.lengths.iter().sum()
    }
}

impl Padding {
    fn new(lengths: &[i64], first_rows: &[i64], device: Device) -> Self {
        let num_texts = lengths.len();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let mut packed_row = Vec::with_capacity(num_texts * longest as usize);
        let mut padded_row = Vec::new();
        let mut mask = Vec::with_capacity(packed_row.capacity());
        for (text, (&length, &first)) in lengths.iter().zip(first_rows).enumerate() {
            for position in 0..longest {
                let is_token = position < length;
                packed_row.push(if is_token { first + position } else { first });
                mask.push(if is_token { 0f32 } else { f32::NEG_INFINITY });
                if is_token {
                    padded_row.push(text as i64 * longest + position);
                }
            }
        }
        Self {
            num_texts: num_texts as i64,
            packed_row: Tensor::from_slice(&packed_row).to_device(device),
            padded_row: Tensor::from_slice(&padded_row).to_device(device),
            mask: Tensor::from_slice(&mask)
                .view([num_texts as i64, 1, 1, longest])
                .to_kind(Kind::Float)
                .to_device(device),
        }
    }
}

/// The examples of gradient step number `step` when `examples` are visited in epochs of shuffled
/// minibatches of `batch_size` (the last one of an epoch may be smaller). A pure function of its
/// arguments: epoch `e` is shuffled by `seed` and `e` alone.
pub fn minibatch(
    examples: &[ExampleId],
    batch_size: usize,
    seed: u64,
    step: usize,
) -> Vec<ExampleId> {
    let per_epoch = num_minibatches(examples.len(), batch_size);
    let (epoch, within) = (step / per_epoch, step % per_epoch);
    let mut order = examples.to_vec();
    seed::shuffle(&mut seed::rng(seed, "minibatch order", epoch as u64), &mut order);
    order.chunks(batch_size).nth(within).expect("`within` is below the number of chunks").to_vec()
}

/// Number of minibatches in one epoch over `num_examples`.
pub fn num_minibatches(num_examples: usize, batch_size: usize) -> usize {
    num_examples.div_ceil(batch_size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_keeps_texts_apart_and_in_order() {
        let texts: [&[u32]; 3] = [&[2, 5, 3], &[2, 3], &[2, 7, 8, 3]];
        let batch = Batch::pack(&texts, &[1, 0, 1], AttentionLayout::Padded, Device::Cpu);
        let ints = |tensor: &Tensor| Vec::<i64>::try_from(tensor).unwrap();
        assert_eq!(ints(&batch.token_ids), [2, 5, 3, 2, 3, 2, 7, 8, 3]);
        assert_eq!(ints(&batch.position_ids), [0, 1, 2, 0, 1, 0, 1, 2, 3]);
        assert_eq!(ints(&batch.first_rows), [0, 3, 5]);
        let padding = batch.padding.as_ref().unwrap();
        // Padding and unpadding leaves every row where it was.
        let there_and_back = padding.packed_row.index_select(0, &padding.padded_row);
        assert_eq!(ints(&there_and_back), (0..9).collect::<Vec<_>>());
    }

    #[test]
    fn an_epoch_visits_every_example_once_in_a_new_order() {
        let examples: Vec<ExampleId> = (0..80).collect();
        let epoch = |e: usize| -> Vec<ExampleId> {
            (0..7).flat_map(|step| minibatch(&examples, 12, 9, e * 7 + step)).collect()
        };
        let (first, second) = (epoch(0), epoch(1));
        assert_ne!(first, second);
        for mut visited in [first, second] {
            visited.sort_unstable();
            assert_eq!(visited, examples);
        }
        assert_eq!(minibatch(&examples, 12, 9, 6).len(), 8, "the last minibatch of an epoch");
    }
}
