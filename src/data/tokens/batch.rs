//! A batch of texts packed end to end.
//!
//! Knows token ids and labels, not where they come from and not what reads them.

use tch::{Device, Kind, TchError, Tensor};

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
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn pack(
        texts: &[&[u32]],
        labels: &[u32],
        layout: AttentionLayout,
        device: Device,
    ) -> Result<Self, TchError> {
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
        let on_device = |values: &[i64]| {
            Tensor::f_from_slice(values).and_then(|tensor| tensor.f_to_device(device))
        };
        let padding = (layout == AttentionLayout::Padded)
            .then(|| Padding::new(&lengths, &first_rows, device))
            .transpose()?;
        Ok(Self {
            token_ids: on_device(&token_ids)?,
            position_ids: on_device(&position_ids)?,
            first_rows: on_device(&first_rows)?,
            labels: on_device(&labels)?,
            lengths,
            padding,
        })
    }

    /// Number of tokens of all texts.
    pub fn num_tokens(&self) -> i64 {
        self.lengths.iter().sum()
    }
}

impl Padding {
    fn new(lengths: &[i64], first_rows: &[i64], device: Device) -> Result<Self, TchError> {
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
        Ok(Self {
            num_texts: num_texts as i64,
            packed_row: Tensor::f_from_slice(&packed_row)?.f_to_device(device)?,
            padded_row: Tensor::f_from_slice(&padded_row)?.f_to_device(device)?,
            mask: Tensor::f_from_slice(&mask)?
                .f_view([num_texts as i64, 1, 1, longest])?
                .f_to_kind(Kind::Float)?
                .f_to_device(device)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_keeps_texts_apart_and_in_order() {
        let texts: [&[u32]; 3] = [&[2, 5, 3], &[2, 3], &[2, 7, 8, 3]];
        let batch = Batch::pack(&texts, &[1, 0, 1], AttentionLayout::Padded, Device::Cpu).unwrap();
        let ints = |tensor: &Tensor| Vec::<i64>::try_from(tensor).unwrap();
        assert_eq!(ints(&batch.token_ids), [2, 5, 3, 2, 3, 2, 7, 8, 3]);
        assert_eq!(ints(&batch.position_ids), [0, 1, 2, 0, 1, 0, 1, 2, 3]);
        assert_eq!(ints(&batch.first_rows), [0, 3, 5]);
        let padding = batch.padding.as_ref().unwrap();
        // Padding and unpadding leaves every row where it was.
        let there_and_back = padding.packed_row.index_select(0, &padding.padded_row);
        assert_eq!(ints(&there_and_back), (0..9).collect::<Vec<_>>());
    }
}
