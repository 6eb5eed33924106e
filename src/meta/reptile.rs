//! Reptile: the way from the adapted weights back to the meta-parameters.

use tch::TchError;

use super::{EpisodeOutcome, InnerLoop, Learner, MetaAlgorithm, Part, Task};
use crate::model::Mode;
use crate::params::ParamSet;

/// Reptile (Nichol et al. 2018, algorithm 2): `theta - phi` serves as the gradient, so that outer
/// gradient descent with learning rate eps is `theta + eps (phi - theta)`. The query set is scored
/// and otherwise left alone.
#[derive(Clone, Copy, Debug)]
pub struct Reptile {
    /// How the support set is adapted to.
    pub inner_loop: InnerLoop,
}

impl<L: Learner> MetaAlgorithm<L> for Reptile {
    fn meta_gradient(
        &self,
        learner: &L,
        meta: &ParamSet,
        task: &Task<L::Batch>,
    ) -> Result<EpisodeOutcome, TchError> {
        let adapted = self.inner_loop.adapt(learner, meta, &task.support, task.dropout_seed)?;
        let query =
            tch::no_grad(|| learner.forward(&adapted.fast_weights, &task.query, Mode::Eval))?;
        learner.begins(Part::Rest);
        Ok(EpisodeOutcome {
            gradient: meta.difference(&adapted.fast_weights)?,
            support_losses: adapted.losses,
            query_loss: query.loss,
            query_logits: query.logits,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::quadratic::{Quadratic, config, from_values, task, values};
    use crate::optim::{Optimizer, OptimizerConfig, Rule};

    /// On ½ Σ aᵢ (φᵢ - cᵢ)² the way back is (1 - (1 - lr a)^k) (θ - c).
    #[test]
    fn an_outer_sgd_step_on_a_quadratic_is_nichols_update() {
        let (curvature, start, support) = ([0.5, 3.0], [1.0, -2.0], [2.0, 0.25]);
        let (lr, steps, epsilon) = (0.1, 4, 0.7);
        let reptile = Reptile { inner_loop: InnerLoop::new(&config(lr)) };
        let mut meta = from_values(&start);
        let outcome = reptile
            .meta_gradient(&Quadratic { curvature }, &meta, &task(&[support; 4], [9.0, 9.0]))
            .unwrap();
        let mut outer = Optimizer::new(OptimizerConfig::new(Rule::Sgd), &meta).unwrap();
        outer.step(&mut meta, &outcome.gradient, epsilon).unwrap();
        let found = values(&meta);
        for i in 0..2 {
            let contraction: f64 = (1.0 - lr * curvature[i]).powi(steps);
            let adapted = support[i] + contraction * (start[i] - support[i]);
            let expected = start[i] + epsilon * (adapted - start[i]);
            assert!((found[i] - expected).abs() < 1e-10, "{i}: {} != {expected}", found[i]);
        }
    }

    #[test]
    fn the_query_set_has_no_influence() {
        let reptile = Reptile { inner_loop: InnerLoop::new(&config(0.1)) };
        let gradient = |query| {
            let learner = Quadratic { curvature: [1.0, 2.0] };
            let task = task(&[[2.0, 3.0]], query);
            values(
                &reptile
                    .meta_gradient(&learner, &from_values(&[0.0, 0.0]), &task)
                    .unwrap()
                    .gradient,
            )
        };
        assert_eq!(gradient([5.0, 5.0]), gradient([-5.0, 0.0]));
    }
}
