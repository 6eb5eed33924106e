//! BERT as a [`Learner`].

use tch::TchError;

use crate::data::batch::Batch;
use crate::meta::{Forward, Learner};
use crate::model::{Classifier, Mode, ParamSet};

/// A classifier whose every forward pass can be watched: that is how progress inside an adaptation
/// is shown without the inner loop knowing of it.
pub struct TextLearner<'a> {
    classifier: &'a Classifier,
    on_forward: Box<dyn Fn() + 'a>,
}

impl<'a> TextLearner<'a> {
    /// A learner that calls `on_forward` at every forward pass.
    pub fn new(classifier: &'a Classifier, on_forward: impl Fn() + 'a) -> Self {
        Self { classifier, on_forward: Box::new(on_forward) }
    }

    /// The classifier.
    pub fn classifier(&self) -> &Classifier {
        self.classifier
    }
}

impl Learner for TextLearner<'_> {
    type Batch = Batch;

    fn forward(&self, params: &ParamSet, batch: &Batch, mode: Mode) -> Result<Forward, TchError> {
        (self.on_forward)();
        let logits = self.classifier.logits(params, batch, mode)?;
        Ok(Forward { loss: self.classifier.loss(&logits, batch)?, logits })
    }
}
