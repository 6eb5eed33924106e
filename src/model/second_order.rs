//! Gradients of gradients through the whole model, against differences.

use tch::{Device, Kind, Tensor};

use super::{BertConfig, Classifier, Order, Pass, Pooling, Precision};
use crate::data::batch::{AttentionLayout, Batch};
use crate::params::{ParamSet, init};
use crate::torch_ext;

fn classifier(pooling: Pooling) -> Classifier {
    let config = BertConfig {
        vocab_size: 20,
        hidden_size: 8,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 12,
        max_position_embeddings: 6,
        initializer_range: 0.3,
        ..BertConfig::default()
    };
    Classifier::new(&config, pooling, 3, Precision::Fp32)
}

fn batch(layout: AttentionLayout) -> Batch {
    let texts: [&[u32]; 3] = [&[2, 7, 8, 9, 3], &[2, 11, 3], &[2, 7, 5, 3]];
    Batch::pack(&texts, &[0, 2, 1], layout, Device::Cpu).unwrap()
}

/// Random weights in float64, where a difference is nearly a derivative.
fn params(classifier: &Classifier) -> ParamSet {
    init::draw(classifier.layout(), 1).unwrap().to_kind(Kind::Double).unwrap()
}

/// The loss and its gradient.
fn gradient(
    classifier: &Classifier,
    params: &ParamSet,
    batch: &Batch,
    pass: Pass,
) -> (Tensor, Vec<Tensor>) {
    let logits = classifier.logits(params, batch, pass).unwrap();
    let loss = classifier.loss(&logits, &batch.labels).unwrap();
    let inputs: Vec<&Tensor> = params.tensors().iter().collect();
    let found = torch_ext::gradients(&loss, &inputs, pass.order == Order::Second).unwrap();
    (loss, found)
}

const POOLINGS: [Pooling; 2] = [Pooling::Cls, Pooling::Mean];

/// Passes whose dropout masks are those of both orders: the fused kernels for padded texts draw their own.
const SAME_MASKS: [(AttentionLayout, Option<u64>); 3] = [
    (AttentionLayout::PerText, None),
    (AttentionLayout::PerText, Some(5)),
    (AttentionLayout::Padded, None),
];

#[test]
fn both_orders_give_the_same_loss_and_gradient() {
    for (pooling, (layout, dropout)) in
        POOLINGS.into_iter().flat_map(|it| SAME_MASKS.map(|m| (it, m)))
    {
        let classifier = classifier(pooling);
        let params = params(&classifier).as_leaves().unwrap();
        let batch = batch(layout);
        let of = |order| gradient(&classifier, &params, &batch, Pass { dropout, order });
        let ((fused, fused_gradient), (composed, composed_gradient)) =
            (of(Order::First), of(Order::Second));
        let case = format!("{pooling}, {layout:?}, dropout {dropout:?}");
        assert!(fused.allclose(&composed, 1e-12, 0.0, false), "{case}: {fused} {composed}");
        let slots = params.layout().slots().iter();
        for (slot, (fused, composed)) in slots.zip(fused_gradient.iter().zip(&composed_gradient)) {
            let distance = (fused - composed).abs().max().double_value(&[]);
            assert!(distance < 1e-12, "{case}: {} differs by {distance:e}", slot.name);
        }
    }
}

/// The derivative of |gradient|² in a direction, from the graph and as (f(x + h v) - f(x - h v)) / 2h.
#[test]
fn the_gradient_of_a_gradient_is_the_limit_of_differences() {
    for pooling in POOLINGS {
        compare_with_differences(pooling);
    }
}

fn compare_with_differences(pooling: Pooling) {
    let classifier = classifier(pooling);
    let start = params(&classifier);
    // Any direction that moves every element.
    let wave = |tensor: &Tensor| {
        let steps = Tensor::arange(tensor.numel() as i64, (Kind::Double, Device::Cpu));
        (steps * 0.7 + 0.3).sin().view_as(tensor)
    };
    let direction =
        ParamSet::new(start.layout().clone(), start.tensors().iter().map(wave).collect());
    let layouts = [AttentionLayout::PerText, AttentionLayout::Padded];
    for (layout, dropout) in layouts.into_iter().flat_map(|it| [(it, None), (it, Some(5))]) {
        let batch = batch(layout);
        let squared_norm = |params: &ParamSet| -> Tensor {
            let pass = Pass { dropout, order: Order::Second };
            let (_, found) = gradient(&classifier, params, &batch, pass);
            found.iter().map(|part| part.square().sum(Kind::Double)).sum()
        };
        let at = |step: f64| {
            let mut moved = start.deep_copy().unwrap();
            moved.add_scaled(&direction, step).unwrap();
            squared_norm(&moved.as_leaves().unwrap()).double_value(&[])
        };
        let h = 1e-5;
        let expected = (at(h) - at(-h)) / (2.0 * h);

        let leaves = start.as_leaves().unwrap();
        let slopes = leaves.gradient_of(&squared_norm(&leaves)).unwrap();
        let pairs = slopes.tensors().iter().zip(direction.tensors());
        let found: f64 = pairs.map(|(a, b)| (a * b).sum(Kind::Double).double_value(&[])).sum();
        // The next term of the difference is of the order of h².
        let case = format!("{pooling}, {layout:?}, dropout {dropout:?}");
        let is_near = (found - expected).abs() < 1e-6 * expected.abs();
        assert!(is_near, "{case}: found {found}, expected {expected}");
    }
}
