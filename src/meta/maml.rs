//! First-order MAML: the gradient of the query loss at the adapted weights.

use tch::TchError;

use super::{EpisodeOutcome, InnerLoop, Learner, MetaAlgorithm, Task, gradient};
use crate::model::Mode;
use crate::params::ParamSet;

/// First-order MAML (Finn et al. 2017, section 5.2; Nichol et al. 2018, eq. 4): the second
/// derivatives of the adaptation are taken as zero.
#[derive(Clone, Copy, Debug)]
pub struct Fomaml {
    /// How the support set is adapted to.
    pub inner_loop: InnerLoop,
    /// Whether the query loss is computed with dropout on.
    pub query_dropout: bool,
}

impl<L: Learner> MetaAlgorithm<L> for Fomaml {
    fn meta_gradient(
        &self,
        learner: &L,
        meta: &ParamSet,
        task: &Task<L::Batch>,
    ) -> Result<EpisodeOutcome, TchError> {
        let adapted = self.inner_loop.adapt(learner, meta, &task.support, task.dropout_seed)?;
        let mode = if self.query_dropout { task.query_training_mode() } else { Mode::Eval };
        let query = learner.forward(&adapted.fast_weights, &task.query, mode)?;
        Ok(EpisodeOutcome {
            gradient: gradient(learner, &adapted.fast_weights, &query.loss)?,
            support_losses: adapted.losses,
            query_loss: query.loss.f_detach()?,
            query_logits: query.logits.f_detach()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::quadratic::{Quadratic, config, from_values, task, values};

    /// Gradient descent on ½ Σ aᵢ (φᵢ - cᵢ)² contracts: φ_k - c = (1 - lr a)^k (θ - c); the
    /// first-order meta-gradient is the query gradient a (φ_k - d) there.
    #[test]
    fn the_meta_gradient_on_a_quadratic_has_its_closed_form() {
        let (curvature, start) = ([0.5, 3.0], [1.0, -2.0]);
        let (support, query) = ([2.0, 0.25], [-1.0, 0.5]);
        let (lr, steps) = (0.1, 5);
        let fomaml = Fomaml { inner_loop: InnerLoop::new(&config(lr)), query_dropout: false };
        let outcome = fomaml
            .meta_gradient(
                &Quadratic { curvature },
                &from_values(&start),
                &task(&[support; 5], query),
            )
            .unwrap();
        let found = values(&outcome.gradient);
        for i in 0..2 {
            let contraction: f64 = (1.0 - lr * curvature[i]).powi(steps);
            let adapted = support[i] + contraction * (start[i] - support[i]);
            let expected = curvature[i] * (adapted - query[i]);
            assert!((found[i] - expected).abs() < 1e-10, "{i}: {} != {expected}", found[i]);
        }
    }
}
