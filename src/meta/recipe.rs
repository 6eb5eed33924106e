//! The table of algorithms. Each is a recipe: settings of one inner loop, and one of two ways to form the meta-gradient.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};
use tch::{TchError, Tensor};

use super::inner_loop::{Adapted, InnerConfig, StepRule, Visit};
use super::{EpisodeOutcome, Forward, Learner, Task};
use crate::model::Pass;
use crate::optim::OptimizerConfig;
use crate::params::ParamSet;

/// The algorithms by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// First-order MAML (Finn et al. 2017).
    #[default]
    Fomaml,
    /// Reptile (Nichol et al. 2018).
    Reptile,
    /// Plain training on the pooled high-resource domains.
    Transfer,
    /// No meta-training: the pretrained encoder with a fresh head.
    None,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 4] = [Self::Fomaml, Self::Reptile, Self::Transfer, Self::None];
}

impl Display for Algorithm {
    /// Its name in the configuration.
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        self.serialize(formatter)
    }
}

/// The parts of an outer step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tasks {
    /// Episodes with a support and a query set of one domain.
    Episodes,
    /// Minibatches of all meta-train examples pooled: a query set without support.
    Pooled,
}

/// The way from an adaptation to a meta-gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Estimate {
    /// The gradient of the query loss at the adapted weights, as if they did not depend on where the adaptation began: first
    /// order (Finn et al. 2017, section 5.2; Nichol et al. 2018, eq. 4).
    QueryLoss {
        /// Whether dropout is on in the query loss.
        dropout: bool,
    },
    /// Initial minus adapted weights: outer gradient descent with learning rate eps is then `theta + eps (phi - theta)`
    /// (Nichol et al. 2018, algorithm 2). The query set is scored and otherwise left alone.
    Displacement,
}

/// How an algorithm trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Training {
    /// The parts of an outer step.
    pub tasks: Tasks,
    /// How each becomes a meta-gradient.
    pub estimate: Estimate,
}

/// One algorithm with its settings: how weights adapt to a support set, and how meta-training follows from it.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Its name.
    pub algorithm: Algorithm,
    /// How it trains; `None` for an algorithm that takes no outer step.
    pub training: Option<Training>,
    /// How a support set is visited.
    pub visit: Visit,
    /// How a gradient step is taken on it.
    pub steps: StepRule,
}

impl Recipe {
    /// The row of the table for `algorithm`, with the inner loop that `inner` describes.
    pub fn new(algorithm: Algorithm, inner: &InnerConfig) -> Self {
        let query_loss = |dropout| Estimate::QueryLoss { dropout };
        let row = match algorithm {
            Algorithm::Fomaml => Some((Tasks::Episodes, query_loss(inner.query_dropout))),
            Algorithm::Reptile => Some((Tasks::Episodes, Estimate::Displacement)),
            Algorithm::Transfer => Some((Tasks::Pooled, query_loss(true))),
            Algorithm::None => None,
        };
        let InnerConfig { epochs, steps, batch, .. } = *inner;
        let optimizer = OptimizerConfig {
            weight_decay: inner.weight_decay,
            ..OptimizerConfig::new(inner.optimizer)
        };
        Self {
            algorithm,
            training: row.map(|(tasks, estimate)| Training { tasks, estimate }),
            visit: Visit { epochs, steps, batch },
            steps: StepRule { optimizer, lr: inner.lr, moves: |_| true },
        }
    }

    /// An adaptation of `num_steps` in words, such as `21 steps of adam, lr 5e-5, batch 12`.
    pub fn describe(&self, num_steps: usize) -> String {
        let (rule, lr) = (self.steps.optimizer.rule, self.steps.lr);
        let steps = if num_steps == 1 { "step" } else { "steps" };
        format!("{num_steps} {steps} of {rule}, lr {lr:e}, batch {}", self.visit.batch)
    }

    /// Whether an outer step is made of these.
    pub fn trains_on(&self, tasks: Tasks) -> bool {
        self.training.is_some_and(|training| training.tasks == tasks)
    }

    /// Whether rows that no text of a task looks up stay where they are while adapting: with weight decay they move.
    pub fn leaves_unseen_rows(&self) -> bool {
        self.steps.optimizer.weight_decay == 0.0
    }

    /// Adapts a copy of `start` with one gradient step for each batch of `support`: [`StepRule::adapt`].
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn adapt<L: Learner>(
        &self,
        learner: &L,
        start: &ParamSet,
        support: &[L::Batch],
        dropout_seed: u64,
    ) -> Result<Adapted, TchError> {
        self.steps.adapt(learner, start, support, dropout_seed)
    }

    /// The contribution of `task` to an outer step at the meta-parameters `meta`, which are without gradient history.
    ///
    /// # Errors
    /// Any error of libtorch.
    ///
    /// # Panics
    /// For an algorithm that takes no outer step.
    pub fn meta_gradient<L: Learner>(
        &self,
        learner: &L,
        meta: &ParamSet,
        task: Task<L::Batch>,
    ) -> Result<EpisodeOutcome, TchError> {
        let Training { estimate, .. } = self.training.expect("the algorithm takes outer steps");
        let Task { index, domain, view, support, query, dropout_seed } = task;
        let start = view.gather(meta)?;
        let Adapted { weights, losses } = self.adapt(learner, &start, &support, dropout_seed)?;
        let (gradient, Forward { loss, logits }) = match estimate {
            Estimate::QueryLoss { dropout } => {
                // The pass after the last adaptation step.
                let after = Pass::train(dropout_seed, support.len() as u64);
                let pass = if dropout { after } else { Pass::eval() };
                let scored = learner.forward(&weights, &query, pass)?;
                (weights.gradient_of(&scored.loss)?, scored)
            }
            Estimate::Displacement => {
                let scored = tch::no_grad(|| learner.forward(&weights, &query, Pass::eval()))?;
                (start.difference(&weights)?, scored)
            }
        };
        let logits: Tensor = logits.f_detach()?;
        Ok(EpisodeOutcome {
            index,
            domain,
            view,
            gradient,
            support_losses: losses,
            query_loss: loss.f_detach()?,
            num_right: learner.num_right(&logits, &query)?,
            num_scored: logits.size()[0] as usize,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::quadratic::{Quadratic, config, from_values, task, values};
    use crate::optim::{Optimizer, Rule};
    use crate::params::Region;

    const CURVATURE: [f64; 2] = [0.5, 3.0];
    const START: [f64; 2] = [1.0, -2.0];
    const SUPPORT: [f64; 2] = [2.0, 0.25];
    const QUERY: [f64; 2] = [-1.0, 0.5];

    fn meta_gradient(algorithm: Algorithm, lr: f64, steps: usize) -> EpisodeOutcome {
        let recipe = Recipe::new(algorithm, &config(lr));
        let meta = from_values(&START);
        let task = task(&meta, &vec![SUPPORT; steps], QUERY);
        recipe.meta_gradient(&Quadratic { curvature: CURVATURE }, &meta, task).unwrap()
    }

    /// Gradient descent on ½ Σ aᵢ (φᵢ - cᵢ)² contracts: φ_k - c = (1 - lr a)^k (θ - c).
    fn adapted(i: usize, lr: f64, steps: i32) -> f64 {
        SUPPORT[i] + (1.0 - lr * CURVATURE[i]).powi(steps) * (START[i] - SUPPORT[i])
    }

    #[test]
    fn fomaml_takes_the_query_gradient_at_the_adapted_weights() {
        let found = values(&meta_gradient(Algorithm::Fomaml, 0.1, 5).gradient);
        for i in 0..2 {
            let expected = CURVATURE[i] * (adapted(i, 0.1, 5) - QUERY[i]);
            assert!((found[i] - expected).abs() < 1e-10, "{i}: {} != {expected}", found[i]);
        }
    }

    #[test]
    fn an_outer_sgd_step_of_reptile_is_nichols_update() {
        let epsilon = 0.7;
        let outcome = meta_gradient(Algorithm::Reptile, 0.1, 4);
        let mut meta = from_values(&START);
        let mut outer = Optimizer::new(OptimizerConfig::new(Rule::Sgd), &meta).unwrap();
        outer.step(&mut meta, &outcome.gradient, epsilon).unwrap();
        let found = values(&meta);
        for i in 0..2 {
            let expected = START[i] + epsilon * (adapted(i, 0.1, 4) - START[i]);
            assert!((found[i] - expected).abs() < 1e-10, "{i}: {} != {expected}", found[i]);
        }
    }

    #[test]
    fn transfer_takes_the_gradient_at_the_meta_parameters() {
        let outcome = meta_gradient(Algorithm::Transfer, 0.1, 0);
        assert_eq!(values(&outcome.gradient), [0.5 * 2.0, 3.0 * -2.5]);
        assert_eq!(outcome.support_losses.size(), [0]);
    }

    #[test]
    fn none_takes_no_outer_step() {
        assert!(Recipe::new(Algorithm::None, &config(0.1)).training.is_none());
    }

    #[test]
    fn regions_that_do_not_move_stay_as_they_are() {
        let mut recipe = Recipe::new(Algorithm::Fomaml, &config(0.1));
        recipe.steps.moves = |region| region != Region::Head;
        let meta = from_values(&START);
        let learner = Quadratic { curvature: CURVATURE };
        let adapted = recipe.adapt(&learner, &meta, &[SUPPORT; 3], 0).unwrap();
        let found = values(&adapted.weights);
        assert_eq!(found[1], START[1], "the head moved");
        // As if the other parameter were alone.
        assert!((found[0] - self::adapted(0, 0.1, 3)).abs() < 1e-10, "{found:?}");
    }

    #[test]
    fn a_recipe_reads_like_its_settings() {
        let recipe = Recipe::new(Algorithm::Reptile, &InnerConfig::default());
        assert_eq!(recipe.describe(21), "21 steps of adam, lr 5e-5, batch 12");
        assert_eq!(recipe.describe(1), "1 step of adam, lr 5e-5, batch 12");
    }
}
