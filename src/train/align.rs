//! Teaches the vector of the first token to be that of mean pooling, by texts without labels.
//!
//! A model with mean pooling is the teacher and stays as it is; the student begins as its copy, pooled by the first token. A
//! head of the teacher then serves the student as well, since it reads the same vectors.

use tch::{Kind, TchError, Tensor};

use crate::data::batch::Batch;
use crate::model::attention::Rows;
use crate::model::{Classifier, Pass};
use crate::optim::{Optimizer, OptimizerConfig, Rule, Schedule, ScheduleConfig};
use crate::params::{ParamSet, Region};

/// A teacher, and the architecture of its student.
#[derive(Clone, Copy, Debug)]
pub struct Alignment<'a> {
    /// The model whose vectors are wanted.
    pub teacher: &'a Classifier,
    /// Its weights.
    pub teacher_params: &'a ParamSet,
    /// The model that learns them.
    pub student: &'a Classifier,
}

/// Weight of the penalty on the squares of the first pooler, in texts: it keeps the fit to few texts finite.
const RIDGE: f64 = 1.0;

impl Alignment<'_> {
    /// `start` with the pooler that predicts the wanted vectors of `batches` best, by least squares with a small penalty: below
    /// length 1 the tanh after it is close to the identity. From any other pooler steps would take thousands of texts to get
    /// there.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn fitted(&self, start: &ParamSet, batches: &[Batch]) -> Result<ParamSet, TchError> {
        let (mut read, mut wanted) = (Vec::new(), Vec::new());
        for batch in batches {
            let bert = self.student.bert();
            let first =
                tch::no_grad(|| bert.hidden_states(start, batch, Rows::First, Pass::eval()))?;
            let ones = Tensor::f_ones([first.size()[0], 1], (first.kind(), first.device()))?;
            read.push(Tensor::f_cat(&[first, ones], 1)?.f_to_kind(Kind::Double)?);
            wanted.push(self.wanted(batch)?.f_to_kind(Kind::Double)?);
        }
        let (read, wanted) = (Tensor::f_cat(&read, 0)?, Tensor::f_cat(&wanted, 0)?);
        let size = read.size()[1];
        let penalty = Tensor::f_eye(size, (Kind::Double, read.device()))?.f_mul_scalar(RIDGE)?;
        let squares = read.f_transpose(0, 1)?.f_matmul(&read)?.f_add(&penalty)?;
        let products = read.f_transpose(0, 1)?.f_matmul(&wanted)?;
        let map = Tensor::f_linalg_solve(&squares, &products, true)?;
        let hidden = size - 1;
        let kind = start.get(self.student.head().weight).kind();
        let weight = map.f_narrow(0, 0, hidden)?.f_transpose(0, 1)?.f_contiguous()?;
        let bias = map.f_narrow(0, hidden, 1)?.f_reshape([hidden])?;
        let slots = start.layout().ids().zip(start.layout().slots());
        let mut fitted = start.shallow_clone();
        for (id, slot) in slots.filter(|(_, slot)| slot.region == Region::Pooler) {
            let of_slot = if slot.name.ends_with(".weight") { &weight } else { &bias };
            fitted = fitted.with(id, of_slot.f_to_kind(kind)?);
        }
        Ok(fitted)
    }

    /// The weights `start` of the student after `num_steps` steps of AdamW on the squared distance of the vectors, with a
    /// learning rate that falls from `lr` to zero in a straight line. `batch` makes the batch of a step. Dropout is off, and
    /// the head stays as it is.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn run(
        &self,
        start: &ParamSet,
        (num_steps, lr): (u64, f64),
        batch: impl Fn(u64) -> Result<Batch, TchError>,
    ) -> Result<ParamSet, TchError> {
        let schedule =
            Schedule { shape: ScheduleConfig::Linear, warmup_steps: 0, steps: num_steps };
        let mut moving = start.select(|slot| slot.region != Region::Head).to_fast_weights()?;
        let mut optimizer = Optimizer::new(OptimizerConfig::new(Rule::AdamW), &moving)?;
        for step in 0..num_steps {
            let batch = batch(step)?;
            let wanted = self.wanted(&batch)?;
            let found = self.student.embed(&start.overlay(&moving), &batch, Pass::eval())?;
            let distance = found.f_sub(&wanted)?.f_square()?.f_sum(found.kind())?;
            let loss = distance.f_div_scalar(batch.lengths.len() as i64)?;
            let gradient = moving.gradient_of(&loss)?;
            optimizer.step(&mut moving, &gradient, |_| lr * schedule.factor(step))?;
        }
        start.overlay(&moving).share()
    }

    /// The mean cosine of the student's vectors under `params` and the teacher's, over all texts of `batches`.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn mean_cosine(&self, params: &ParamSet, batches: &[Batch]) -> Result<f64, TchError> {
        let (mut sum, mut count) = (0.0, 0);
        for batch in batches {
            let wanted = self.wanted(batch)?;
            let found = tch::no_grad(|| self.student.embed(params, batch, Pass::eval()))?;
            let cosines = Tensor::f_cosine_similarity(&found, &wanted, 1, 1e-12)?;
            sum += cosines.f_sum(Kind::Double)?.f_double_value(&[])?;
            count += batch.lengths.len();
        }
        Ok(sum / count as f64)
    }

    /// The teacher's vectors, `[batch, hidden]`.
    fn wanted(&self, batch: &Batch) -> Result<Tensor, TchError> {
        tch::no_grad(|| self.teacher.embed(self.teacher_params, batch, Pass::eval()))
    }
}
