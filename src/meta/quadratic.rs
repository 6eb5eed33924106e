//! A learner whose adaptation has a closed form: ½ Σ aᵢ (φᵢ - cᵢ)² with c the batch.

use std::sync::Arc;

use tch::{Kind, TchError, Tensor};

use super::choice::Rate;
use super::{Forward, InnerConfig, Learner, Support, Task};
use crate::model::Pass;
use crate::model::classifier::Head;
use crate::optim::Rule;
use crate::params::{Init, Layout, ParamSet, Region, TaskView};

/// The quadratic bowl over two parameters, one of a layer and one of the head; a batch is the place of its minimum.
pub struct Quadratic {
    pub curvature: [f64; 2],
}

impl Learner for Quadratic {
    type Batch = [f64; 2];

    /// The place of the minimum, which is what the head reads.
    fn embed(&self, _: &ParamSet, minimum: &[f64; 2], _: Pass) -> Result<Tensor, TchError> {
        Tensor::f_from_slice(minimum)?.f_view([1, 2])
    }

    fn classify(
        &self,
        params: &ParamSet,
        minimum: &Tensor,
        _: &Tensor,
        _: Pass,
    ) -> Result<Forward, TchError> {
        let offset = Tensor::f_cat(&params.tensors()[..2], 0)?.f_sub(&minimum.f_view([2])?)?;
        let curvature = Tensor::from_slice(&self.curvature);
        let loss = (&offset * &offset * curvature).sum(Kind::Double) * 0.5;
        Ok(Forward { logits: offset.detach().view([1, 2]), loss })
    }

    /// A bowl has no labels.
    fn labels(&self, _: &[f64; 2]) -> Tensor {
        Tensor::from_slice(&[0_i64])
    }

    fn head(&self) -> Head {
        let layout = layout();
        let slot = layout.find("head").expect("the layout has a head");
        Head { weight: slot, bias: slot }
    }
}

pub fn config(lr: f64) -> InnerConfig {
    let lr = Rate(lr).into();
    InnerConfig { optimizer: Rule::Sgd.into(), lr, head_lr: lr, ..InnerConfig::default() }
}

fn layout() -> Layout {
    let mut layout = Layout::default();
    for (name, region) in [("layer", Region::Layer(0)), ("head", Region::Head)] {
        layout.register(name, region, &[1], Init::Zeros);
    }
    layout
}

pub fn from_values(values: &[f64; 2]) -> ParamSet {
    let tensors = values.map(|value| Tensor::from_slice(&[value]));
    ParamSet::new(Arc::new(layout()), tensors.into())
}

pub fn values(params: &ParamSet) -> Vec<f64> {
    params.tensors().iter().map(|tensor| tensor.double_value(&[0])).collect()
}

pub fn support(batches: &[[f64; 2]]) -> Support<[f64; 2]> {
    Support::of_steps(batches.to_vec())
}

pub fn task(meta: &ParamSet, batches: &[[f64; 2]], query: [f64; 2]) -> Task<[f64; 2]> {
    Task {
        index: 0,
        domain: None,
        view: TaskView::whole(meta.layout()),
        support: support(batches),
        query,
        dropout_seed: 0,
    }
}
