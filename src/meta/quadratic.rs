//! A learner whose adaptation has a closed form: ½ Σ aᵢ (φᵢ - cᵢ)² with c the batch.

use std::sync::Arc;

use tch::{Kind, TchError, Tensor};

use super::{Forward, InnerConfig, Learner, Task};
use crate::model::Mode;
use crate::optim::Rule;
use crate::params::ParamSet;
use crate::params::{Init, Layout};

/// The quadratic bowl; a batch is the place of its minimum.
pub struct Quadratic {
    pub curvature: [f64; 2],
}

impl Learner for Quadratic {
    type Batch = [f64; 2];

    fn forward(&self, params: &ParamSet, minimum: &[f64; 2], _: Mode) -> Result<Forward, TchError> {
        let offset = &params.tensors()[0] - Tensor::from_slice(minimum);
        let curvature = Tensor::from_slice(&self.curvature);
        let loss = (&offset * &offset * curvature).sum(Kind::Double) * 0.5;
        Ok(Forward { logits: offset.detach(), loss })
    }
}

pub fn config(lr: f64) -> InnerConfig {
    InnerConfig { optimizer: Rule::Sgd, lr, ..InnerConfig::default() }
}

pub fn from_values(values: &[f64; 2]) -> ParamSet {
    let mut layout = Layout::default();
    layout.register("phi", &[2], Init::Zeros);
    ParamSet::new(Arc::new(layout), vec![Tensor::from_slice(values)])
}

pub fn values(params: &ParamSet) -> Vec<f64> {
    Vec::try_from(params.tensors()[0].detach()).expect("two float64 values")
}

pub fn task(support: &[[f64; 2]], query: [f64; 2]) -> Task<[f64; 2]> {
    Task { support: support.to_vec(), query, dropout_seed: 0 }
}
