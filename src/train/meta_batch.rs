//! The sum of a meta-batch, as a value.
//!
//! Meta-gradients are summed in a fixed tree over their positions in the meta-batch: neighbours in pairs, pairs in pairs of
//! pairs. However the positions are dealt out, and whoever sums which part first, the result is the same to the bit.

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, TchError};

use super::non_finite::NonFinite;
use crate::eval::metrics::mean;
use crate::machine::device::wait_for;
use crate::meta::EpisodeOutcome;
use crate::params::{ParamSet, TaskView};

/// The contributions to one outer step so far.
#[derive(Debug)]
pub struct MetaBatch {
    /// The outer step, counted from 1.
    pub(super) step: u64,
    /// Sums over neighbouring positions, ascending; no two of them make a larger one.
    pub(super) nodes: Vec<Node>,
    pub(super) report: StepReport,
    pub(super) non_finite: Vec<NonFinite>,
}

/// The sum over the positions from `first` to before `first + size`, which is a power of two that divides `first`.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) first: u64,
    pub(super) size: u64,
    pub(super) sum: Sum,
}

/// A sum of meta-gradients. One alone stays in its view until another joins it.
#[derive(Debug)]
pub(super) enum Sum {
    Empty,
    One(TaskView, ParamSet),
    Many(ParamSet),
}

/// The numbers of the episodes of one outer step, for the log.
#[derive(Debug, Default)]
pub struct StepReport(pub(super) Vec<EpisodeNumbers>);

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EpisodeNumbers {
    pub(super) index: u64,
    domain: Option<String>,
    support_losses: Vec<f64>,
    query_loss: f64,
    num_right: i64,
    num_scored: usize,
}

/// The mean over a meta-batch.
#[derive(Debug)]
pub struct MeanGradient {
    /// The mean meta-gradient; `None` where no contribution was finite.
    pub gradient: Option<ParamSet>,
    /// The numbers of the episodes in it.
    pub report: StepReport,
    /// The contributions that were left out.
    pub non_finite: Vec<NonFinite>,
}

impl MetaBatch {
    /// No contribution yet to outer step `step`, counted from 1.
    pub fn new(step: u64) -> Self {
        Self { step, nodes: Vec::new(), report: StepReport::default(), non_finite: Vec::new() }
    }

    /// Adds the contribution at `position`, which lies after those before it; one that is not finite is noted and left out.
    /// Sums get their shapes, dtype and device from `meta`. Here, at an episode's end, is where the host waits for the device;
    /// the inner loop never does.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn add(
        &mut self,
        meta: &ParamSet,
        position: u64,
        outcome: EpisodeOutcome,
    ) -> Result<(), TchError> {
        let mut one = Self::new(self.step);
        let numbers = EpisodeNumbers::of(&outcome)?;
        let norm = outcome.gradient.global_norm()?.f_double_value(&[])?;
        let sum = match numbers.first_non_finite(norm) {
            None => {
                one.report.0.push(numbers);
                Sum::One(outcome.view, outcome.gradient)
            }
            Some((quantity, value)) => {
                let (step, episodes, domain) = (self.step, vec![numbers.index], numbers.domain);
                let quantity = quantity.into();
                one.non_finite.push(NonFinite { step, episodes, domain, quantity, value });
                Sum::Empty
            }
        };
        one.nodes.push(Node { first: position, size: 1, sum });
        self.merge(meta, one)
    }

    /// Adds the contributions of `other`, whose positions lie after those here.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn merge(&mut self, meta: &ParamSet, other: Self) -> Result<(), TchError> {
        self.report.0.extend(other.report.0);
        self.non_finite.extend(other.non_finite);
        other.nodes.into_iter().try_for_each(|node| self.push(meta, node))
    }

    /// The mean over the contributions that were finite.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn finish(self, meta: &ParamSet) -> Result<MeanGradient, TchError> {
        let Self { nodes, report, non_finite, .. } = self;
        let mut gradient = sum_of(nodes, meta)?;
        if let (Some(gradient), count @ 2..) = (&mut gradient, report.0.len()) {
            gradient.scale(1.0 / count as f64)?;
        }
        Ok(MeanGradient { gradient, report, non_finite })
    }

    fn push(&mut self, meta: &ParamSet, mut node: Node) -> Result<(), TchError> {
        while let Some(left) = self.nodes.pop_if(|left| left.is_sibling_of(&node)) {
            let sum = left.sum.plus(meta, node.sum)?;
            node = Node { first: left.first, size: 2 * node.size, sum };
        }
        self.nodes.push(node);
        Ok(())
    }
}

/// The sum of neighbouring nodes; `None` where all are empty.
pub(super) fn sum_of(nodes: Vec<Node>, meta: &ParamSet) -> Result<Option<ParamSet>, TchError> {
    // What remains are the left branches on the way to the last position; the right ones are below it.
    let mut sum = Sum::Empty;
    for node in nodes.into_iter().rev() {
        sum = node.sum.plus(meta, sum)?;
    }
    sum.whole(meta)
}

impl Node {
    /// Whether this is the left half of a node of which `right` is the other.
    fn is_sibling_of(&self, right: &Self) -> bool {
        self.size == right.size
            && self.first + self.size == right.first
            && self.first.is_multiple_of(2 * self.size)
    }
}

/// A gradient that a worker has made is read to its end before it goes: its memory returns to the stream of that worker, which
/// would write to it.
impl Sum {
    fn plus(self, meta: &ParamSet, right: Self) -> Result<Self, TchError> {
        if let Self::Empty = right {
            return Ok(self);
        }
        let Some(mut left) = self.whole(meta)? else { return Ok(right) };
        match right {
            Self::Empty => {}
            Self::One(view, gradient) => {
                view.scatter_add(&mut left, &gradient)?;
                wait_for(meta.device())?;
            }
            Self::Many(sum) => TaskView::whole(meta.layout()).scatter_add(&mut left, &sum)?,
        }
        Ok(Self::Many(left))
    }

    pub(super) fn whole(self, meta: &ParamSet) -> Result<Option<ParamSet>, TchError> {
        Ok(match self {
            Self::Empty => None,
            Self::One(view, gradient) => {
                // Not in place: libtorch may hand out one tensor as the gradient of several.
                let mut sum = meta.zeros_like()?;
                view.scatter_add(&mut sum, &gradient)?;
                wait_for(meta.device())?;
                Some(sum)
            }
            Self::Many(sum) => Some(sum),
        })
    }
}

impl EpisodeNumbers {
    fn of(outcome: &EpisodeOutcome) -> Result<Self, TchError> {
        let losses = outcome.support_losses.f_to_kind(Kind::Double)?.f_to_device(Device::Cpu)?;
        Ok(Self {
            index: outcome.index,
            domain: outcome.domain.clone(),
            support_losses: Vec::try_from(losses)?,
            query_loss: outcome.query_loss.f_double_value(&[])?,
            num_right: outcome.num_right.f_int64_value(&[])?,
            num_scored: outcome.num_scored,
        })
    }

    /// The first number that is not finite, with its name.
    fn first_non_finite(&self, gradient_norm: f64) -> Option<(&'static str, f64)> {
        let losses = self.support_losses.iter().map(|&loss| ("the support loss", loss));
        let last =
            [("the query loss", self.query_loss), ("the norm of the meta-gradient", gradient_norm)];
        losses.chain(last).find(|(_, value)| !value.is_finite())
    }
}

impl StepReport {
    /// The indices of the episodes.
    pub fn episodes(&self) -> Vec<u64> {
        self.0.iter().map(|episode| episode.index).collect()
    }

    /// Their domains; empty for pooled minibatches.
    pub fn domains(&self) -> Vec<String> {
        self.0.iter().filter_map(|episode| episode.domain.clone()).collect()
    }

    /// Mean loss before the first adaptation step; `None` without adaptation.
    pub fn support_loss_first(&self) -> Option<f64> {
        self.mean_of(|episode| episode.support_losses.first())
    }

    /// Mean loss before the last adaptation step; `None` without adaptation.
    pub fn support_loss_last(&self) -> Option<f64> {
        self.mean_of(|episode| episode.support_losses.last())
    }

    /// Mean query loss.
    pub fn query_loss(&self) -> f64 {
        self.mean_of(|episode| Some(&episode.query_loss)).expect("a step has episodes")
    }

    /// Accuracy on all query examples.
    pub fn query_accuracy(&self) -> f64 {
        let num_right: i64 = self.0.iter().map(|episode| episode.num_right).sum();
        num_right as f64 / self.0.iter().map(|episode| episode.num_scored).sum::<usize>() as f64
    }

    fn mean_of(&self, number: impl Fn(&EpisodeNumbers) -> Option<&f64>) -> Option<f64> {
        let numbers: Vec<f64> = self.0.iter().filter_map(number).copied().collect();
        (!numbers.is_empty()).then(|| mean(&numbers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::quadratic::{from_values, values};
    use tch::Tensor;

    /// A meta-gradient of fractions, whose sums depend on the order.
    fn outcome(position: u64) -> EpisodeOutcome {
        let number = position as f64;
        let gradient = from_values(&[1.0 / (number + 3.0), 0.1 * (number + 1.0) * (number + 1.0)]);
        EpisodeOutcome {
            index: position,
            domain: None,
            view: TaskView::whole(gradient.layout()),
            gradient,
            support_losses: Tensor::from_slice(&[0.5]),
            query_loss: Tensor::from(0.25),
            num_right: Tensor::from(1_i64),
            num_scored: 2,
        }
    }

    fn sum_of(positions: std::ops::Range<u64>, non_finite: &[u64]) -> MetaBatch {
        let mut batch = MetaBatch::new(1);
        for position in positions {
            let mut outcome = outcome(position);
            if non_finite.contains(&position) {
                outcome.query_loss = Tensor::from(f64::NAN);
            }
            batch.add(&from_values(&[0.0; 2]), position, outcome).unwrap();
        }
        batch
    }

    fn mean_of(batch: MetaBatch) -> Vec<f64> {
        values(&batch.finish(&from_values(&[0.0; 2])).unwrap().gradient.unwrap())
    }

    /// The tree written out for six positions of which the fifth is left out.
    #[test]
    fn neighbours_are_summed_in_pairs_of_pairs() {
        let of = |position| values(&outcome(position).gradient);
        let expected: Vec<f64> = (0..2)
            .map(|i| (((of(0)[i] + of(1)[i]) + (of(2)[i] + of(3)[i])) + of(5)[i]) * (1.0 / 5.0))
            .collect();
        let batch = sum_of(0..6, &[4]);
        assert_eq!(batch.report.episodes(), [0, 1, 2, 3, 5]);
        assert_eq!(batch.non_finite.len(), 1);
        assert_eq!(mean_of(batch), expected);
        let in_order: f64 = (0..6).filter(|&p| p != 4).map(|p| of(p)[0]).sum::<f64>() * (1.0 / 5.0);
        assert_ne!(in_order, expected[0], "these values have the same sum in both orders");
    }

    #[test]
    fn however_positions_are_dealt_out_the_sum_is_the_same() {
        for total in 1..12 {
            let expected = mean_of(sum_of(0..total, &[]));
            for cut in 0..=total {
                for second in cut..=total {
                    let mut batch = sum_of(0..cut, &[]);
                    let meta = from_values(&[0.0; 2]);
                    batch.merge(&meta, sum_of(cut..second, &[])).unwrap();
                    batch.merge(&meta, sum_of(second..total, &[])).unwrap();
                    assert_eq!(mean_of(batch), expected, "{total} cut at {cut} and {second}");
                }
            }
        }
    }

    #[test]
    fn without_a_finite_contribution_there_is_no_mean() {
        let mean = sum_of(0..2, &[0, 1]).finish(&from_values(&[0.0; 2])).unwrap();
        assert!(mean.gradient.is_none() && mean.report.episodes().is_empty());
        assert_eq!(mean.non_finite.len(), 2);
    }
}
