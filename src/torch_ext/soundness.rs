//! Random calls of every function that C++ computes. Half are as documented: those succeed and agree with libtorch's
//! own operations, on every instruction set. The others have a flaw: those are errors, and never crash.

use std::cell::Cell;
use std::fmt::Debug;
use std::sync::PoisonError;

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use tch::{Device, Kind, TchError, Tensor};

use super::instruction_set::tests::with_each_instruction_set;
use super::tests::{DEFAULT_GENERATOR, assert_near, fails, normal};
use super::*;

const NUM_CASES: u32 = 300;

/// Runs `succeeds` on random calls; it says whether the call did, and panics where the result is wrong.
fn for_all<S: Strategy<Value: Debug>>(calls: &S, succeeds: impl Fn(S::Value) -> bool) {
    let config = Config {
        cases: NUM_CASES,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..Config::default()
    };
    let num_succeeded = Cell::new(0);
    let tested = TestRunner::new(config).run(calls, |call| {
        num_succeeded.set(num_succeeded.get() + u32::from(succeeds(call)));
        Ok(())
    });
    tested.unwrap();
    let (num_succeeded, some) = (num_succeeded.get(), NUM_CASES / 10);
    assert!((some..NUM_CASES - some).contains(&num_succeeded), "{num_succeeded} calls succeeded");
}

/// How the elements of a tensor lie in memory; all are fine where a tensor is read.
#[derive(Clone, Copy, Debug)]
enum View {
    Contiguous,
    Transposed,
    Sliced,
    Strided,
    Repeated,
}

fn view() -> impl Strategy<Value = View> {
    use View::{Contiguous, Repeated, Sliced, Strided, Transposed};
    select(vec![Contiguous, Transposed, Sliced, Strided, Repeated])
}

impl View {
    /// Random numbers, a leaf that requires gradients where its dtype can.
    fn draw(self, size: &[i64], kind: Kind, seed: i64) -> Tensor {
        let plain = normal(size, seed).to_kind(kind);
        let drawn = match self {
            Self::Strided => Tensor::stack(&[&plain, &plain], -1).select(-1, 1),
            Self::Transposed if size.len() > 1 => {
                plain.transpose(0, -1).contiguous().transpose(0, -1)
            }
            Self::Sliced if !size.is_empty() => {
                Tensor::cat(&[&plain, &plain], 0).narrow(0, size[0], size[0])
            }
            Self::Repeated if size.first().is_some_and(|rows| *rows > 0) => {
                plain.narrow(0, 0, 1).expand(size, false)
            }
            _ => plain,
        };
        drawn.detach().set_requires_grad(true)
    }
}

/// A way to spoil a tensor argument.
#[derive(Clone, Copy, Debug)]
enum Flaw {
    Wider,
    Kind(Kind),
    Sparse,
    Negated,
    Zero,
    Batched,
    Undefined,
}

impl Flaw {
    fn spoil(self, tensor: &Tensor) -> Tensor {
        let mut size = tensor.size();
        match self {
            Self::Wider => {
                // More than any dimension of these tests has, which no shape spreads to.
                let last = size.pop().unwrap_or(1);
                size.push(last + 31);
                Tensor::zeros(size, (tensor.kind(), Device::Cpu))
            }
            Self::Kind(kind) => tensor.detach().to_kind(kind),
            Self::Sparse => tensor.detach().to_sparse_sparse_dim(tensor.dim() as i64),
            Self::Negated => tensor.detach().internal_neg_view(),
            Self::Zero => Tensor::internal_efficientzerotensor(size, (tensor.kind(), Device::Cpu)),
            Self::Batched => tensor.detach().unsqueeze(0).internal_add_batch_dim(0, 1),
            Self::Undefined => Tensor::new(),
        }
    }
}

/// Flaws that any function refuses in any tensor.
fn unreadable() -> impl Strategy<Value = Flaw> {
    let kinds = [Kind::Int64, Kind::Bool, Kind::ComplexFloat, Kind::ComplexDouble];
    let forms = [Flaw::Sparse, Flaw::Negated, Flaw::Zero, Flaw::Batched, Flaw::Undefined];
    select([kinds.map(Flaw::Kind).to_vec(), forms.to_vec()].concat())
}

/// Those, and such as do not fit the other tensors of a call.
fn unfit() -> impl Strategy<Value = Flaw> {
    prop_oneof![3 => unreadable(), 1 => Just(Flaw::Wider), 1 => Just(Flaw::Kind(Kind::Half))]
}

/// In half of the calls one of these flaws, in one of `count` arguments.
fn one_of<F: Clone + Debug>(
    count: usize,
    flaws: impl Strategy<Value = F>,
) -> impl Strategy<Value = Option<(usize, F)>> {
    proptest::option::of((0..count, flaws))
}

/// The arguments of a call: views of these sizes, one of them spoilt.
fn arguments<const N: usize>(
    sizes: [&[i64]; N],
    views: &[View],
    kind: Kind,
    flaw: Option<(usize, Flaw)>,
) -> [Tensor; N] {
    let mut index = 0;
    sizes.map(|size| {
        let drawn = views[index].draw(size, kind, index as i64 + 1);
        let spoilt = flaw.filter(|(place, _)| *place == index).map(|(_, flaw)| flaw.spoil(&drawn));
        index += 1;
        spoilt.unwrap_or(drawn)
    })
}

fn kind() -> impl Strategy<Value = Kind> {
    select(vec![Kind::Float, Kind::Double])
}

/// Rounding of sums of a few dozen numbers of about 1.
fn tolerance(kind: Kind) -> f64 {
    if kind == Kind::Float { 1e-4 } else { 1e-11 }
}

fn mask() -> impl Strategy<Value = Option<DropoutMask>> {
    proptest::option::of((0.0..0.9, any::<u64>()).prop_map(|(p, seed)| DropoutMask { p, seed }))
}

/// Checks that the results agree in value and gradients, which arrive in all layouts.
fn assert_same(found: &Tensor, expected: &Tensor, inputs: &[&Tensor], view: View) {
    let (kind, size) = (expected.kind(), expected.size());
    assert_near(found, expected, tolerance(kind));
    let factor = view.draw(&size, kind, 99).detach();
    let of = |result: &Tensor| gradients(&(result * &factor).sum(kind), inputs, false).unwrap();
    for (found, expected) in of(found).iter().zip(&of(expected)) {
        assert_near(found, expected, tolerance(kind));
    }
}

/// Whether a call succeeded; one with a flaw must not, any other must.
fn succeeds<T>(result: &Result<T, TchError>, has_flaw: bool) -> bool {
    match result {
        Ok(_) => assert!(!has_flaw, "a flaw was overlooked"),
        Err(error) => assert!(has_flaw, "{error}"),
    }
    !has_flaw
}

#[test]
fn dropout_is_a_product_with_its_mask() {
    let calls = (vec(0..7_i64, 0..4), kind(), view(), view(), mask(), one_of(1, unreadable()));
    with_each_instruction_set(|| {
        for_all(&calls, |(size, kind, view, other_view, mask, flaw)| {
            let mask = mask.unwrap_or(DropoutMask { p: 0.5, seed: 3 });
            let [input] = arguments([&size], &[view], kind, flaw);
            let found = dropout(&input, mask.p, mask.seed);
            if succeeds(&found, flaw.is_some()) {
                let expected = &input * super::dropout::tests::mask(&size, mask).to_kind(kind);
                assert_same(&found.unwrap(), &expected, &[&input], other_view);
            }
            flaw.is_none()
        });
    });
}

#[test]
fn dropout_add_layer_norm_is_its_three_operations() {
    let size = (vec(0..5_i64, 0..3), 1..40_i64).prop_map(|(mut rows, hidden)| {
        rows.push(hidden);
        rows
    });
    let calls = (size, kind(), any::<bool>(), mask(), vec(view(), 5), one_of(4, unfit()));
    with_each_instruction_set(|| {
        for_all(&calls, |(size, kind, has_residual, mask, views, flaw)| {
            let hidden = &size[size.len() - 1..];
            let [gain, bias, input, residual] =
                arguments([hidden, hidden, &size, &size], &views, kind, flaw);
            let residual = has_residual.then_some(&residual);
            // A small epsilon would magnify the rounding of rows that are almost constant.
            let norm = NormWeights { gain: &gain, bias: &bias, eps: 1e-2 };
            let found = dropout_add_layer_norm(&input, residual, norm, mask);
            let has_flaw = flaw.is_some_and(|(place, _)| place < 3 || has_residual);
            if succeeds(&found, has_flaw) {
                let expected =
                    composed::dropout_add_layer_norm(&input, residual, norm, mask).unwrap();
                let inputs: Vec<&Tensor> =
                    [&gain, &bias, &input].into_iter().chain(residual).collect();
                assert_same(&found.unwrap(), &expected, &inputs, views[4]);
            }
            !has_flaw
        });
    });
}

/// A way to spoil the numbers of an attention.
#[derive(Clone, Copy, Debug)]
enum NumberFlaw {
    Length(i64),
    Heads(i64),
    Scale(f64),
    Probability(f64),
}

fn number_flaw() -> impl Strategy<Value = NumberFlaw> {
    prop_oneof![
        select(vec![0, -1, i64::MIN, i64::MAX, 1 << 32, 77]).prop_map(NumberFlaw::Length),
        select(vec![0, -1, i64::MIN, i64::MAX, 1 << 32, 77]).prop_map(NumberFlaw::Heads),
        select(vec![-1.0, f64::NAN, f64::INFINITY, 1e40]).prop_map(NumberFlaw::Scale),
        select(vec![-0.1, 1.0, f64::NAN, f64::INFINITY]).prop_map(NumberFlaw::Probability),
    ]
}

#[test]
fn packed_attention_is_composed_attention() {
    let shape = (vec(1..20_i64, 1..5), 1..10_i64, 1..6_i64, any::<bool>());
    let flaws = proptest::option::weighted(0.3, number_flaw());
    let calls = (shape, kind(), mask(), vec(view(), 3), one_of(4, unfit()), flaws);
    with_each_instruction_set(|| {
        for_all(&calls, |(shape, kind, mut mask, views, flaw, number_flaw)| {
            let (mut lengths, mut heads, head_dim, are_apart) = shape;
            let (tokens, hidden) = (lengths.iter().sum(), heads * head_dim);
            let texts = lengths.len() as i64;
            let columns = hidden * if are_apart { 2 } else { 3 };
            // A flaw of an argument that is not there is none.
            let flaw = flaw.filter(|(place, _)| *place == 0 || *place == 1 && are_apart);
            let [fused, queries] =
                arguments([&[tokens, columns], &[texts, hidden]], &views, kind, flaw);
            let queries = are_apart.then_some(&queries);
            let mut scale = 0.4;
            match number_flaw {
                Some(NumberFlaw::Length(length)) => lengths[0] = length,
                Some(NumberFlaw::Heads(number)) => heads = number,
                Some(NumberFlaw::Scale(number)) => scale = number,
                Some(NumberFlaw::Probability(p)) => mask = Some(DropoutMask { p, seed: 1 }),
                None => {}
            }
            let found = packed_attention(&fused, queries, &lengths, heads, scale, mask);
            let has_flaw = flaw.is_some() || number_flaw.is_some();
            if succeeds(&found, has_flaw) {
                let expected =
                    composed::packed_attention(&fused, queries, &lengths, heads, scale, mask)
                        .unwrap();
                let inputs: Vec<&Tensor> = [&fused].into_iter().chain(queries).collect();
                assert_same(&found.unwrap(), &expected, &inputs, views[2]);
            }
            !has_flaw
        });
    });
}

#[test]
fn fused_attention_is_composed_attention() {
    let shape = (0..4_i64, 1..4_i64, 0..9_i64, 1..9_i64, 1..6_i64);
    let calls = (shape, vec(any::<bool>(), 3), kind(), mask(), vec(view(), 5), one_of(4, unfit()));
    for_all(&calls, |(shape, spreads, kind, mask, views, flaw)| {
        let (batch, heads, rows, columns, head_dim) = shape;
        let keys_size = [batch, heads, columns, head_dim];
        let mut mask_size = [batch, heads, rows, columns];
        for (size, spread) in mask_size.iter_mut().zip(spreads) {
            *size = if spread { 1 } else { *size };
        }
        let sizes: [&[i64]; 4] =
            [&[batch, heads, rows, head_dim], &keys_size, &keys_size, &mask_size];
        let [queries, keys, values, bias] = arguments(sizes, &views, kind, flaw);
        let found = {
            let _held = DEFAULT_GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
            fused_attention((&queries, &keys, &values), &bias, 0.4, mask)
        };
        if succeeds(&found, flaw.is_some()) && mask.is_none() {
            let expected =
                composed::attention((&queries, &keys, &values), &bias, 0.4, None).unwrap();
            assert_same(&found.unwrap(), &expected, &[&queries, &keys, &values, &bias], views[4]);
        }
        flaw.is_none()
    });
}

/// The engine passes on whatever gradient the next operation returns.
#[test]
fn a_sparse_gradient_is_an_error() {
    let input = normal(&[3, 6], 1).set_requires_grad(true);
    let one = Tensor::ones([6], (Kind::Double, Device::Cpu));
    let norm = NormWeights { gain: &one, bias: &one, eps: 1e-12 };
    for result in [
        dropout(&input, 0.1, 1),
        dropout_add_layer_norm(&input, None, norm, None),
        packed_attention(&input, None, &[3], 1, 1.0, None),
    ] {
        let rows = Tensor::from_slice(&[0_i64, 2]);
        let chosen = Tensor::embedding(&result.unwrap(), &rows, -1, false, true);
        let found = gradients(&chosen.sum(Kind::Double), &[&input], false);
        fails(found, "expected a dense tensor on a CPU or GPU, found SparseCPU");
    }
}

#[test]
fn fused_adam_is_the_rule_of_adam() {
    let slots = vec((vec(0..5_i64, 0..4), view()), 1..4);
    let calls = (slots, kind(), any::<bool>(), 1..50_u64, one_of(4, unfit()));
    for_all(&calls, |(slots, kind, decoupled, step, flaw)| {
        let hyper = AdamHyper { decoupled, ..super::fused_adam::tests::HYPER };
        let draw = |list: i64| -> Vec<Tensor> {
            let draw = |(slot, (size, view)): (i64, &(Vec<i64>, View))| {
                // Only gradients may lie in memory in any way.
                let view = if list == 1 { *view } else { View::Contiguous };
                let drawn = view.draw(size, kind, 10 * slot + list).detach();
                if list == 3 { drawn.abs() } else { drawn }
            };
            (0..).zip(&slots).map(draw).collect()
        };
        let mut lists = [0, 1, 2, 3].map(draw);
        if let Some((list, flaw)) = flaw {
            let last = lists[list].last_mut().unwrap();
            *last = flaw.spoil(last);
        }
        let [params, gradients, first, second] = &lists;
        let before: Vec<_> = if flaw.is_some() {
            Vec::new()
        } else {
            let lists = params.iter().zip(gradients).zip(first.iter().zip(second));
            lists.map(|((p, g), (m, v))| plain_adam([p, g, m, v], step, &hyper)).collect()
        };
        let found = fused_adam(params, gradients, first, second, step, &hyper);
        if succeeds(&found, flaw.is_some()) {
            for (slot, expected) in before.iter().enumerate() {
                for (found, expected) in [params, first, second].iter().zip(expected) {
                    assert_near(&found[slot], expected, tolerance(kind));
                }
            }
        }
        flaw.is_none()
    });
}

/// The parameter and both moments after one step, from Kingma & Ba 2015 and Loshchilov & Hutter 2019.
fn plain_adam([p, g, m, v]: [&Tensor; 4], step: u64, hyper: &AdamHyper) -> [Tensor; 3] {
    let AdamHyper { lr, beta1, beta2, eps, weight_decay, decoupled } = *hyper;
    let (p, g) = match decoupled {
        true => (p * (1.0 - lr * weight_decay), g.shallow_clone()),
        false => (p.copy(), g + p * weight_decay),
    };
    let m = m * beta1 + &g * (1.0 - beta1);
    let v = v * beta2 + g.square() * (1.0 - beta2);
    let unbiased = |moment: &Tensor, beta: f64| moment / (1.0 - beta.powi(step as i32));
    let p = p - unbiased(&m, beta1) * lr / (unbiased(&v, beta2).sqrt() + eps);
    [p, m, v]
}
