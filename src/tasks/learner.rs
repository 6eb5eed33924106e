//! BERT as a [`Learner`].

use tch::{TchError, Tensor};

use crate::data::batch::Batch;
use crate::meta::{Forward, Learner};
use crate::model::{Classifier, Pass};
use crate::params::ParamSet;

impl Learner for Classifier {
    type Batch = Batch;

    fn forward(&self, params: &ParamSet, batch: &Batch, pass: Pass) -> Result<Forward, TchError> {
        let _span = tracing::trace_span!("forward", tokens = batch.num_tokens()).entered();
        let logits = self.logits(params, batch, pass)?;
        Ok(Forward { loss: self.loss(&logits, batch)?, logits })
    }

    fn num_right(&self, logits: &Tensor, batch: &Batch) -> Result<Tensor, TchError> {
        logits.f_argmax(-1, false)?.f_eq_tensor(&batch.labels)?.f_sum(None)
    }
}
