//! One algorithm with its settings, and its first verb: adapting.

use tch::{Kind, TchError, Tensor};

use super::Learner;
use super::algorithm::{Algorithm, OrderOf, StepWeights};
use super::choice::{Choice, Rate};
use super::class_weights::ClassWeights;
use super::config::{InnerConfig, MetaConfig};
use super::head_start::HeadStart;
use super::inner_loop::{Trace, Visit, take_steps};
use super::scope::Scope;
use super::step_rule::{StepRule, StepSizes};
use super::support::{Embedded, Steps, Support, Whole};
use super::table::{Row, Tasks, Training};
use crate::checks::{self, Invalid};
use crate::model::{Order, Pass};
use crate::optim::{OptimizerConfig, Rule};
use crate::params::ParamSet;
use crate::seed;

/// One algorithm with its settings: how weights adapt to a support set, and how meta-training follows from it.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Its name.
    pub algorithm: Algorithm,
    /// How it trains; `None` for an algorithm that takes no outer step.
    pub training: Option<Training>,
    /// The head that adaptation starts from.
    pub head: HeadStart,
    /// The factor on the logits of prototypes.
    pub temperature: f64,
    /// How many support texts a label's name counts for.
    pub name_weight: f64,
    /// How much of a support text a text without a label counts for.
    pub unlabelled_weight: f64,
    /// How a support set is visited.
    pub visit: Visit,
    /// How much the texts of each label count in it.
    pub class_weights: ClassWeights,
    /// Gradient steps of the head alone, on the whole support set, before those of `visit` (Kumar et al. 2022, "LP-FT").
    /// Adapting after training has them; the inner loop of training does not.
    pub head_steps: usize,
    /// How a gradient step is taken on it.
    pub steps: StepRule,
    /// Whether the meta-gradient reaches through the steps.
    pub order: OrderOf,
    /// The weights of the query losses after each step.
    pub step_weights: StepWeights,
    /// Outer steps over which annealed settings change.
    pub annealing_steps: u64,
    /// The share of the loss before adapting in the outer loss.
    pub zero_step_weight: f64,
}

/// The learning rate of Adam, and those of gradient descent, for the encoder and for the head.
const ADAM_LR: f64 = 5e-5;
const SGD_LR: f64 = 1e-2;
const SGD_HEAD_LR: f64 = 1e-1;

/// The outcome of an adaptation.
#[derive(Debug)]
pub struct Adapted {
    /// The weights before the first step, with the head that it starts from.
    pub start: ParamSet,
    /// The weights after the last step: leaves that record gradients.
    pub weights: ParamSet,
    /// The loss before each step, `[steps]`, on the device of the weights.
    pub losses: Tensor,
}

impl Adapted {
    /// The same weights, of which those that moved are `share` of the way from the start to the end (Wortsman et al. 2022).
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn part_of_the_way(self, share: f64) -> Result<Self, TchError> {
        let Self { start, weights, losses } = self;
        let mut part = weights.difference(&start)?;
        part.scale(share)?;
        part.add_scaled(&start, 1.0)?;
        Ok(Self { start, weights: part, losses })
    }
}

impl Recipe {
    /// The row of the table for `algorithm`, with the inner loop that `inner` describes and what `meta` overrules of the row.
    pub fn new(algorithm: Algorithm, inner: &InnerConfig, meta: &MetaConfig) -> Self {
        let row = Row::of(algorithm, inner.query_dropout);
        let rule = inner.optimizer.or(row.rule);
        let (lr, head_lr) = match (inner.lr, rule) {
            // A rate that is given is that of the head as well.
            (Choice::Given(Rate(lr)), _) => (lr, lr),
            (Choice::Auto, Rule::Sgd) => (SGD_LR, SGD_HEAD_LR),
            (Choice::Auto, Rule::Adam | Rule::AdamW) => (ADAM_LR, ADAM_LR),
        };
        let Rate(head_lr) = inner.head_lr.or(Rate(head_lr));
        let epochs = if row.takes_steps { inner.epochs } else { 0 };
        let optimizer =
            OptimizerConfig { weight_decay: inner.weight_decay, ..OptimizerConfig::new(rule) };
        Self {
            algorithm,
            training: row.training,
            head: meta.head.or(row.head),
            temperature: meta.temperature,
            name_weight: meta.name_weight,
            unlabelled_weight: meta.unlabelled_weight,
            visit: Visit { epochs, steps: inner.steps, batch: inner.batch },
            class_weights: inner.class_weights,
            head_steps: 0,
            steps: StepRule {
                optimizer,
                lr,
                head_lr,
                layer_decay: inner.layer_decay,
                scope: meta.scope.or(row.scope),
                step_sizes: meta.step_sizes.or(row.step_sizes),
            },
            order: meta.order.or(row.order),
            step_weights: meta.step_weights.or(row.step_weights),
            annealing_steps: meta.annealing_steps,
            zero_step_weight: meta.zero_step_weight,
        }
    }

    /// The same with so many steps of the head before the others.
    pub fn with_head_steps(self, head_steps: usize) -> Self {
        Self { head_steps, ..self }
    }

    /// `inner` with the values that the algorithm decided.
    pub fn resolve(&self, inner: &InnerConfig) -> InnerConfig {
        let StepRule { optimizer, lr, head_lr, .. } = self.steps;
        let (optimizer, [lr, head_lr]) =
            (optimizer.rule.into(), [lr, head_lr].map(|it| Rate(it).into()));
        InnerConfig { optimizer, lr, head_lr, ..inner.clone() }
    }

    /// An adaptation of `num_steps` in words, such as `21 steps of adam, lr 5e-5, batch 12`.
    pub fn describe(&self, num_steps: usize) -> String {
        let StepRule { lr, head_lr, layer_decay, scope, step_sizes, optimizer } = self.steps;
        let from = match self.head {
            HeadStart::Meta => String::new(),
            HeadStart::Shared => ", from a shared head".to_owned(),
            head => format!(", from a head of {head}"),
        };
        let first = match self.head_steps {
            0 => String::new(),
            steps => format!("{steps} steps of the head, then "),
        };
        if num_steps == 0 {
            return format!("{first}no steps{from}");
        }
        let steps = if num_steps == 1 { "step" } else { "steps" };
        let rates = match step_sizes {
            StepSizes::Fixed if lr == head_lr || scope == Scope::Head => format!("lr {head_lr:e}"),
            StepSizes::Fixed => format!("lr {lr:e}, head {head_lr:e}"),
            _ => "learned step sizes".to_owned(),
        };
        let batch = match self.visit.batch {
            0 => "all texts at once".to_owned(),
            batch => format!("batch {batch}"),
        };
        let decay = match layer_decay {
            1.0 => String::new(),
            decay => format!(", decaying by {decay} a layer"),
        };
        let weights = match self.class_weights {
            ClassWeights::None => "",
            ClassWeights::Balanced => ", labels balanced",
        };
        let scope = if scope == Scope::All { String::new() } else { format!(", scope {scope}") };
        let rule = optimizer.rule;
        format!(
            "{first}{num_steps} {steps} of {rule}, {rates}{decay}, {batch}{weights}{scope}{from}"
        )
    }

    /// Refuses a scope of more layers than there are.
    ///
    /// # Errors
    /// `scope = last:N` of a model with fewer than N layers.
    pub fn check_num_layers(&self, num_layers: i64) -> Result<(), Invalid> {
        match self.steps.scope {
            Scope::Last(count) => {
                let expected = format!("last:N of at most {num_layers} layers, as the model has");
                let fits = i64::from(count) <= num_layers;
                checks::require(fits, "scope", expected, format!("last:{count}"))
            }
            _ => Ok(()),
        }
    }

    /// Whether an outer step is made of these.
    pub fn trains_on(&self, tasks: Tasks) -> bool {
        self.training.is_some_and(|training| training.tasks == tasks)
    }

    /// Whether rows that no text of a task looks up stay where they are while adapting: with weight decay they move.
    pub fn leaves_unseen_rows(&self) -> bool {
        self.steps.optimizer.weight_decay == 0.0 || !self.steps.scope.moves_tables()
    }

    /// Whether adapting changes the vectors of texts.
    pub fn moves_encoder(&self) -> bool {
        self.visit.steps + self.visit.epochs > 0 && self.steps.scope.moves_encoder()
    }

    /// How many of `num_steps` inner steps keep the activations of the encoder, for a meta-gradient through them.
    pub fn num_traced_steps(&self, num_steps: usize) -> usize {
        let is_traced = self.order != OrderOf::First && self.steps.scope.moves_encoder();
        if is_traced { num_steps } else { 0 }
    }

    /// Whether its steps read texts as vectors that are embedded once.
    pub fn steps_on_vectors(&self) -> bool {
        !self.steps.scope.moves_encoder()
    }

    /// Whether it reads each example of a support set once, beside the steps.
    pub fn reads_whole(&self) -> bool {
        self.head.is_made_of_support() || self.steps_on_vectors() || self.head_steps > 0
    }

    /// Whether the head that it starts from is no part of the meta-parameters.
    pub fn makes_head(&self) -> bool {
        self.head.is_made_of_support() || self.head == HeadStart::Zeros
    }

    /// Adapts a copy of `theta` with the steps of its head, and then one gradient step for each of those of `support`; `theta`
    /// itself is left alone. Dropout is on in steps; its masks come from `dropout_seed` and the step's number. Without a step
    /// the weights share their storage with the start.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn adapt<L: Learner>(
        &self,
        learner: &L,
        theta: &ParamSet,
        support: &Support<L::Batch>,
        dropout_seed: u64,
    ) -> Result<Adapted, TchError> {
        let embedded = self.embed(learner, theta, support, Trace::Nothing)?;
        let start = tch::no_grad(|| self.start(learner, theta, embedded.as_ref()))?;
        let adapt = |rule: &StepRule, start: &ParamSet, support: &Support<L::Batch>, seed: u64| {
            let support = (support, embedded.as_ref());
            take_steps(rule, learner, start, support, seed, Trace::Nothing, |_, _| Ok(()))
        };
        if self.head_steps == 0 {
            let (weights, losses) = adapt(&self.steps, &start, support, dropout_seed)?;
            return Ok(Adapted { start, weights, losses });
        }
        let num_texts = embedded.as_ref().map_or(0, |it| it.labels.size()[0]);
        let all = Tensor::f_arange(num_texts, (Kind::Int64, start.device()))?;
        let of_head = Support {
            whole: Whole::Unread,
            steps: Steps::Rows((0..self.head_steps).map(|_| all.shallow_clone()).collect()),
            label_weights: support.label_weights.as_ref().map(Tensor::shallow_clone),
        };
        let head_alone =
            StepRule { scope: Scope::Head, step_sizes: StepSizes::Fixed, ..self.steps };
        let seed = seed::derive(dropout_seed, "steps of the head", 0);
        let (head_moved, of_head) = adapt(&head_alone, &start, &of_head, seed)?;
        let (weights, of_scope) = adapt(&self.steps, &head_moved, support, dropout_seed)?;
        Ok(Adapted { start, weights, losses: Tensor::f_cat(&[of_head, of_scope], 0)? })
    }

    /// The vectors of a support set under `theta`, where they are needed. Their history is kept where it belongs to `trace`.
    pub(super) fn embed<L: Learner>(
        &self,
        learner: &L,
        theta: &ParamSet,
        support: &Support<L::Batch>,
        trace: Trace,
    ) -> Result<Option<Embedded>, TchError> {
        let embed = |pieces| embedded(learner, theta, pieces);
        Ok(match &support.whole {
            Whole::Unread => None,
            Whole::Embedded(embedded) => Some(embedded.shallow_clone()),
            Whole::Texts(pieces) => {
                let is_start = trace != Trace::Nothing && self.head.is_made_of_support();
                let is_traced = is_start || trace == Trace::Steps(Order::Second);
                Some(if is_traced { embed(pieces)? } else { tch::no_grad(|| embed(pieces))? })
            }
        })
    }

    /// The weights that an adaptation starts from, as a function of `theta` and of what `embedded` is made of.
    pub(super) fn start<L: Learner>(
        &self,
        learner: &L,
        theta: &ParamSet,
        embedded: Option<&Embedded>,
    ) -> Result<ParamSet, TchError> {
        self.head.of(theta, learner.head(), embedded, self.temperature)
    }
}

/// The vectors of `pieces` under `params`, without dropout.
fn embedded<L: Learner>(
    learner: &L,
    params: &ParamSet,
    pieces: &[(L::Batch, f64)],
) -> Result<Embedded, TchError> {
    let (mut features, mut labels, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    for (batch, weight) in pieces {
        let embedded = learner.embed(params, batch, Pass::eval())?;
        let count = embedded.size()[0];
        weights.push(Tensor::f_full([count], *weight, (embedded.kind(), embedded.device()))?);
        labels.push(learner.labels(batch));
        features.push(embedded);
    }
    let cat = |parts: &[Tensor]| Tensor::f_cat(parts, 0);
    Ok(Embedded {
        features: cat(&features)?,
        labels: cat(&labels)?,
        weights: cat(&weights)?,
        unlabelled: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::quadratic::{Quadratic, config, from_values, support, values};

    #[test]
    fn weights_outside_the_scope_stay_as_they_are() {
        let meta = MetaConfig { scope: Scope::Last(0).into(), ..MetaConfig::default() };
        let head_alone = Recipe::new(Algorithm::Fomaml, &config(0.1), &meta);
        let learner = Quadratic { curvature: [0.5, 3.0] };
        let steps = support(&[[2.0, 0.25]; 3]);
        let found = head_alone.adapt(&learner, &from_values(&[1.0, -2.0]), &steps, 0).unwrap();
        let found = values(&found.weights);
        assert_eq!(found[0], 1.0, "the layer moved");
        // As if the head were alone: (1 - lr a)^3 of the way remains.
        let expected = 0.25 + 0.7_f64.powi(3) * (-2.0 - 0.25);
        assert!((found[1] - expected).abs() < 1e-10, "{found:?}");
    }

    #[test]
    fn the_head_moves_alone_at_first_and_with_the_rest_then() {
        let recipe = Recipe::new(Algorithm::Fomaml, &config(0.1), &MetaConfig::default());
        let recipe = recipe.with_head_steps(3);
        let learner = Quadratic { curvature: [0.5, 3.0] };
        let minimum = [2.0, 0.25];
        let support =
            Support { whole: Whole::Texts(vec![(minimum, 1.0)]), ..support(&[minimum; 2]) };
        let start = from_values(&[1.0, -2.0]);
        let Adapted { start: before, weights, losses } =
            recipe.adapt(&learner, &start, &support, 0).unwrap();
        assert_eq!(values(&before), [1.0, -2.0]);
        assert_eq!(losses.size(), [5]);
        let found = values(&weights);
        let remains = |curvature: f64, steps| (1.0 - 0.1 * curvature).powi(steps);
        let expected =
            [2.0 + remains(0.5, 2) * (1.0 - 2.0), 0.25 + remains(3.0, 5) * (-2.0 - 0.25)];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-10, "{found} {expected}");
        }
    }

    #[test]
    fn a_recipe_reads_like_its_settings() {
        let describe = |algorithm, steps| {
            let inner = InnerConfig::default();
            Recipe::new(algorithm, &inner, &MetaConfig::default()).describe(steps)
        };
        assert_eq!(describe(Algorithm::Reptile, 21), "21 steps of adam, lr 5e-5, batch 12");
        assert_eq!(describe(Algorithm::Reptile, 1), "1 step of adam, lr 5e-5, batch 12");
        let anil = "5 steps of sgd, lr 1e-1, batch 12, scope head";
        assert_eq!(describe(Algorithm::Anil, 5), anil);
        assert_eq!(describe(Algorithm::Protonet, 0), "no steps, from a head of prototypes");
        let proto = "5 steps of sgd, lr 1e-2, head 1e-1, batch 12, from a head of prototypes";
        assert_eq!(describe(Algorithm::ProtoMaml, 5), proto);
        let class_weights = ClassWeights::Balanced;
        let balanced = InnerConfig { class_weights, batch: 0, ..InnerConfig::default() };
        let recipe = Recipe::new(Algorithm::Fomaml, &balanced, &MetaConfig::default());
        let expected = "20 steps of the head, then 1 step of adam, lr 5e-5, all texts at once, labels balanced";
        assert_eq!(recipe.with_head_steps(20).describe(1), expected);
    }
}
