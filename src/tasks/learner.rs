//! BERT as a [`Learner`].

use tch::{TchError, Tensor};

use crate::data::batch::Batch;
use crate::meta::{Forward, Learner};
use crate::model::classifier::Head;
use crate::model::{Classifier, Pass};
use crate::params::ParamSet;

impl Learner for Classifier {
    type Batch = Batch;

    fn embed(&self, params: &ParamSet, batch: &Batch, pass: Pass) -> Result<Tensor, TchError> {
        let _span = tracing::trace_span!("forward", tokens = batch.num_tokens()).entered();
        self.embed(params, batch, pass)
    }

    fn classify(
        &self,
        params: &ParamSet,
        features: &Tensor,
        labels: &Tensor,
        pass: Pass,
    ) -> Result<Forward, TchError> {
        let logits = self.classify(params, features, pass)?;
        Ok(Forward { loss: self.loss(&logits, labels)?, logits })
    }

    fn labels(&self, batch: &Batch) -> Tensor {
        batch.labels.shallow_clone()
    }

    fn head(&self) -> Head {
        self.head()
    }
}
