//! One gradient step of the inner loop: how far each weight moves.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tch::{TchError, Tensor};

use super::choice::named;
use super::scope::{Scope, num_layers};
use crate::optim::{Optimizer, OptimizerConfig};
use crate::params::{Init, Layout, ParamSet, Region, SlotId};

/// Which step sizes are learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepSizes {
    /// None.
    Fixed,
    /// One for each weight (Li et al. 2017, "Meta-SGD").
    Element,
    /// One for each tensor and inner step (Antoniou et al. 2019, "How to train your MAML").
    TensorAndStep,
}

/// How one gradient step is taken, and which weights it moves.
#[derive(Clone, Copy, Debug)]
pub struct StepRule {
    /// The rule and its constants; its state is fresh in every adaptation. Learned step sizes are those of `sgd`.
    pub optimizer: OptimizerConfig,
    /// Learning rate; where step sizes are learned, their first value.
    pub lr: f64,
    /// That of the head.
    pub head_lr: f64,
    /// The factor from the rate of each layer to that of the one below it.
    pub layer_decay: f64,
    /// The weights that move. The optimizer keeps moments for these alone.
    pub scope: Scope,
    /// Which step sizes are learned.
    pub step_sizes: StepSizes,
}

/// Prefix of the slots that hold learned step sizes.
const STEP_SIZES: &str = "step_sizes.";

impl StepRule {
    /// The learning rate of a region of a model with `num_layers`.
    pub fn lr_of(&self, region: Region, num_layers: u16) -> f64 {
        let depth = match region {
            Region::Head => return self.head_lr,
            Region::Pooler | Region::StepSizes => 0,
            Region::Layer(layer) => num_layers - 1 - layer,
            Region::Embeddings => num_layers,
        };
        self.lr * self.layer_decay.powi(depth.into())
    }

    /// Whether its steps are a function of the gradient that itself can be differentiated: not in place.
    pub fn is_learned(&self) -> bool {
        self.step_sizes != StepSizes::Fixed
    }

    /// Whether step sizes are those of numbered steps.
    pub fn counts_steps(&self) -> bool {
        self.step_sizes == StepSizes::TensorAndStep
    }

    /// `model` with a slot of step sizes for each slot that moves, where they are learned; `num_steps` inner steps.
    pub fn extend(&self, model: &Layout, num_steps: usize) -> Layout {
        let mut layout = model.clone();
        if self.is_learned() {
            let count = num_layers(model);
            for slot in model.slots().iter().filter(|slot| self.scope.moves(slot, count)) {
                let shape = match self.step_sizes {
                    StepSizes::TensorAndStep => vec![num_steps as i64],
                    _ => slot.shape.clone(),
                };
                let name = format!("{STEP_SIZES}{}", slot.name);
                let first = Init::Constant(self.lr_of(slot.region, count));
                layout.register(name, Region::StepSizes, &shape, first);
            }
        }
        layout
    }

    /// The optimizer of an adaptation of `moving`.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub(super) fn optimizer(&self, moving: &ParamSet) -> Result<Optimizer, TchError> {
        Optimizer::new(self.optimizer, moving)
    }

    /// `moving - step size * gradient`, as a function of all three, in step number `step`. Step sizes are learned ones among
    /// `rates` where these have some for a slot, and else the fixed ones of a model with `num_layers`.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub(super) fn moved(
        &self,
        moving: &ParamSet,
        gradient: &ParamSet,
        rates: &ParamSet,
        step: usize,
        num_layers: u16,
    ) -> Result<ParamSet, TchError> {
        let steps = gradient.tensors().iter().zip(moving.layout().slots());
        let steps = steps.map(|(gradient, slot)| {
            let learned = rates.layout().find(&format!("{STEP_SIZES}{}", slot.name));
            match learned.map(|learned| rates.get(learned)) {
                None => gradient.f_mul_scalar(self.lr_of(slot.region, num_layers)),
                Some(rate) if self.step_sizes == StepSizes::Element => gradient.f_mul(rate),
                Some(rates) => {
                    // An adaptation of more steps than were trained repeats the last.
                    let last = rates.numel() as i64 - 1;
                    gradient.f_mul(&rates.f_narrow(0, last.min(step as i64), 1)?)
                }
            }
        });
        let steps: Vec<Tensor> = steps.collect::<Result<_, TchError>>()?;
        let moved = moving.tensors().iter().zip(&steps).map(|(mine, step)| mine.f_sub(step));
        Ok(ParamSet::new(moving.layout().clone(), moved.collect::<Result<_, _>>()?))
    }
}

/// The slot that holds a step size for each element of `slot`; `None` where there is none.
pub fn step_sizes_of(layout: &Layout, slot: SlotId) -> Option<SlotId> {
    let found = layout.find(&format!("{STEP_SIZES}{}", layout.slot(slot).name))?;
    (layout.slot(found).shape == layout.slot(slot).shape).then_some(found)
}

impl Display for StepSizes {
    /// Their name in the configuration.
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        self.serialize(formatter)
    }
}

impl FromStr for StepSizes {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        named(&[Self::Fixed, Self::Element, Self::TensorAndStep], word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_decay_from_the_top_layer_down() {
        let rule = StepRule {
            optimizer: OptimizerConfig::new(crate::optim::Rule::Adam),
            lr: 8.0,
            head_lr: 3.0,
            layer_decay: 0.5,
            scope: Scope::All,
            step_sizes: StepSizes::Fixed,
        };
        let regions =
            [Region::Head, Region::Pooler, Region::Layer(2), Region::Layer(0), Region::Embeddings];
        assert_eq!(regions.map(|region| rule.lr_of(region, 3)), [3.0, 8.0, 8.0, 2.0, 1.0]);
        let even = StepRule { layer_decay: 1.0, ..rule };
        assert_eq!(even.lr_of(Region::Embeddings, 3), 8.0);
    }
}
