//! A text classifier: BERT, dropout, and one affine map (`BertForSequenceClassification`).

use std::sync::Arc;

use tch::{Reduction, TchError, Tensor};

use super::bert::{Bert, Linear, drop_out};
use super::config::BertConfig;
use super::mode::Mode;
use super::precision::Precision;
use crate::data::batch::Batch;
use crate::params::{Layout, ParamSet, Region};

/// BERT with a classification head. Holds no tensors.
#[derive(Clone, Debug)]
pub struct Classifier {
    bert: Bert,
    head: Linear,
    layout: Arc<Layout>,
}

impl Classifier {
    /// A classifier of this architecture into `num_labels` labels.
    pub fn new(config: &BertConfig, num_labels: usize, precision: Precision) -> Self {
        let mut layout = Layout::default();
        let bert = Bert::register(&mut layout, config, precision);
        let head = Linear::register(
            &mut layout,
            (Region::Head, "classifier"),
            (config.hidden_size, num_labels as i64),
            config.initializer_range,
        );
        Self { bert, head, layout: Arc::new(layout) }
    }

    /// The encoder.
    pub fn bert(&self) -> &Bert {
        &self.bert
    }

    /// The layout of the classifier's parameters.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The logits, `[batch, labels]`.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn logits(&self, params: &ParamSet, batch: &Batch, mode: Mode) -> Result<Tensor, TchError> {
        let config = self.bert.config();
        let pooled = self.bert.forward(params, batch, mode)?;
        let p = config.classifier_dropout.unwrap_or(config.hidden_dropout_prob);
        let pooled = drop_out(&pooled, p, mode, self.bert.num_sites())?;
        // The head is a few thousand multiplications: kept in the parameters' dtype.
        self.head.forward(params, &pooled, Precision::Fp32)
    }

    /// The mean cross-entropy of the batch's labels under `logits`, a 0-dimensional tensor.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn loss(&self, logits: &Tensor, batch: &Batch) -> Result<Tensor, TchError> {
        logits.f_cross_entropy_loss(&batch.labels, None::<Tensor>, Reduction::Mean, -100, 0.0)
    }
}
