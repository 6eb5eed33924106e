//! A learner whose adaptation has a closed form: ½ Σ aᵢ (φᵢ - cᵢ)² with c the batch.

use std::sync::Arc;

use tch::{Kind, TchError, Tensor};

use super::{Forward, InnerConfig, Learner, Task};
use crate::model::Pass;
use crate::optim::Rule;
use crate::params::{Init, Layout, ParamSet, Region, TaskView};

/// The quadratic bowl over two parameters, one of a layer and one of the head; a batch is the place of its minimum.
pub struct Quadratic {
    pub curvature: [f64; 2],
}

impl Learner for Quadratic {
    type Batch = [f64; 2];

    fn forward(&self, params: &ParamSet, minimum: &[f64; 2], _: Pass) -> Result<Forward, TchError> {
        let offset = Tensor::f_cat(params.tensors(), 0)? - Tensor::from_slice(minimum);
        let curvature = Tensor::from_slice(&self.curvature);
        let loss = (&offset * &offset * curvature).sum(Kind::Double) * 0.5;
        Ok(Forward { logits: offset.detach(), loss })
    }

    /// A bowl has no labels: nothing is right.
    fn num_right(&self, _: &Tensor, _: &[f64; 2]) -> Result<Tensor, TchError> {
        Ok(Tensor::from(0_i64))
    }
}

pub fn config(lr: f64) -> InnerConfig {
    InnerConfig { optimizer: Rule::Sgd, lr, ..InnerConfig::default() }
}

pub fn from_values(values: &[f64; 2]) -> ParamSet {
    let mut layout = Layout::default();
    for (name, region) in [("layer", Region::Layer(0)), ("head", Region::Head)] {
        layout.register(name, region, &[1], Init::Zeros);
    }
    let tensors = values.map(|value| Tensor::from_slice(&[value]));
    ParamSet::new(Arc::new(layout), tensors.into())
}

pub fn values(params: &ParamSet) -> Vec<f64> {
    params.tensors().iter().map(|tensor| tensor.double_value(&[0])).collect()
}

pub fn task(meta: &ParamSet, support: &[[f64; 2]], query: [f64; 2]) -> Task<[f64; 2]> {
    Task {
        index: 0,
        domain: None,
        view: TaskView::whole(meta.layout()),
        support: support.to_vec(),
        query,
        dropout_seed: 0,
    }
}
