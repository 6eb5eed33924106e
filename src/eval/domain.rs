//! The meta-parameters as one domain sees them: with a head of its labels, and with its texts embedded once.
//!
//! Knows no way to adapt or to score.

use tch::{TchError, Tensor};

use crate::data::{Corpus, ExampleId, LabelSet};
use crate::params::ParamSet;
use crate::tasks::Vectors;

/// The meta-parameters as one domain sees them.
pub struct DomainStart {
    /// Its labels.
    pub labels: LabelSet,
    /// The meta-parameters, whose head has the rows of these labels.
    pub theta: ParamSet,
    /// The vectors of its texts under them, of those that are read.
    pub vectors: Vectors,
}

/// Labelled texts to score on, with their vectors before adapting.
pub struct Scored<'a> {
    /// The tokenised texts.
    pub corpus: &'a Corpus,
    /// Those to use.
    pub examples: &'a [ExampleId],
    /// Their vectors.
    pub vectors: &'a Vectors,
}

impl Scored<'_> {
    /// The labels of the texts, as `labels` numbers them.
    pub fn truths(&self, labels: &LabelSet) -> Vec<u32> {
        let number = |&id: &ExampleId| labels.number_of(self.corpus.label_of(id));
        self.examples.iter().map(number).collect()
    }
}

impl DomainStart {
    /// The same beside texts without labels, whose vectors these are: `[texts, hidden]`.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn with_unlabelled(&self, features: Tensor) -> Result<Self, TchError> {
        let Self { labels, theta, vectors } = self.share()?;
        Ok(Self { labels, theta, vectors: vectors.with_unlabelled(features) })
    }

    /// The same for another thread to read.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn share(&self) -> Result<Self, TchError> {
        let (theta, vectors) = (self.theta.share()?, self.vectors.share()?);
        Ok(Self { labels: self.labels.clone(), theta, vectors })
    }
}
