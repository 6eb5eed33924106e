//! Optimizer steps on a parameter set, with state that can be saved.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tch::TchError;

use crate::params::{ParamSet, Region, Slot};
use crate::torch_ext::{AdamHyper, fused_adam};

/// The rule of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// Adam (Kingma & Ba 2015); weight decay is an L2 penalty.
    #[default]
    Adam,
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019).
    AdamW,
    /// Gradient descent, with momentum where it is above 0; weight decay is an L2 penalty.
    Sgd,
}

impl Display for Rule {
    /// Its name in the configuration.
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        self.serialize(formatter)
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let rules = [Self::Adam, Self::AdamW, Self::Sgd];
        let found = rules.into_iter().find(|rule| rule.to_string() == word);
        found.ok_or_else(|| format!("expected auto, adam, adamw or sgd, found \"{word}\""))
    }
}

/// A rule and its constants; the defaults are those of `torch.optim`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptimizerConfig {
    /// The rule.
    pub rule: Rule,
    /// Decay rate of Adam's first moment.
    pub beta1: f64,
    /// Decay rate of Adam's second moment.
    pub beta2: f64,
    /// Added to the root of Adam's second moment.
    pub eps: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Momentum of `sgd`.
    pub momentum: f64,
}

impl OptimizerConfig {
    /// The rule with torch's default constants, without weight decay or momentum.
    pub fn new(rule: Rule) -> Self {
        Self { rule, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, momentum: 0.0 }
    }
}

/// An optimizer and its state.
#[derive(Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    num_steps: u64,
    moments: Vec<ParamSet>,
}

impl Optimizer {
    /// A fresh optimizer for parameters like `params`.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn new(config: OptimizerConfig, params: &ParamSet) -> Result<Self, TchError> {
        let moments =
            moment_names(&config).iter().map(|_| params.zeros_like()).collect::<Result<_, _>>()?;
        Ok(Self { config, num_steps: 0, moments })
    }

    /// An optimizer that continues where another stopped.
    pub fn restore(config: OptimizerConfig, num_steps: u64, moments: Vec<ParamSet>) -> Self {
        assert_eq!(moments.len(), moment_names(&config).len(), "as many moments as the rule keeps");
        Self { config, num_steps, moments }
    }

    /// Continues as after so many steps.
    pub fn set_num_steps(&mut self, num_steps: u64) {
        self.num_steps = num_steps;
    }

    /// The state that [`Optimizer::restore`] needs: each moment under its name.
    pub fn moments(&self) -> impl Iterator<Item = (&'static str, &ParamSet)> {
        moment_names(&self.config).iter().copied().zip(&self.moments)
    }

    /// Updates `params` in place by one step against `gradient`, of the size that `lr` gives for each region.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn step(
        &mut self,
        params: &mut ParamSet,
        gradient: &ParamSet,
        lr: impl Fn(Region) -> f64,
    ) -> Result<(), TchError> {
        let _span = tracing::trace_span!("optimizer").entered();
        self.num_steps += 1;
        let lr = |slot: &Slot| lr(slot.region);
        match self.config.rule {
            Rule::Adam | Rule::AdamW => self.adam_step(params, gradient, lr),
            Rule::Sgd => self.sgd_step(params, gradient, lr),
        }
    }

    /// Neighbouring slots that step alike are one call.
    fn adam_step(
        &self,
        params: &ParamSet,
        gradient: &ParamSet,
        lr: impl Fn(&Slot) -> f64,
    ) -> Result<(), TchError> {
        let OptimizerConfig { rule, beta1, beta2, eps, .. } = self.config;
        let decoupled = rule == Rule::AdamW;
        let alike = |slot: &Slot| (lr(slot), self.weight_decay(slot));
        let mut first = 0;
        for group in params.layout().slots().chunk_by(|left, right| alike(left) == alike(right)) {
            let (lr, weight_decay) = alike(&group[0]);
            let range = first..first + group.len();
            first = range.end;
            fused_adam(
                &params.tensors()[range.clone()],
                &gradient.tensors()[range.clone()],
                &self.moments[0].tensors()[range.clone()],
                &self.moments[1].tensors()[range],
                self.num_steps,
                &AdamHyper { lr, beta1, beta2, eps, weight_decay, decoupled },
            )?;
        }
        Ok(())
    }

    fn sgd_step(
        &mut self,
        params: &mut ParamSet,
        gradient: &ParamSet,
        lr: impl Fn(&Slot) -> f64,
    ) -> Result<(), TchError> {
        let decayed = (self.config.weight_decay != 0.0)
            .then(|| {
                let mut decayed = gradient.deep_copy()?;
                decayed.add_scaled_by(params, |slot| self.weight_decay(slot))?;
                Ok::<_, TchError>(decayed)
            })
            .transpose()?;
        let gradient = decayed.as_ref().unwrap_or(gradient);
        match self.moments.first_mut() {
            None => params.add_scaled_by(gradient, |slot| -lr(slot)),
            Some(velocity) => {
                velocity.scale(self.config.momentum)?;
                velocity.add_scaled(gradient, 1.0)?;
                params.add_scaled_by(velocity, |slot| -lr(slot))
            }
        }
    }

    /// Learned step sizes are no weights: nothing draws them to zero.
    fn weight_decay(&self, slot: &Slot) -> f64 {
        if slot.region == Region::StepSizes { 0.0 } else { self.config.weight_decay }
    }
}

/// The names of the moments that a rule keeps, also their names in a checkpoint.
pub fn moment_names(config: &OptimizerConfig) -> &'static [&'static str] {
    match config.rule {
        Rule::Adam | Rule::AdamW => &["exp_avg", "exp_avg_sq"],
        Rule::Sgd if config.momentum != 0.0 => &["momentum_buffer"],
        Rule::Sgd => &[],
    }
}
