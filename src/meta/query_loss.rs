//! The meta-gradient of the query loss: at the adapted weights, or at the meta-parameters where the way back is known.

use tch::{TchError, Tensor};

use super::inner_loop::{Trace, take_steps};
use super::{Forward, Learner, Recipe, Task, Tasks};
use crate::model::{Order, Pass};
use crate::params::ParamSet;

/// The query loss of one task, in one outer step.
pub(super) struct QueryLoss<'a, L: Learner> {
    pub recipe: &'a Recipe,
    pub learner: &'a L,
    pub task: &'a Task<L::Batch>,
    /// Whether dropout is on in the query loss.
    pub dropout: bool,
    /// The outer step, counted from 0.
    pub step: u64,
}

/// A gradient at the meta-parameters, and what was found on the way.
pub(super) struct Descent {
    /// The gradient.
    pub gradient: ParamSet,
    /// Loss before each inner step, `[steps]`.
    pub support_losses: Tensor,
    /// The query set under the adapted weights.
    pub scored: Forward,
}

/// The outer loss so far.
#[derive(Default)]
struct Sum {
    /// The part that is a function of the meta-parameters.
    loss: Option<Tensor>,
    /// The gradient of the rest at the weights that it was computed at, as if they were the start.
    at_weights: Option<ParamSet>,
    /// The query set under the last weights.
    scored: Option<Forward>,
}

impl<L: Learner> QueryLoss<'_, L> {
    /// The gradient with respect to `theta`, which are leaves.
    ///
    /// With fixed steps of first order it is the gradient at the adapted weights, as if they did not depend on where the
    /// adaptation began (Finn et al. 2017, section 5.2; Nichol et al. 2018, eq. 4); only a head made of the support set is
    /// followed back. With learned step sizes or of second order it is the exact derivative of the steps, whose gradients are
    /// constants in first order.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub(super) fn descent(&self, theta: &ParamSet) -> Result<Descent, TchError> {
        let Self { recipe, learner, task, step, .. } = *self;
        let order = recipe.order.at(step, recipe.annealing_steps);
        let trace = match order {
            Order::First if !recipe.steps.is_learned() => Trace::Start,
            order => Trace::Steps(order),
        };
        let embedded = recipe.embed(learner, theta, &task.support, trace)?;
        let start = match recipe.trains_on(Tasks::Pooled) {
            // Without a support set there is no other head than that of the meta-parameters.
            true => theta.shallow_clone(),
            false => recipe.start(learner, theta, embedded.as_ref())?,
        };
        let num_steps = task.support.steps.len();
        let weights = recipe.step_weights.at(num_steps, step, recipe.annealing_steps);
        let share = 1.0 - recipe.zero_step_weight;
        let mut sum = Sum::default();
        if recipe.zero_step_weight > 0.0 {
            self.add(&mut sum, 0, &start, recipe.zero_step_weight, true)?;
        }
        if num_steps == 0 {
            self.add(&mut sum, 0, &start, share, true)?;
        }
        let is_traced = trace != Trace::Start;
        let after_step = |taken: usize, reached: &ParamSet| {
            self.add(&mut sum, taken, reached, share * weights[taken - 1], is_traced)
        };
        let support = (&task.support, embedded.as_ref());
        let (_, support_losses) = take_steps(
            &recipe.steps,
            learner,
            &start,
            support,
            task.dropout_seed,
            trace,
            after_step,
        )?;
        let Sum { loss, at_weights, scored } = sum;
        Ok(Descent {
            gradient: self.gradient(theta, &start, loss, at_weights)?,
            support_losses,
            scored: scored.expect("the weights after the last step are scored"),
        })
    }

    /// Adds the query loss at `reached`, the weights after `taken` steps, `weight` times.
    fn add(
        &self,
        sum: &mut Sum,
        taken: usize,
        reached: &ParamSet,
        weight: f64,
        is_traced: bool,
    ) -> Result<(), TchError> {
        let Task { support, query, dropout_seed, .. } = self.task;
        let num_steps = support.steps.len();
        if weight == 0.0 {
            return Ok(());
        }
        // The pass after the last step comes next in the stream; those before it come after that.
        let number = if taken == num_steps { taken } else { num_steps + 1 + taken };
        let pass = match self.dropout {
            true => Pass::train(*dropout_seed, number as u64),
            false => Pass::eval(),
        };
        let leaves = if is_traced { reached.shallow_clone() } else { reached.as_leaves()? };
        let scored = self.learner.forward(&leaves, query, pass)?;
        if is_traced {
            let loss = weighted(&scored.loss, weight)?;
            sum.loss = Some(match sum.loss.take() {
                Some(others) => others.f_add(&loss)?,
                None => loss,
            });
        } else {
            let mut gradient = leaves.gradient_of(&scored.loss)?;
            match &mut sum.at_weights {
                Some(others) => others.add_scaled(&gradient, weight)?,
                None if weight == 1.0 => sum.at_weights = Some(gradient),
                None => {
                    gradient = gradient.deep_copy()?;
                    gradient.scale(weight)?;
                    sum.at_weights = Some(gradient);
                }
            }
        }
        if taken == num_steps {
            sum.scored = Some(scored);
        }
        Ok(())
    }

    /// The gradient at `theta` of `loss`, a function of it, and of the part whose gradient at the weights is `at_weights`.
    fn gradient(
        &self,
        theta: &ParamSet,
        start: &ParamSet,
        loss: Option<Tensor>,
        at_weights: Option<ParamSet>,
    ) -> Result<ParamSet, TchError> {
        let Some(at_weights) = at_weights else {
            return theta.gradient_of(&loss.expect("some query loss was computed"));
        };
        let head = self.learner.head();
        let mut direct = at_weights;
        let mut loss = loss;
        if self.recipe.makes_head() {
            // The head was no part of theta: its gradient passes from the head to the texts that made it.
            for slot in [head.weight, head.bias] {
                let (made, gradient) = (start.get(slot), direct.get(slot));
                if made.requires_grad() {
                    let pulled = made.f_mul(&gradient.f_detach()?)?.f_sum(made.kind())?;
                    loss = Some(match loss.take() {
                        Some(others) => others.f_add(&pulled)?,
                        None => pulled,
                    });
                }
                let zeros = gradient.f_zeros_like()?;
                direct = direct.with(slot, zeros);
            }
        }
        let Some(loss) = loss else { return Ok(direct) };
        let mut gradient = theta.gradient_of(&loss)?.deep_copy()?;
        gradient.add_scaled(&direct, 1.0)?;
        Ok(gradient)
    }
}

fn weighted(loss: &Tensor, weight: f64) -> Result<Tensor, TchError> {
    if weight == 1.0 { Ok(loss.shallow_clone()) } else { loss.f_mul_scalar(weight) }
}
