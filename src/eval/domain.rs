//! The meta-parameters as one domain sees them: with a head of its labels, and with its texts embedded once.

use anyhow::{Context, Result};
use tch::{TchError, Tensor};

use super::evaluator::{Diverged, Evaluator};
use super::outcome::Outcome;
use super::predict;
use crate::data::{Corpus, ExampleId, LabelSet};
use crate::meta::{Adapted, HeadStart};
use crate::model::Pass;
use crate::params::ParamSet;
use crate::seed;
use crate::tasks::Vectors;

/// The meta-parameters as one domain sees them.
pub struct DomainStart {
    labels: LabelSet,
    theta: ParamSet,
    vectors: Vectors,
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

impl DomainStart {
    /// `params` with a head for `labels`, and the vectors of `examples` of the evaluator's corpus.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn new(
        evaluator: &Evaluator,
        params: &ParamSet,
        labels: LabelSet,
        examples: &[ExampleId],
    ) -> Result<Self> {
        let builder = &evaluator.builder;
        let head = builder.classifier.head();
        let theta = evaluator.head_rows.select(params, head, &labels, builder.recipe.head)?;
        let names = match builder.recipe.head {
            HeadStart::LabelNames => {
                let names = labels.ids().iter().map(|&label| builder.corpus.name_of(label));
                Some(evaluator.embed(&theta, &names.collect::<Vec<_>>())?)
            }
            _ => None,
        };
        let texts = texts(builder.corpus, examples);
        let vectors = Vectors::new(examples, evaluator.embed(&theta, &texts)?, names);
        Ok(Self { labels, theta, vectors })
    }

    /// The same for another thread to read.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn share(&self) -> Result<Self, TchError> {
        let (theta, vectors) = (self.theta.share()?, self.vectors.share()?);
        Ok(Self { labels: self.labels.clone(), theta, vectors })
    }

    /// The vectors of the evaluator's own texts.
    pub fn vectors(&self) -> &Vectors {
        &self.vectors
    }

    /// The vectors of texts of another corpus.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn vectors_of(
        &self,
        evaluator: &Evaluator,
        corpus: &Corpus,
        examples: &[ExampleId],
    ) -> Result<Vectors> {
        let features = evaluator.embed(&self.theta, &texts(corpus, examples))?;
        Ok(Vectors::new(examples, features, None))
    }

    /// Adapts to `support`. The order of the minibatches and the dropout masks come from the run seed, `stream` and `index`.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn adapt(
        &self,
        evaluator: &Evaluator,
        support: &[ExampleId],
        stream: &str,
        index: u64,
    ) -> Result<Adapted, TchError> {
        let seed = seed::derive(evaluator.run_seed, stream, index);
        evaluator.builder.adapt(&self.theta, support, &self.labels, Some(&self.vectors), seed)
    }

    /// How `weights` answer `scored`; `is_moved` says whether their encoder is another one than before adapting. `adaptation`
    /// names them in an error.
    ///
    /// # Errors
    /// [`Diverged`], and any error of libtorch.
    pub fn score(
        &self,
        evaluator: &Evaluator,
        (weights, is_moved): (&ParamSet, bool),
        scored: &Scored,
        adaptation: &str,
    ) -> Result<Outcome> {
        let Scored { corpus, examples, vectors } = scored;
        let classifier = evaluator.builder.classifier;
        let rows = || -> Result<Vec<Vec<f32>>> {
            if is_moved {
                let texts = texts(corpus, examples);
                return predict::logits(classifier, weights, &texts, evaluator.workers);
            }
            let features = vectors.of(examples)?;
            let logits: Tensor =
                tch::no_grad(|| classifier.classify(weights, &features, Pass::eval()))?;
            Ok(predict::to_rows(&logits)?)
        };
        let rows = rows().with_context(|| adaptation.to_owned())?;
        if rows.iter().flatten().any(|logit| !logit.is_finite()) {
            return Err(Diverged { adaptation: adaptation.to_owned() }.into());
        }
        let number = |&id: &ExampleId| self.labels.number_of(corpus.label_of(id));
        let truth: Vec<u32> = examples.iter().map(number).collect();
        Ok(Outcome::of(&truth, &rows))
    }
}

fn texts<'a>(corpus: &'a Corpus, examples: &[ExampleId]) -> Vec<&'a [u32]> {
    examples.iter().map(|&id| corpus.tokens_of(id)).collect()
}
