//! BERT as a [`Learner`].

use tch::TchError;

use crate::data::batch::Batch;
use crate::machine::profile::{Phase, Profile, Stopwatch};
use crate::meta::{Forward, Learner, Part};
use crate::model::{Classifier, Mode};
use crate::params::ParamSet;

/// A classifier whose every forward pass can be watched: that is how progress inside an adaptation is shown, and how it is
/// profiled, without the inner loop knowing of it.
pub struct TextLearner<'a> {
    classifier: &'a Classifier,
    on_forward: &'a (dyn Fn() + Sync),
    stopwatch: Option<Stopwatch<'a>>,
}

impl<'a> TextLearner<'a> {
    /// A learner that calls `on_forward` at every forward pass.
    pub fn new(classifier: &'a Classifier, on_forward: &'a (dyn Fn() + Sync)) -> Self {
        Self { classifier, on_forward, stopwatch: None }
    }

    /// The same learner with its time added to `profile`.
    pub fn profiled(self, profile: Option<&'a Profile>) -> Self {
        Self { stopwatch: profile.map(|profile| Stopwatch::new(profile, 1)), ..self }
    }

    /// The same learner for one of `workers` that run at once.
    pub fn for_worker(&self, workers: usize) -> Self {
        let stopwatch = self.stopwatch.as_ref().map(|watch| watch.for_worker(workers));
        Self { classifier: self.classifier, on_forward: self.on_forward, stopwatch }
    }

    /// The classifier.
    pub fn classifier(&self) -> &'a Classifier {
        self.classifier
    }

    /// Begins a phase of work around the learner's own, or ends it with `None`.
    pub fn turn_to(&self, phase: Option<Phase>) {
        if let Some(watch) = &self.stopwatch {
            watch.turn_to(phase);
        }
    }
}

impl Learner for TextLearner<'_> {
    type Batch = Batch;

    fn forward(&self, params: &ParamSet, batch: &Batch, mode: Mode) -> Result<Forward, TchError> {
        (self.on_forward)();
        self.turn_to(Some(Phase::Forward));
        if let Some(watch) = &self.stopwatch {
            watch.count_tokens(batch.num_tokens());
        }
        let logits = self.classifier.logits(params, batch, mode)?;
        Ok(Forward { loss: self.classifier.loss(&logits, batch)?, logits })
    }

    fn begins(&self, part: Part) {
        self.turn_to(match part {
            Part::Backward => Some(Phase::Backward),
            Part::Update => Some(Phase::Optimizer),
            Part::Rest => None,
        });
    }
}
