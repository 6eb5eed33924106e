//! Combinations of settings that mean nothing, or that no machine can compute, with the reason.

use super::algorithm::{Algorithm, OrderOf, StepWeights};
use super::head_start::HeadStart;
use super::recipe::Recipe;
use super::scope::Scope;
use super::step_rule::StepSizes;
use super::table::{Estimate, Tasks};
use crate::checks::{Invalid, require};
use crate::optim::Rule;

/// The most inner steps through which a meta-gradient reaches: the activations of all of them are kept.
const MAX_TRACED_STEPS: usize = 32;

impl Recipe {
    /// Checks that the settings of an adaptation fit each other.
    ///
    /// # Errors
    /// The first combination that does not, by one of its keys, with the reason.
    pub fn validate_adaptation(&self) -> Result<(), Invalid> {
        let (rule, step_sizes) = (self.steps.optimizer.rule, self.steps.step_sizes);
        if step_sizes == StepSizes::Fixed {
            return Ok(());
        }
        let expected = "sgd: learned step sizes are those of gradient descent";
        require(rule == Rule::Sgd, "inner.optimizer", expected, rule)?;
        let decay = self.steps.optimizer.weight_decay;
        let expected = "0 where step sizes are learned";
        require(decay == 0.0, "inner.weight_decay", expected, decay)?;
        let expected = "fixed for low-rank changes, which belong to no meta-parameter";
        let is_low_rank = matches!(self.steps.scope, Scope::Lora(_));
        require(!is_low_rank, "meta.step_sizes", expected, step_sizes)
    }

    /// Checks that the settings of training fit each other.
    ///
    /// # Errors
    /// As [`validate_adaptation`](Self::validate_adaptation).
    pub fn validate_training(&self) -> Result<(), Invalid> {
        self.validate_adaptation()?;
        if self.trains_on(Tasks::Pooled) {
            let expected =
                "at least 1 for transfer, whose outer steps are minibatches of so many texts";
            require(self.visit.batch > 0, "inner.batch", expected, self.visit.batch)?;
            return self.ensure_no_inner_loop();
        }
        if self.algorithm == Algorithm::Protonet {
            let expected = "prototypes or label-names, which protonet is trained with";
            require(self.head.is_made_of_support(), "meta.head", expected, self.head)?;
        }
        self.ensure_adapts()?;
        let takes_steps = self.takes_steps();
        let rule = self.steps.optimizer.rule;
        if takes_steps && self.order != OrderOf::First {
            let expected = format!(
                "first for {rule}: the second derivative of its step is not finite where a gradient is 0; set inner.optimizer \
                 = \"sgd\""
            );
            require(rule == Rule::Sgd, "meta.order", expected, self.order)?;
        }
        let step_sizes = self.steps.step_sizes;
        if step_sizes == StepSizes::TensorAndStep {
            let expected = "the number of steps that get step sizes of their own";
            require(self.visit.steps > 0, "inner.steps", expected, 0)?;
        }
        let weight = self.zero_step_weight;
        if self.training.is_some_and(|training| training.estimate == Estimate::Displacement) {
            let expected = "fixed for reptile: a displacement says nothing about step sizes";
            require(step_sizes == StepSizes::Fixed, "meta.step_sizes", expected, step_sizes)?;
            let expected = "0 for reptile, which has no query loss";
            require(weight == 0.0, "meta.zero_step_weight", expected, weight)?;
            let expected = "last for reptile, which has no query loss";
            let is_last = self.step_weights == StepWeights::Last;
            require(is_last, "meta.step_weights", expected, self.step_weights)?;
            let is_first = self.order == OrderOf::First;
            require(is_first, "meta.order", "first for reptile", self.order)?;
        }
        let expected = "0 where no step is taken";
        require(weight == 0.0 || takes_steps, "meta.zero_step_weight", expected, weight)?;
        let is_constant = self.head == HeadStart::Zeros;
        let expected = "0 for a head of zeros, whose loss before adapting is constant";
        require(weight == 0.0 || !is_constant, "meta.zero_step_weight", expected, weight)
    }

    /// Refuses settings of an inner loop in training for an algorithm that has none there.
    fn ensure_no_inner_loop(&self) -> Result<(), Invalid> {
        let of = |default: &str| {
            format!("{default} for {}, which trains without inner steps", self.algorithm)
        };
        let is_first = self.order == OrderOf::First;
        require(is_first, "meta.order", of("first"), self.order)?;
        let is_last = self.step_weights == StepWeights::Last;
        require(is_last, "meta.step_weights", of("last"), self.step_weights)?;
        let step_sizes = self.steps.step_sizes;
        let is_fixed = step_sizes == StepSizes::Fixed;
        require(is_fixed, "meta.step_sizes", of("fixed"), step_sizes)?;
        let weight = self.zero_step_weight;
        require(weight == 0.0, "meta.zero_step_weight", of("0"), weight)
    }

    /// Requires an adaptation that changes something: a step, or a head made of the support set.
    ///
    /// # Errors
    /// Neither.
    pub fn ensure_adapts(&self) -> Result<(), Invalid> {
        let expected =
            "at least 1 where inner.steps is 0 and the head is not made of the support set";
        let adapts = self.takes_steps() || self.head_steps > 0 || self.head.is_made_of_support();
        require(adapts, "inner.epochs", expected, 0)
    }

    /// Whether adapting takes a gradient step, those of `head_steps` aside.
    pub fn takes_steps(&self) -> bool {
        self.visit.steps + self.visit.epochs > 0
    }

    /// Checks that an adaptation of `num_steps` can be differentiated where the meta-gradient reaches through it.
    ///
    /// # Errors
    /// Too many steps for the memory.
    pub fn check_num_steps(&self, num_steps: usize) -> Result<(), Invalid> {
        let expected = format!(
            "at most {MAX_TRACED_STEPS} where meta.order is {}: the activations of every step are kept",
            self.order
        );
        let fits = self.num_traced_steps(num_steps) <= MAX_TRACED_STEPS;
        require(fits, "inner.steps", expected, num_steps)
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::{InnerConfig, MetaConfig};
    use super::*;

    #[test]
    fn settings_that_contradict_each_other_are_refused_with_the_reason() {
        type Change = fn(&mut InnerConfig, &mut MetaConfig);
        let cases: [(Algorithm, Change, &str); 11] = [
            (
                Algorithm::Maml,
                |inner, _| inner.optimizer = Rule::Adam.into(),
                "meta.order: expected first for adam",
            ),
            (
                Algorithm::Fomaml,
                |_, meta| meta.order = OrderOf::Second.into(),
                "meta.order: expected first for adam",
            ),
            (
                Algorithm::MetaSgd,
                |inner, _| inner.optimizer = Rule::AdamW.into(),
                "inner.optimizer: expected sgd",
            ),
            (Algorithm::MamlPlusPlus, |_, _| (), "inner.steps: expected the number of steps"),
            (
                Algorithm::Reptile,
                |_, meta| meta.zero_step_weight = 0.3,
                "meta.zero_step_weight: expected 0 for reptile",
            ),
            (
                Algorithm::Reptile,
                |inner, meta| {
                    inner.optimizer = Rule::Sgd.into();
                    meta.step_sizes = StepSizes::Element.into();
                },
                "meta.step_sizes: expected fixed for reptile",
            ),
            (
                Algorithm::Protonet,
                |_, meta| meta.head = HeadStart::Zeros.into(),
                "meta.head: expected prototypes",
            ),
            (
                Algorithm::MetaSgd,
                |_, meta| meta.scope = Scope::Lora(4).into(),
                "meta.step_sizes: expected fixed for low-rank",
            ),
            (Algorithm::Fomaml, |inner, _| inner.epochs = 0, "inner.epochs: expected at least 1"),
            (Algorithm::Transfer, |inner, _| inner.batch = 0, "inner.batch: expected at least 1"),
            (
                Algorithm::Transfer,
                |_, meta| meta.zero_step_weight = 0.5,
                "meta.zero_step_weight: expected 0 for transfer, which trains without inner steps",
            ),
        ];
        for (algorithm, change, expected) in cases {
            let (mut inner, mut meta) = (InnerConfig::default(), MetaConfig::default());
            change(&mut inner, &mut meta);
            let recipe = Recipe::new(algorithm, &inner, &meta);
            let error = recipe.validate_training().unwrap_err().to_string();
            assert!(error.starts_with(expected), "{algorithm}: {error}");
        }
    }

    #[test]
    fn every_algorithm_takes_the_defaults_or_says_what_it_needs() {
        for algorithm in Algorithm::ALL {
            let inner = InnerConfig { steps: 5, ..InnerConfig::default() };
            let recipe = Recipe::new(algorithm, &inner, &MetaConfig::default());
            recipe.validate_training().unwrap();
        }
    }

    #[test]
    fn second_order_keeps_activations_of_few_steps_only() {
        let recipe =
            |algorithm| Recipe::new(algorithm, &InnerConfig::default(), &MetaConfig::default());
        let error = recipe(Algorithm::Maml).check_num_steps(70).unwrap_err().to_string();
        assert!(error.starts_with("inner.steps: expected at most 32"), "{error}");
        assert!(error.ends_with("found 70"), "{error}");
        recipe(Algorithm::Anil).check_num_steps(70).unwrap();
        recipe(Algorithm::Fomaml).check_num_steps(70).unwrap();
    }
}
