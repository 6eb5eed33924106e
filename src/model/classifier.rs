//! A text classifier: BERT, dropout, and one affine map (`BertForSequenceClassification`).

use std::sync::Arc;

use tch::{Reduction, TchError, Tensor};

use super::bert::{Bert, Linear, drop_out};
use super::config::BertConfig;
use super::pass::Pass;
use super::pooling::{Pooler, Pooling};
use super::precision::Precision;
use crate::data::batch::Batch;
use crate::params::{Layout, ParamSet, Region, SlotId};

/// BERT with a classification head. Holds no tensors.
#[derive(Clone, Debug)]
pub struct Classifier {
    bert: Bert,
    pooler: Pooler,
    head: Linear,
    layout: Arc<Layout>,
}

/// The slots of a classification head: an affine map with a row for each label.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// `[labels, hidden]`.
    pub weight: SlotId,
    /// `[labels]`.
    pub bias: SlotId,
}

impl Classifier {
    /// A classifier of this architecture into `num_labels` labels.
    pub fn new(
        config: &BertConfig,
        pooling: Pooling,
        num_labels: usize,
        precision: Precision,
    ) -> Self {
        let mut layout = Layout::default();
        let bert = Bert::register(&mut layout, config, precision);
        let pooler = Pooler::register(&mut layout, config, pooling);
        let head = Linear::register(
            &mut layout,
            (Region::Head, "classifier"),
            (config.hidden_size, num_labels as i64),
            config.initializer_range,
        );
        Self { bert, pooler, head, layout: Arc::new(layout) }
    }

    /// The same model with a head into `num_labels` labels.
    pub fn with_labels(&self, num_labels: usize) -> Self {
        let Head { weight, bias } = self.head();
        let num_labels = num_labels as i64;
        let layout = self.layout.with_rows(weight, num_labels).with_rows(bias, num_labels);
        Self { layout: Arc::new(layout), ..self.clone() }
    }

    /// The encoder.
    pub fn bert(&self) -> &Bert {
        &self.bert
    }

    /// The layout of the classifier's parameters.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The slots of the head.
    pub fn head(&self) -> Head {
        Head { weight: self.head.weight, bias: self.head.bias }
    }

    /// The logits, `[batch, labels]`: [`classify`](Self::classify) of [`embed`](Self::embed).
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn logits(&self, params: &ParamSet, batch: &Batch, pass: Pass) -> Result<Tensor, TchError> {
        self.classify(params, &self.embed(params, batch, pass)?, pass)
    }

    /// One vector for each text, which the head reads: `[batch, hidden]`, before the head's dropout.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn embed(&self, params: &ParamSet, batch: &Batch, pass: Pass) -> Result<Tensor, TchError> {
        let hidden = self.bert.hidden_states(params, batch, self.pooler.rows(), pass)?;
        self.pooler.forward(params, &hidden, batch, self.bert.precision())
    }

    /// The logits of texts with these vectors: `[batch, labels]` of `[batch, hidden]`.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn classify(
        &self,
        params: &ParamSet,
        features: &Tensor,
        pass: Pass,
    ) -> Result<Tensor, TchError> {
        let config = self.bert.config();
        let p = config.classifier_dropout.unwrap_or(config.hidden_dropout_prob);
        let features = drop_out(features, p, pass, self.bert.num_sites())?;
        // The head is a few thousand multiplications: kept in the parameters' dtype.
        self.head.forward(params, &features, Precision::Fp32)
    }

    /// The mean cross-entropy of `labels` (`[batch]`, int64) under `logits`, a 0-dimensional tensor.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn loss(&self, logits: &Tensor, labels: &Tensor) -> Result<Tensor, TchError> {
        logits.f_cross_entropy_loss(labels, None::<Tensor>, Reduction::Mean, -100, 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::init;

    #[test]
    fn another_number_of_labels_changes_the_head_alone() {
        let config = BertConfig {
            vocab_size: 10,
            hidden_size: 4,
            num_hidden_layers: 1,
            num_attention_heads: 2,
            intermediate_size: 8,
            max_position_embeddings: 6,
            ..BertConfig::default()
        };
        let classifier = Classifier::new(&config, Pooling::Cls, 2, Precision::Fp32);
        let wider = classifier.with_labels(5);
        assert_eq!(
            wider.layout(),
            Classifier::new(&config, Pooling::Cls, 5, Precision::Fp32).layout()
        );
        let params = init::draw(wider.layout(), 1).unwrap();
        assert_eq!(params.get(wider.head().weight).size(), [5, 4]);
        assert_eq!(params.get(wider.head().bias).size(), [5]);
    }
}
