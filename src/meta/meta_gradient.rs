//! The second verb of a recipe: the meta-gradient of a task.

use tch::TchError;

use super::query_loss::{Descent, QueryLoss};
use super::table::{Estimate, Training};
use super::{Adapted, EpisodeOutcome, Forward, HeadStart, Learner, Recipe, Task};
use crate::model::Pass;
use crate::params::ParamSet;

impl Recipe {
    /// The contribution of `task` to outer step `step`, counted from 0, at the meta-parameters `meta`, which are without
    /// gradient history.
    ///
    /// # Errors
    /// Any error of libtorch.
    ///
    /// # Panics
    /// For an algorithm that takes no outer step.
    pub fn meta_gradient<L: Learner>(
        &self,
        learner: &L,
        meta: &ParamSet,
        task: Task<L::Batch>,
        step: u64,
    ) -> Result<EpisodeOutcome, TchError> {
        let Training { estimate, .. } = self.training.expect("the algorithm takes outer steps");
        let theta = task.view.gather(meta)?;
        let Descent { gradient, support_losses, scored } = match estimate {
            Estimate::QueryLoss { dropout } => {
                let query = QueryLoss { recipe: self, learner, task: &task, dropout, step };
                query.descent(&theta.as_leaves()?)?
            }
            Estimate::Displacement => self.displacement(learner, &theta, &task)?,
        };
        let scored = Forward { loss: scored.loss.f_detach()?, logits: scored.logits.f_detach()? };
        let num_right = scored.num_right(&learner.labels(&task.query))?;
        let num_scored = scored.logits.size()[0] as usize;
        let Task { index, domain, view, .. } = task;
        let query_loss = scored.loss;
        Ok(EpisodeOutcome {
            index,
            domain,
            view,
            gradient,
            support_losses,
            query_loss,
            num_right,
            num_scored,
        })
    }

    fn displacement<L: Learner>(
        &self,
        learner: &L,
        theta: &ParamSet,
        task: &Task<L::Batch>,
    ) -> Result<Descent, TchError> {
        let adapted = self.adapt(learner, theta, &task.support, task.dropout_seed)?;
        let Adapted { start, weights, losses } = adapted;
        let scored = tch::no_grad(|| learner.forward(&weights, &task.query, Pass::eval()))?;
        let mut gradient = start.difference(&weights)?;
        if self.head == HeadStart::Shared {
            // Every label moved the one row: it takes the mean of where they went.
            let head = learner.head();
            for slot in [head.weight, head.bias] {
                let share = gradient.get(slot).f_div_scalar(gradient.get(slot).size()[0])?;
                gradient = gradient.with(slot, share);
            }
        }
        if self.makes_head() {
            let head = learner.head();
            for slot in [head.weight, head.bias] {
                let zeros = gradient.get(slot).f_zeros_like()?;
                gradient = gradient.with(slot, zeros);
            }
        }
        Ok(Descent { gradient, support_losses: losses, scored })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tch::{Device, Kind, Tensor};

    use super::*;
    use crate::meta::algorithm::{OrderOf, StepWeights};
    use crate::meta::quadratic::{Quadratic, config, from_values, task, values};
    use crate::meta::{Algorithm, MetaConfig, StepSizes};
    use crate::optim::{Optimizer, OptimizerConfig, Rule};

    const CURVATURE: [f64; 2] = [0.5, 3.0];
    const START: [f64; 2] = [1.0, -2.0];
    const SUPPORT: [f64; 2] = [2.0, 0.25];
    const QUERY: [f64; 2] = [-1.0, 0.5];
    const LR: f64 = 0.1;

    /// The recipe of an algorithm on the quadratic, with these changes.
    fn recipe(algorithm: Algorithm, change: impl Fn(&mut MetaConfig)) -> Recipe {
        let mut meta = MetaConfig::default();
        change(&mut meta);
        Recipe::new(algorithm, &config(LR), &meta)
    }

    fn meta_gradient(
        recipe: &Recipe,
        meta: &ParamSet,
        num_steps: usize,
        step: u64,
    ) -> EpisodeOutcome {
        let task = task(meta, &vec![SUPPORT; num_steps], QUERY);
        recipe.meta_gradient(&Quadratic { curvature: CURVATURE }, meta, task, step).unwrap()
    }

    fn gradient(algorithm: Algorithm, num_steps: usize) -> Vec<f64> {
        let meta = from_values(&START);
        values(&meta_gradient(&recipe(algorithm, |_| ()), &meta, num_steps, 0).gradient)
    }

    /// Gradient descent on ½ Σ aᵢ (φᵢ - cᵢ)² contracts: φ_k - c = (1 - lr a)^k (θ - c).
    fn adapted(i: usize, num_steps: i32) -> f64 {
        SUPPORT[i] + (1.0 - LR * CURVATURE[i]).powi(num_steps) * (START[i] - SUPPORT[i])
    }

    fn query_gradient(i: usize, num_steps: i32) -> f64 {
        CURVATURE[i] * (adapted(i, num_steps) - QUERY[i])
    }

    fn assert_near(found: &[f64], expected: impl Fn(usize) -> f64) {
        for (i, found) in found.iter().enumerate() {
            assert!((found - expected(i)).abs() < 1e-10, "{i}: {found} != {}", expected(i));
        }
    }

    #[test]
    fn fomaml_takes_the_query_gradient_at_the_adapted_weights() {
        assert_near(&gradient(Algorithm::Fomaml, 5), |i| query_gradient(i, 5));
    }

    #[test]
    fn maml_takes_it_back_through_every_step() {
        let contraction = |i: usize| (1.0 - LR * CURVATURE[i]).powi(5);
        assert_near(&gradient(Algorithm::Maml, 5), |i| contraction(i) * query_gradient(i, 5));
    }

    #[test]
    fn an_annealed_order_is_second_when_the_annealing_ends() {
        let annealed = recipe(Algorithm::Maml, |meta| {
            meta.order = OrderOf::Annealed.into();
            meta.annealing_steps = 3;
        });
        let meta = from_values(&START);
        let at = |step| values(&meta_gradient(&annealed, &meta, 5, step).gradient);
        assert_eq!(at(2), gradient(Algorithm::Fomaml, 5));
        assert_eq!(at(3), gradient(Algorithm::Maml, 5));
    }

    #[test]
    fn losses_on_the_way_and_before_it_have_their_weights() {
        let weighted = recipe(Algorithm::Fomaml, |meta| {
            meta.step_weights = StepWeights::Uniform.into();
            meta.zero_step_weight = 0.25;
        });
        let found = meta_gradient(&weighted, &from_values(&START), 3, 0);
        assert_near(&values(&found.gradient), |i| {
            let steps = (1..=3).map(|step| query_gradient(i, step)).sum::<f64>() / 3.0;
            0.25 * query_gradient(i, 0) + 0.75 * steps
        });
        // What is reported is the loss after the last step.
        let last: f64 =
            (0..2).map(|i| 0.5 * CURVATURE[i] * (adapted(i, 3) - QUERY[i]).powi(2)).sum();
        assert!((found.query_loss.double_value(&[]) - last).abs() < 1e-12);
    }

    /// In first order the inner gradients are constants: the derivative for a step size is minus their product with the gradient
    /// of the query loss at the adapted weights (Finn et al. 2017 with Li et al. 2017, eq. 4).
    #[test]
    fn a_learned_step_size_has_the_gradient_of_its_steps() {
        for (algorithm, sizes) in [
            (Algorithm::MetaSgd, StepSizes::Element),
            (Algorithm::MamlPlusPlus, StepSizes::TensorAndStep),
        ] {
            let learned = recipe(algorithm, |meta| {
                meta.order = OrderOf::First.into();
                meta.step_weights = StepWeights::Last.into();
            });
            let model = from_values(&START);
            let layout = learned.steps.extend(model.layout(), 4);
            let sizes_of = |count: i64| Tensor::full([count], LR, (Kind::Double, Device::Cpu));
            let count = if sizes == StepSizes::Element { 1 } else { 4 };
            let tensors = model.tensors().iter().map(Tensor::shallow_clone);
            let tensors = tensors.chain([sizes_of(count), sizes_of(count)]).collect();
            let meta = ParamSet::new(Arc::new(layout), tensors);
            let found = meta_gradient(&learned, &meta, 4, 0).gradient;
            let inner = |i: usize, step: i32| CURVATURE[i] * (adapted(i, step) - SUPPORT[i]);
            for i in 0..2 {
                let of_model = found.tensors()[i].double_value(&[0]);
                assert!((of_model - query_gradient(i, 4)).abs() < 1e-10, "{algorithm}: {of_model}");
                let rates = Vec::<f64>::try_from(&found.tensors()[2 + i]).unwrap();
                let by_step = (0..4).map(|step| -query_gradient(i, 4) * inner(i, step));
                let expected: Vec<f64> = match sizes {
                    StepSizes::Element => vec![by_step.sum()],
                    _ => by_step.collect(),
                };
                assert_near(&rates, |step| expected[step]);
            }
        }
    }

    #[test]
    fn an_outer_sgd_step_of_reptile_is_nichols_update() {
        let epsilon = 0.7;
        let mut meta = from_values(&START);
        let outcome = meta_gradient(&recipe(Algorithm::Reptile, |_| ()), &meta, 4, 0);
        let mut outer = Optimizer::new(OptimizerConfig::new(Rule::Sgd), &meta).unwrap();
        outer.step(&mut meta, &outcome.gradient, |_| epsilon).unwrap();
        assert_near(&values(&meta), |i| START[i] + epsilon * (adapted(i, 4) - START[i]));
    }

    #[test]
    fn transfer_takes_the_gradient_at_the_meta_parameters() {
        let meta = from_values(&START);
        let outcome = meta_gradient(&recipe(Algorithm::Transfer, |_| ()), &meta, 0, 0);
        assert_eq!(values(&outcome.gradient), [0.5 * 2.0, 3.0 * -2.5]);
        assert_eq!(outcome.support_losses.size(), [0]);
    }

    #[test]
    fn none_takes_no_outer_step() {
        assert!(recipe(Algorithm::None, |_| ()).training.is_none());
    }
}
