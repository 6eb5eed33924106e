//! Transfer: plain training on pooled texts, the baseline that every meta-learner has to beat.

use tch::{Kind, TchError, Tensor};

use super::{EpisodeOutcome, Learner, MetaAlgorithm, Task, gradient};
use crate::params::ParamSet;

/// The gradient of the loss of the task's query batch at the meta-parameters themselves, dropout
/// on; the support set is not used.
#[derive(Clone, Copy, Debug)]
pub struct Transfer;

impl<L: Learner> MetaAlgorithm<L> for Transfer {
    fn meta_gradient(
        &self,
        learner: &L,
        meta: &ParamSet,
        task: &Task<L::Batch>,
    ) -> Result<EpisodeOutcome, TchError> {
        let weights = meta.as_leaves()?;
        let batch = learner.forward(&weights, &task.query, task.query_training_mode())?;
        Ok(EpisodeOutcome {
            gradient: gradient(learner, &weights, &batch.loss)?,
            support_losses: Tensor::f_zeros([0], (Kind::Float, meta.device()))?,
            query_loss: batch.loss.f_detach()?,
            query_logits: batch.logits.f_detach()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::quadratic::{Quadratic, from_values, task, values};

    #[test]
    fn the_gradient_is_that_at_the_meta_parameters() {
        let learner = Quadratic { curvature: [0.5, 3.0] };
        let meta = from_values(&[1.0, -2.0]);
        let outcome = Transfer.meta_gradient(&learner, &meta, &task(&[], [2.0, 0.0])).unwrap();
        assert_eq!(values(&outcome.gradient), [-0.5, -6.0]);
    }
}
