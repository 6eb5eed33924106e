//! The mathematics of the algorithm family on a tiny BERT in float64: every meta-gradient is the derivative of what it claims to
//! be the derivative of.

use metabert::data::batch::{AttentionLayout, Batch};
use metabert::meta::algorithm::{OrderOf, StepWeights};
use metabert::meta::{
    Algorithm, HeadStart, InnerConfig, Learner, MetaConfig, Rate, Recipe, Scope, Steps, Support,
    Task, Whole,
};
use metabert::model::{BertConfig, Classifier, Pass, Pooling, Precision};
use metabert::optim::Rule;
use metabert::params::{ParamSet, TaskView, init};
use tch::{Device, Kind, Tensor};

use crate::support::fixtures::max_abs_difference;

const NUM_LABELS: u32 = 3;
const NUM_STEPS: usize = 3;

/// Six texts of three labels to adapt to, and three others, of eight wordpieces at most.
const SUPPORT: [&[u32]; 6] =
    [&[2, 5, 6, 3], &[2, 7, 3], &[2, 8, 9, 10, 3], &[2, 5, 7, 3], &[2, 11, 6, 3], &[2, 12, 9, 3]];
const QUERY: [&[u32]; 3] = [&[2, 6, 7, 3], &[2, 11, 12, 5, 3], &[2, 9, 8, 3]];

struct Setting {
    classifier: Classifier,
    recipe: Recipe,
    theta: ParamSet,
    /// Another number for each label.
    order: [u32; NUM_LABELS as usize],
}

/// Settings under which steps move the weights a good way.
fn inner() -> InnerConfig {
    InnerConfig {
        optimizer: Rule::Sgd.into(),
        lr: Rate(0.3).into(),
        head_lr: Rate(0.5).into(),
        steps: NUM_STEPS,
        batch: 0,
        ..InnerConfig::default()
    }
}

impl Setting {
    fn new(algorithm: Algorithm, change: impl Fn(&mut InnerConfig, &mut MetaConfig)) -> Self {
        let config = BertConfig {
            vocab_size: 16,
            hidden_size: 8,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            intermediate_size: 12,
            max_position_embeddings: 8,
            initializer_range: 0.4,
            ..BertConfig::default()
        };
        let (mut inner, mut meta) =
            (inner(), MetaConfig { temperature: 0.7, ..MetaConfig::default() });
        change(&mut inner, &mut meta);
        let recipe = Recipe::new(algorithm, &inner, &meta);
        recipe.validate_training().unwrap();
        let classifier =
            Classifier::new(&config, Pooling::Cls, NUM_LABELS as usize, Precision::Fp32);
        let layout = recipe.steps.extend(classifier.layout(), recipe.visit.steps);
        let theta = init::draw(&layout.into(), 7).unwrap().to_kind(Kind::Double).unwrap();
        Self { classifier, recipe, theta, order: [0, 1, 2] }
    }

    fn batch(&self, texts: &[&[u32]]) -> Batch {
        let labels = (0..texts.len()).map(|text| self.order[text % NUM_LABELS as usize]);
        let labels: Vec<u32> = labels.collect();
        Batch::pack(texts, &labels, AttentionLayout::PerText, Device::Cpu).unwrap()
    }

    fn support(&self) -> Support<Batch> {
        let whole = match self.recipe.reads_whole() {
            true => Whole::Texts(vec![
                (self.batch(&SUPPORT[..3]), 1.0),
                (self.batch(&SUPPORT[3..]), 1.0),
            ]),
            false => Whole::Unread,
        };
        let num_steps = self.recipe.visit.num_steps(SUPPORT.len());
        let steps = match self.recipe.steps_on_vectors() {
            true => Steps::Rows(
                (0..num_steps).map(|_| Tensor::arange(6, (Kind::Int64, Device::Cpu))).collect(),
            ),
            false => Steps::Texts((0..num_steps).map(|_| self.batch(&SUPPORT)).collect()),
        };
        Support { whole, steps, label_weights: None }
    }

    fn task(&self) -> Task<Batch> {
        Task {
            index: 0,
            domain: Some("d".to_owned()),
            view: TaskView::whole(self.theta.layout()),
            support: self.support(),
            query: self.batch(&QUERY),
            dropout_seed: 5,
        }
    }

    /// The meta-gradient in outer step `step`.
    fn gradient(&self, step: u64) -> ParamSet {
        let outcome = self.recipe.meta_gradient(&self.classifier, &self.theta, self.task(), step);
        outcome.unwrap().gradient
    }

    /// The query loss after `num_steps` of the inner steps from `theta`, by the way that evaluations go.
    fn query_loss(&self, theta: &ParamSet, num_steps: usize) -> f64 {
        let mut support = self.support();
        match &mut support.steps {
            Steps::Texts(batches) => batches.truncate(num_steps),
            Steps::Rows(rows) => rows.truncate(num_steps),
        }
        let adapted = self.recipe.adapt(&self.classifier, theta, &support, 5).unwrap();
        let query = self.batch(&QUERY);
        let pass = Pass::eval();
        self.classifier.forward(&adapted.weights, &query, pass).unwrap().loss.double_value(&[])
    }
}

/// The derivative of `loss` along `direction`, by central differences.
fn slope(theta: &ParamSet, direction: &ParamSet, loss: impl Fn(&ParamSet) -> f64) -> f64 {
    const H: f64 = 1e-6;
    let at = |factor: f64| {
        let mut moved = theta.deep_copy().unwrap();
        moved.add_scaled(direction, factor).unwrap();
        loss(&moved)
    };
    (at(H) - at(-H)) / (2.0 * H)
}

fn dot(left: &ParamSet, right: &ParamSet) -> f64 {
    let pairs = left.tensors().iter().zip(right.tensors());
    pairs.map(|(a, b)| (a * b).sum(Kind::Double).double_value(&[])).sum()
}

/// Directions that each move every slot.
fn directions(theta: &ParamSet) -> Vec<ParamSet> {
    let draw = |seed| {
        let drawn = theta.map_slots(|_, slot, _| {
            let of_all = metabert::params::Slot {
                init: metabert::params::Init::Normal(1.0),
                ..slot.clone()
            };
            init::draw_slot(&of_all, seed)
        });
        drawn.unwrap().to_kind(Kind::Double).unwrap()
    };
    (0..3).map(draw).collect()
}

/// The derivative through all steps, of the loss that the weights of `step_weights` make of the losses after each.
fn assert_is_derivative(name: &str, setting: &Setting, step_weights: &[f64]) {
    let gradient = setting.gradient(0);
    let loss = |theta: &ParamSet| {
        let losses = (1..).zip(step_weights).filter(|(_, weight)| **weight > 0.0);
        losses.map(|(steps, weight)| weight * setting.query_loss(theta, steps)).sum::<f64>()
    };
    for direction in directions(&setting.theta) {
        let (found, expected) =
            (dot(&gradient, &direction), slope(&setting.theta, &direction, loss));
        // Central differences leave an error of the square of the step, times a third derivative.
        let apart = (found - expected).abs() / expected.abs().max(1e-3);
        assert!(apart < 1e-5, "{name}: {found}, by differences {expected}");
    }
}

#[test]
fn second_order_gradients_are_the_derivative_through_every_step() {
    let last = [0.0, 0.0, 1.0];
    let second = |_: &mut InnerConfig, meta: &mut MetaConfig| {
        meta.order = OrderOf::Second.into();
    };
    for algorithm in [Algorithm::Maml, Algorithm::Anil, Algorithm::MetaSgd, Algorithm::ProtoMaml] {
        let setting = Setting::new_without_dropout(algorithm, second);
        assert_is_derivative(&algorithm.to_string(), &setting, &last);
    }
    let setting = Setting::new_without_dropout(Algorithm::MamlPlusPlus, |inner, meta| {
        second(inner, meta);
        meta.step_weights = StepWeights::Uniform.into();
    });
    assert_is_derivative("maml++", &setting, &[1.0 / 3.0; 3]);
    for scope in [Scope::Bias, Scope::Last(1), Scope::Lora(2)] {
        let setting = Setting::new_without_dropout(Algorithm::Maml, |inner, meta| {
            second(inner, meta);
            meta.scope = scope.into();
        });
        assert_is_derivative(&scope.to_string(), &setting, &last);
    }
}

/// Without steps nothing is left out: the gradient of prototypes is exact, through support and query texts.
#[test]
fn the_gradient_of_prototypes_is_exact() {
    let setting = Setting::new_without_dropout(Algorithm::Protonet, |inner, _| inner.steps = 0);
    let gradient = setting.gradient(0);
    for direction in directions(&setting.theta) {
        let found = dot(&gradient, &direction);
        let expected = slope(&setting.theta, &direction, |theta| setting.query_loss(theta, 0));
        let apart = (found - expected).abs() / expected.abs().max(1e-3);
        assert!(apart < 1e-6, "{found}, by differences {expected}");
    }
}

#[test]
fn protonet_is_proto_maml_without_steps() {
    let protonet = Setting::new(Algorithm::Protonet, |inner, _| inner.steps = 0);
    let proto_maml = Setting::new(Algorithm::ProtoMaml, |inner, _| {
        (inner.steps, inner.epochs) = (0, 0);
    });
    let gradients = [protonet, proto_maml].map(|setting| setting.gradient(0));
    let (worst, slot) = max_abs_difference(&gradients[0], &gradients[1]);
    assert_eq!(worst, 0.0, "{slot}");
}

/// In first order the body's gradient is that at the adapted weights, and the head's is followed to the prototypes: with a head
/// that is no function of the meta-parameters the two would differ by just that.
#[test]
fn first_order_proto_maml_follows_its_head_to_the_prototypes() {
    let proto = Setting::new_without_dropout(Algorithm::ProtoMaml, |_, meta| {
        meta.scope = Scope::Head.into();
    });
    let embeds_support = proto.gradient(0);
    let head = proto.classifier.head();
    assert_eq!(embeds_support.get(head.weight).abs().max().double_value(&[]), 0.0);
    // With the head alone moving in one step, the first-order gradient is exact but for the steps' dependence on the vectors:
    // so small a step leaves nothing of that.
    let tiny = Setting::new_without_dropout(Algorithm::ProtoMaml, |inner, meta| {
        meta.scope = Scope::Head.into();
        inner.head_lr = Rate(1e-9).into();
    });
    let gradient = tiny.gradient(0);
    for direction in directions(&tiny.theta) {
        let found = dot(&gradient, &direction);
        let expected = slope(&tiny.theta, &direction, |theta| tiny.query_loss(theta, NUM_STEPS));
        let apart = (found - expected).abs() / expected.abs().max(1e-3);
        assert!(apart < 1e-5, "{found}, by differences {expected}");
    }
}

#[test]
fn anil_leaves_the_body_unchanged() {
    let setting = Setting::new(Algorithm::Anil, |_, _| ());
    let Setting { classifier, recipe, theta, .. } = &setting;
    let adapted = recipe.adapt(classifier, theta, &setting.support(), 5).unwrap();
    let head = classifier.head();
    for (slot, (name, after)) in theta.layout().ids().zip(adapted.weights.iter()) {
        let is_same = after.detach().equal(theta.get(slot));
        assert_eq!(is_same, ![head.weight, head.bias].contains(&slot), "{name}");
    }
}

/// A head that is not drawn knows labels by their texts alone.
#[test]
fn another_order_of_the_labels_changes_no_loss() {
    for (algorithm, head) in [
        (Algorithm::Protonet, HeadStart::Prototypes),
        (Algorithm::ProtoMaml, HeadStart::Prototypes),
        (Algorithm::Fomaml, HeadStart::Zeros),
    ] {
        let mut setting =
            Setting::new_without_dropout(algorithm, |_, meta| meta.head = head.into());
        let num_steps = setting.recipe.visit.num_steps(SUPPORT.len());
        let before = setting.query_loss(&setting.theta, num_steps);
        setting.order = [2, 0, 1];
        let after = setting.query_loss(&setting.theta, num_steps);
        assert!((before - after).abs() < 1e-10, "{algorithm}: {before}, {after}");
    }
}

/// With `zero_step_weight` the outer loss has a share of the loss before adapting.
#[test]
fn the_hybrid_loss_is_a_mixture_of_both_gradients() {
    let gradient = |share| {
        Setting::new(Algorithm::Fomaml, |_, meta| meta.zero_step_weight = share).gradient(0)
    };
    let (adapted, half) = (gradient(0.0), gradient(0.5));
    let transfer = Setting::new(Algorithm::Transfer, |inner, _| inner.batch = 12);
    let at_start = {
        let leaves = transfer.theta.as_leaves().unwrap();
        let query = transfer.batch(&QUERY);
        let loss = transfer.classifier.forward(&leaves, &query, Pass::eval()).unwrap().loss;
        leaves.gradient_of(&loss).unwrap()
    };
    let mut expected = adapted.deep_copy().unwrap();
    expected.scale(0.5).unwrap();
    expected.add_scaled(&at_start, 0.5).unwrap();
    let (worst, slot) = max_abs_difference(&half, &expected);
    assert!(worst < 1e-12, "{slot} differs by {worst:e}");
}

impl Setting {
    /// The same for a model that drops nothing: differences then meet the same function every time.
    fn new_without_dropout(
        algorithm: Algorithm,
        change: impl Fn(&mut InnerConfig, &mut MetaConfig),
    ) -> Self {
        let mut setting = Self::new(algorithm, change);
        let config = BertConfig {
            hidden_dropout_prob: 0.0,
            attention_probs_dropout_prob: 0.0,
            ..setting.classifier.bert().config().clone()
        };
        setting.classifier =
            Classifier::new(&config, Pooling::Cls, NUM_LABELS as usize, Precision::Fp32);
        setting
    }
}
