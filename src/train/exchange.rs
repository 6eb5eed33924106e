//! What ranks exchange while they train: their parts of a meta-batch, whether to stop, and the state to start from.

use std::sync::Arc;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, TchError, Tensor};

use super::meta_batch::{EpisodeNumbers, MeanGradient, MetaBatch, Node, StepReport, Sum, sum_of};
use super::non_finite::NonFinite;
use crate::params::{Init, Layout, ParamSet, Region};
use crate::ranks::Group;
use crate::run::{Progress, TrainingState};

/// What a rank's part of a meta-batch consists of, but for the sums.
#[derive(Serialize, Deserialize)]
struct Contents {
    /// First position, number of positions, and whether there is a sum, of each node.
    nodes: Vec<(u64, u64, bool)>,
    report: Vec<EpisodeNumbers>,
    non_finite: Vec<NonFinite>,
}

/// The mean over the parts of all ranks, the same in all of them to the bit.
///
/// Between hosts it is that of one process that has computed all parts, to the bit as well: each rank sums up one shard of the
/// parameters in the fixed tree, and all get all shards. With P numbers a sum and k sums of a rank, of which there are about two, a
/// rank sends about (k + 1) P of them and holds (2 k + 2) P, however many ranks there are. Connected GPUs add up one sum each in an
/// order of their own: a rank sends about 2 P numbers, and holds no more than without others.
///
/// # Errors
/// Lost processes, and any error of libtorch.
pub fn mean_over_ranks(group: &Group, batch: MetaBatch, meta: &ParamSet) -> Result<MeanGradient> {
    if group.size() == 1 {
        return Ok(batch.finish(meta)?);
    }
    let _span = tracing::trace_span!("exchange").entered();
    if group.has_gpus() {
        return mean_of_sums(group, batch, meta, |tensors| Ok(group.sum_on_gpus(tensors)?));
    }
    let MetaBatch { step, nodes, report, non_finite } = batch;
    let has_sum = |node: &Node| !matches!(node.sum, Sum::Empty);
    let contents = Contents {
        nodes: nodes.iter().map(|node| (node.first, node.size, has_sum(node))).collect(),
        report: report.0,
        non_finite,
    };
    let all = group.all_values(&contents)?;

    let mut sums = Vec::new();
    for node in nodes {
        if let Some(sum) = node.sum.whole(meta)? {
            sums.push(flat(&sum)?);
        }
    }
    let count: i64 = meta.tensors().iter().map(|tensor| tensor.numel() as i64).sum();
    let shards = Shards::new(count, group);
    let kind = meta.tensors()[0].kind();
    let received = shards.deal((&sums, kind), &all, group)?;

    let layout = shards.own_layout();
    let zeros = Tensor::f_zeros([shards.own()], (kind, Device::Cpu))?;
    let zeros = ParamSet::new(layout.clone(), vec![zeros]);
    let (mut at, mut nodes) = (0, Vec::new());
    let (mut report, mut non_finite) = (Vec::new(), Vec::new());
    for contents in all {
        report.extend(contents.report);
        non_finite.extend(contents.non_finite);
        for (first, size, has_sum) in contents.nodes {
            let sum = match has_sum {
                true => {
                    let shard = received.f_narrow(0, at, shards.own())?;
                    at += shards.own();
                    // Sums are added to in place.
                    Sum::Many(ParamSet::new(layout.clone(), vec![shard]).deep_copy()?)
                }
                false => Sum::Empty,
            };
            nodes.push(Node { first, size, sum });
        }
    }
    nodes.sort_by_key(|node| node.first);
    let (report, non_finite) = in_order(report, non_finite);
    let mut merged = MetaBatch::new(step);
    merged.merge(&zeros, MetaBatch { step, nodes, report, non_finite })?;
    let MeanGradient { gradient, report, non_finite } = merged.finish(&zeros)?;
    let gradient = match gradient {
        Some(shard) => Some(unflat(&shards.gather(&shard.tensors()[0], group)?, meta)?),
        None => None,
    };
    Ok(MeanGradient { gradient, report, non_finite })
}

/// The mean over the parts of all ranks, where `sum_over_ranks` replaces tensors by their sums.
fn mean_of_sums(
    group: &Group,
    batch: MetaBatch,
    meta: &ParamSet,
    sum_over_ranks: impl FnOnce(&[Tensor]) -> Result<()>,
) -> Result<MeanGradient> {
    let MetaBatch { nodes, report, non_finite, .. } = batch;
    // One that has nothing to add takes part. What needs memory comes first: one that failed later would leave the others waiting.
    let mut sum = sum_of(nodes, meta)?.map_or_else(|| meta.zeros_like(), Ok)?;
    // Before the GPUs meet: this exchange notices at once that a rank is gone.
    let (mut all_reports, mut all_non_finite) = (Vec::new(), Vec::new());
    for (report, non_finite) in group.all_values(&(report.0, non_finite))? {
        all_reports.extend(report);
        all_non_finite.extend(non_finite);
    }
    let (report, non_finite) = in_order(all_reports, all_non_finite);
    let mut gradient = None;
    if !report.0.is_empty() {
        sum_over_ranks(sum.tensors())?;
        sum.scale(1.0 / report.0.len() as f64)?;
        gradient = Some(sum);
    }
    Ok(MeanGradient { gradient, report, non_finite })
}

/// What ranks have said, as one process says it.
fn in_order(
    mut report: Vec<EpisodeNumbers>,
    mut non_finite: Vec<NonFinite>,
) -> (StepReport, Vec<NonFinite>) {
    report.sort_by_key(|episode| episode.index);
    non_finite.sort_by(|left, right| left.episodes.cmp(&right.episodes));
    (StepReport(report), non_finite)
}

/// The parameters in a row, cut into as many parts as there are ranks.
struct Shards {
    sizes: Vec<i64>,
    rank: usize,
}

impl Shards {
    fn new(count: i64, group: &Group) -> Self {
        let size = group.size() as i64;
        let edge = |rank: i64| rank * count / size;
        let sizes = (0..size).map(|rank| edge(rank + 1) - edge(rank)).collect();
        Self { sizes, rank: group.rank() }
    }

    /// The size of this rank's shard.
    fn own(&self) -> i64 {
        self.sizes[self.rank]
    }

    fn own_layout(&self) -> Arc<Layout> {
        let mut layout = Layout::default();
        layout.register("shard", Region::Embeddings, &[self.own()], Init::Zeros);
        Arc::new(layout)
    }

    /// Sends the shards of `sums`, `[parameters]` each and of dtype `kind`, to their ranks; returns this rank's shards of the
    /// sums of all ranks in order.
    fn deal(
        &self,
        (sums, kind): (&[Tensor], Kind),
        all: &[Contents],
        group: &Group,
    ) -> Result<Tensor> {
        let count = |contents: &Contents| contents.nodes.iter().filter(|node| node.2).count();
        let mut parts = Vec::new();
        let mut at = 0;
        for &size in &self.sizes {
            for sum in sums {
                parts.push(sum.f_narrow(0, at, size)?);
            }
            at += size;
        }
        let sent: Vec<i64> = self.sizes.iter().map(|size| size * sums.len() as i64).collect();
        let got: Vec<i64> = all.iter().map(|it| self.own() * count(it) as i64).collect();
        let nothing = Tensor::f_empty([0], (kind, Device::Cpu))?;
        let parts = if parts.is_empty() { nothing } else { Tensor::f_cat(&parts, 0)? };
        Ok(group.all_to_all(&parts, &sent, &got)?)
    }

    /// The shards of all ranks in a row.
    fn gather(&self, shard: &Tensor, group: &Group) -> Result<Tensor> {
        // All send as much as the largest.
        let longest = self.sizes.iter().copied().max().unwrap_or(0);
        let padded = shard.f_constant_pad_nd([0, longest - self.own()])?;
        let all = group.all_gather(&padded)?;
        let rows = self.sizes.iter().enumerate();
        let shards = rows.map(|(rank, &size)| all.f_get(rank as i64)?.f_narrow(0, 0, size));
        Ok(Tensor::f_cat(&shards.collect::<Result<Vec<_>, TchError>>()?, 0)?)
    }
}

/// All numbers of a parameter set in a row, on the CPU.
fn flat(params: &ParamSet) -> Result<Tensor, TchError> {
    let rows = params.tensors().iter().map(|tensor| tensor.f_detach()?.f_flatten(0, -1));
    Tensor::f_cat(&rows.collect::<Result<Vec<_>, _>>()?, 0)?.f_to_device(Device::Cpu)
}

/// A parameter set like `meta` of numbers in a row.
fn unflat(row: &Tensor, meta: &ParamSet) -> Result<ParamSet, TchError> {
    let mut at = 0;
    let tensors = meta.tensors().iter().map(|like| {
        let count = like.numel() as i64;
        let part = row.f_narrow(0, at, count)?.f_view(like.size().as_slice())?;
        at += count;
        part.f_to_device(like.device())
    });
    // Each with storage of its own.
    ParamSet::new(meta.layout().clone(), tensors.collect::<Result<_, TchError>>()?).deep_copy()
}

/// What all ranks go by after a step: the first stop signal that one of them has got, and the progress as rank 0 has it, whose
/// clock and scores decide.
///
/// # Errors
/// Lost processes.
pub fn agree(group: &Group, stop: usize, progress: &Progress) -> Result<(usize, Progress)> {
    if group.size() == 1 {
        return Ok((stop, progress.clone()));
    }
    let mut all = group.all_values(&(stop, progress.clone()))?;
    let stop = all.iter().map(|(stop, _)| *stop).find(|&stop| stop != 0).unwrap_or(0);
    Ok((stop, all.swap_remove(0).1))
}

/// Replaces the state by that of rank 0.
///
/// # Errors
/// Lost processes, and any error of libtorch.
pub fn take_state_of_lead(group: &Group, state: &mut TrainingState) -> Result<()> {
    if group.size() == 1 {
        return Ok(());
    }
    state.progress = group.of_lead::<Progress>(state.progress.clone())?;
    let steps_taken = state.progress.step.saturating_sub(state.progress.skipped_steps);
    state.optimizer.set_num_steps(steps_taken);
    let moments = state.optimizer.moments().map(|(_, moments)| moments);
    for params in [&state.meta].into_iter().chain(&state.average).chain(moments) {
        group.take_from(0, params.tensors())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::EpisodeOutcome;
    use crate::meta::quadratic::{from_values, values};
    use crate::optim::{OptimizerConfig, Rule};
    use crate::params::TaskView;
    use crate::ranks::threads::as_ranks;
    use crate::train::deal::deal;

    /// A meta-gradient of fractions, whose sums depend on the order.
    fn outcome(position: u64) -> EpisodeOutcome {
        let number = position as f64;
        let gradient = from_values(&[1.0 / (number + 3.0), 0.1 * (number + 1.0) * (number + 1.0)]);
        // The fourth one is left out.
        let loss = if position == 3 { f64::INFINITY } else { 0.1 * number };
        EpisodeOutcome {
            index: position,
            domain: Some(format!("d{position}")),
            view: TaskView::whole(gradient.layout()),
            gradient,
            support_losses: Tensor::from_slice(&[0.3 * number]),
            query_loss: Tensor::from(loss),
            num_right: Tensor::from(1_i64),
            num_scored: 2,
        }
    }

    /// What a rank of `group` contributes to a meta-batch of `total` episodes.
    fn part(group: &Group, total: usize, meta: &ParamSet) -> MetaBatch {
        let mut batch = MetaBatch::new(7);
        let costs: Vec<u64> = (0..total as u64).map(|position| 5 + position * 7 % 11).collect();
        for &position in &deal(&costs, group.size())[group.rank()] {
            batch.add(meta, position as u64, outcome(position as u64)).unwrap();
        }
        batch
    }

    /// The mean of `total` contributions as each of `size` ranks has it, with what is said about them.
    fn means(total: usize, size: usize) -> Vec<(Option<Vec<u64>>, String)> {
        as_ranks(size, |group| {
            let meta = from_values(&[0.0; 2]);
            let found = mean_over_ranks(group, part(group, total, &meta), &meta).unwrap();
            let bits =
                |gradient: &ParamSet| values(gradient).iter().map(|it| it.to_bits()).collect();
            let rest = format!("{:?} {:?}", found.report, found.non_finite);
            (found.gradient.as_ref().map(bits), rest)
        })
    }

    #[test]
    fn the_mean_over_ranks_is_that_of_one_process_to_the_bit() {
        for total in [1, 4, 5, 7] {
            let expected = means(total, 1).remove(0);
            // More ranks than contributions, and than parameters, too.
            for size in [2, 3, 5] {
                for found in means(total, size) {
                    assert_eq!(found, expected, "{total} over {size}");
                }
            }
        }
    }

    #[test]
    fn one_sum_of_each_rank_gives_the_same_mean_but_for_rounding() {
        // Between the hosts, as GPUs do it by NCCL.
        let sum_over = |group: &Group, tensors: &[Tensor]| {
            for tensor in tensors {
                let sum = group.all_gather(&tensor.flatten(0, -1))?.sum_dim_intlist(
                    0,
                    false,
                    tensor.kind(),
                );
                tensor.shallow_clone().copy_(&sum.view_as(tensor));
            }
            Ok(())
        };
        for (total, size) in [(5, 2), (7, 3), (1, 3)] {
            let found = as_ranks(size, |group| {
                let meta = from_values(&[0.0; 2]);
                let whole = mean_over_ranks(group, part(group, total, &meta), &meta).unwrap();
                let sum_over_ranks = |tensors: &[Tensor]| sum_over(group, tensors);
                let batch = part(group, total, &meta);
                let found = mean_of_sums(group, batch, &meta, sum_over_ranks).unwrap();
                let said =
                    [&whole, &found].map(|it| format!("{:?} {:?}", it.report, it.non_finite));
                assert_eq!(said[0], said[1]);
                [whole, found].map(|mean| values(&mean.gradient.unwrap()))
            });
            for [whole, found] in found {
                for (found, expected) in found.iter().zip(&whole) {
                    assert!((found - expected).abs() < 1e-12, "{total} over {size}: {found}");
                }
            }
        }
        // Where nothing is finite, nothing is summed.
        let nothing = as_ranks(2, |group| {
            let meta = from_values(&[0.0; 2]);
            let batch = MetaBatch::new(7);
            let found = mean_of_sums(group, batch, &meta, |_| unreachable!()).unwrap();
            found.gradient.is_none()
        });
        assert_eq!(nothing, [true; 2]);
    }

    #[test]
    fn all_ranks_go_by_the_first_signal_and_the_progress_of_the_first_rank() {
        let found = as_ranks(3, |group| {
            let progress = Progress { step: 10 + group.rank() as u64, ..Progress::default() };
            agree(group, [0, 15, 2][group.rank()], &progress).unwrap()
        });
        let expected = Progress { step: 10, ..Progress::default() };
        assert_eq!(found, vec![(15, expected); 3]);
    }

    #[test]
    fn ranks_start_from_the_state_of_the_first() {
        let adam = OptimizerConfig::new(Rule::Adam);
        let found = as_ranks(2, |group| {
            let rank = group.rank() as f64;
            let mut state = TrainingState::new(from_values(&[rank, 1.0]), adam, 0.5).unwrap();
            if group.is_lead() {
                let gradient = from_values(&[0.5, -0.25]);
                state.optimizer.step(&mut state.meta, &gradient, |_| 0.1).unwrap();
                state.progress.step = 1;
            }
            take_state_of_lead(group, &mut state).unwrap();
            // One more step shows what its optimizer has kept.
            state.optimizer.step(&mut state.meta, &from_values(&[0.1, 0.2]), |_| 0.1).unwrap();
            (values(&state.meta), values(state.result()), state.progress)
        });
        assert_eq!(found[0], found[1]);
    }
}
