//! Labels and probabilities for texts, without a graph.

use anyhow::Result;
use tch::{Device, Kind, TchError, Tensor};

use crate::data::batch::{AttentionLayout, Batch};
use crate::model::{Classifier, Pass};
use crate::params::ParamSet;
use crate::ranks::Executor;

/// Tokens in one batch of predictions: enough to fill the processor, little enough for its caches
/// on a CPU.
const CPU_TOKENS: usize = 2_048;
const CUDA_TOKENS: usize = 65_536;

/// The logits of `texts` (token ids, none empty), one row a text in the given order.
///
/// # Errors
/// Any error of libtorch.
pub fn logits(
    classifier: &Classifier,
    params: &ParamSet,
    texts: &[&[u32]],
    executor: Executor,
) -> Result<Vec<Vec<f32>>> {
    let logits = |params: &ParamSet, batch: &Batch| classifier.logits(params, batch, Pass::eval());
    rows(params, texts, executor, logits)
}

/// The vectors that the head reads of `texts` (token ids, none empty), in the given order: `[texts, hidden]`.
///
/// # Errors
/// Any error of libtorch.
pub fn vectors(
    classifier: &Classifier,
    params: &ParamSet,
    texts: &[&[u32]],
    executor: Executor,
) -> Result<Tensor> {
    let embed = |params: &ParamSet, batch: &Batch| classifier.embed(params, batch, Pass::eval());
    let rows = rows(params, texts, executor, embed)?;
    let (head, num_texts) = (params.get(classifier.head().weight), texts.len() as i64);
    let features = Tensor::f_from_slice(&rows.concat())?.f_view([num_texts, head.size()[1]])?;
    Ok(features.f_to_kind(head.kind())?.f_to_device(head.device())?)
}

/// What `compute` makes of each of `texts`, one row a text in the given order.
///
/// Texts are sorted by length and cut into batches of about equal work, so that no batch waits for
/// one long text.
fn rows(
    params: &ParamSet,
    texts: &[&[u32]],
    executor: Executor,
    compute: impl Fn(&ParamSet, &Batch) -> Result<Tensor, TchError> + Sync,
) -> Result<Vec<Vec<f32>>> {
    debug_assert!(texts.iter().all(|text| !text.is_empty()), "a text holds at least [CLS], [SEP]");
    let device = params.device();
    let batches = batches(texts, if device == Device::Cpu { CPU_TOKENS } else { CUDA_TOKENS });
    let work = |params: &ParamSet, index: usize| -> Result<Vec<Vec<f32>>> {
        let chosen: Vec<&[u32]> = batches[index].iter().map(|&text| texts[text]).collect();
        let layout = AttentionLayout::for_device(device);
        let batch = Batch::pack(&chosen, &vec![0; chosen.len()], layout, device)?;
        Ok(to_rows(&tch::no_grad(|| compute(params, &batch))?)?)
    };
    let mut rows = vec![Vec::new(); texts.len()];
    executor.in_one_round().run(
        batches.len(),
        || Ok(params.share()?),
        work,
        |index, found| {
            for (&text, row) in batches[index].iter().zip(found) {
                rows[text] = row;
            }
            Ok(())
        },
    )?;
    Ok(rows)
}

/// The positions of `texts`, cut by ascending length into batches of at most `budget` tokens, or of one text.
fn batches(texts: &[&[u32]], budget: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|&text| texts[text].len());
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut tokens = 0;
    for text in order {
        tokens += texts[text].len();
        match batches.last_mut().filter(|_| tokens <= budget) {
            Some(batch) => batch.push(text),
            None => {
                batches.push(vec![text]);
                tokens = texts[text].len();
            }
        }
    }
    batches
}

/// Softmax of one row of logits.
pub fn probabilities(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.iter().map(|&logit| f64::from(logit - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// The index of the largest value; the first of equals.
pub fn argmax(row: &[f32]) -> u32 {
    let mut best = 0;
    for (label, &logit) in row.iter().enumerate() {
        if logit > row[best] {
            best = label;
        }
    }
    best as u32
}

/// The rows of a 2-dimensional tensor, on the CPU as float32.
pub fn to_rows(tensor: &Tensor) -> Result<Vec<Vec<f32>>, TchError> {
    let width = tensor.size()[1] as usize;
    let flat = tensor.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_reshape([-1])?;
    let values = Vec::<f32>::try_from(flat)?;
    Ok(values.chunks(width).map(<[f32]>::to_vec).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_to_their_budget_and_hold_every_text_once() {
        let texts: Vec<Vec<u32>> = [5, 9, 2, 30, 2, 7].map(|length| vec![0; length]).to_vec();
        let rows: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        assert_eq!(batches(&rows, 10), [vec![2, 4, 0], vec![5], vec![1], vec![3]]);
        assert!(batches(&[], 10).is_empty());
    }

    #[test]
    fn probabilities_of_large_logits_are_finite_and_sum_to_one() {
        let found = probabilities(&[1000.0, 999.0, -1000.0]);
        assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((found[0] / found[1] - 1f64.exp()).abs() < 1e-9, "{found:?}");
    }
}
