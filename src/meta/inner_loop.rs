//! Adaptation: gradient steps on a support set, from given weights.

use tch::{Kind, Reduction, TchError, Tensor};

use super::scope::num_layers;
use super::step_rule::StepRule;
use super::support::{Embedded, Steps, Support};
use super::{Forward, Learner};
use crate::data::num_minibatches;
use crate::model::{Order, Pass};
use crate::params::{ParamSet, Region};

/// How a support set is visited.
#[derive(Clone, Copy, Debug)]
pub struct Visit {
    /// Epochs over the support set; used where `steps` is 0.
    pub epochs: usize,
    /// Gradient steps; 0 counts by `epochs`.
    pub steps: usize,
    /// Examples in a minibatch; 0 for all of them.
    pub batch: usize,
}

impl Visit {
    /// Examples in a minibatch of a support set of `num_examples`.
    pub fn batch_of(&self, num_examples: usize) -> usize {
        if self.batch == 0 { num_examples } else { self.batch }
    }

    /// Number of gradient steps on a support set of `num_examples`.
    pub fn num_steps(&self, num_examples: usize) -> usize {
        if self.steps > 0 {
            self.steps
        } else {
            self.epochs * num_minibatches(num_examples, self.batch_of(num_examples))
        }
    }
}

/// What remains of the way from the start to the adapted weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trace {
    /// Nothing: the adapted weights are leaves.
    Nothing,
    /// The start as a function of the meta-parameters; steps are taken in place, and the weights after them are leaves.
    Start,
    /// All of it: adapted weights are a function of the meta-parameters, to be differentiated through steps of this order.
    Steps(Order),
}

/// Takes steps by `rule` from `start` on `support`, whose texts `embedded` holds where their vectors are needed. Dropout is
/// on; its masks come from `dropout_seed` and the step's number. `after_step` gets the number of steps taken and the weights.
/// Returns the weights after the last step and the loss before each, `[steps]`, on their device.
///
/// # Errors
/// Any error of libtorch.
pub(super) fn take_steps<L: Learner>(
    rule: &StepRule,
    learner: &L,
    start: &ParamSet,
    (support, embedded): (&Support<L::Batch>, Option<&Embedded>),
    dropout_seed: u64,
    trace: Trace,
    mut after_step: impl FnMut(usize, &ParamSet) -> Result<(), TchError>,
) -> Result<(ParamSet, Tensor), TchError> {
    let num_steps = support.steps.len();
    if num_steps == 0 {
        let losses = Tensor::f_zeros([0], (Kind::Float, start.device()))?;
        let weights =
            if trace == Trace::Nothing { start.as_leaves()? } else { start.shallow_clone() };
        return Ok((weights, losses));
    }
    let scope = rule.scope;
    let order = if let Trace::Steps(order) = trace { order } else { Order::First };
    let constant_start = start.share()?;
    // Where steps are traced, everything that does not move is a function of the meta-parameters as well.
    let start = if let Trace::Steps(_) = trace { start } else { &constant_start };
    let rates = start.select(|slot| slot.region == Region::StepSizes);
    let mut moving = scope.select(start, dropout_seed)?;
    let is_in_place = !(rule.is_learned() || matches!(trace, Trace::Steps(_)));
    let num_layers = num_layers(start.layout());
    let mut optimizer = None;
    if is_in_place {
        moving = moving.to_fast_weights()?;
        optimizer = Some(rule.optimizer(&moving)?);
    }
    let mut losses = Vec::with_capacity(num_steps);
    for step in 0..num_steps {
        let pass = Pass::train(dropout_seed, step as u64).with_order(order);
        // First order: the gradient is a constant, so that nothing of how it came about has to be kept.
        let (base, at) = match order {
            Order::First if is_in_place => (&constant_start, moving.shallow_clone()),
            Order::First => (&constant_start, moving.as_leaves()?),
            // Under names of their own: a head that is made of other weights has a gradient beside theirs, not through it.
            Order::Second => (start, moving.aliases()?),
        };
        let loss = step_loss(learner, &scope.compose(base, &at)?, (support, embedded), step, pass)?;
        let gradient = match order {
            Order::First => at.gradient_of(&loss)?,
            Order::Second => at.differentiable_gradient_of(&loss)?,
        };
        match &mut optimizer {
            Some(optimizer) => {
                optimizer.step(&mut moving, &gradient, |region| rule.lr_of(region, num_layers))?;
            }
            None => {
                moving = rule.moved(&moving, &gradient, &rates, step, num_layers)?;
                if trace == Trace::Nothing {
                    moving = moving.share()?;
                }
            }
        }
        losses.push(loss.f_detach()?);
        if trace != Trace::Nothing {
            after_step(step + 1, &scope.compose(start, &moving)?)?;
        }
    }
    let weights = scope.compose(start, &moving)?;
    let weights = if let Trace::Steps(_) = trace { weights } else { weights.as_leaves()? };
    Ok((weights, Tensor::f_stack(&losses, 0)?))
}

/// The loss that a step goes down.
fn step_loss<L: Learner>(
    learner: &L,
    weights: &ParamSet,
    (support, embedded): (&Support<L::Batch>, Option<&Embedded>),
    step: usize,
    pass: Pass,
) -> Result<Tensor, TchError> {
    let (Forward { loss, logits }, labels) = match &support.steps {
        Steps::Texts(batches) => {
            let batch = &batches[step];
            (learner.forward(weights, batch, pass)?, learner.labels(batch))
        }
        Steps::Rows(rows) => {
            let embedded = embedded.expect("steps on rows have an embedded support set");
            let (features, labels) = embedded.rows(&rows[step])?;
            (learner.classify(weights, &features, &labels, pass)?, labels)
        }
    };
    let Some(of_label) = &support.label_weights else { return Ok(loss) };
    // Over the number of texts, not over the sum of their weights: a minibatch without rare labels must not make up for them.
    let losses =
        logits.f_cross_entropy_loss(&labels, Some(of_label), Reduction::None, -100, 0.0)?;
    losses.f_mean(losses.kind())
}
