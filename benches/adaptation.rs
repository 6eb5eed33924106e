//! The parts of an episode on fixed shapes: collation, one gradient step, one optimizer step, one
//! episode, prediction. Throughput in wordpieces, or in parameters for the optimizer.
//!
//! BERT-mini (4 layers, hidden 256) with random weights, on the CPU, whose calls return when the
//! work is done: nothing has to be synchronised before the clock stops.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use metabert::data::batch::{AttentionLayout, Batch};
use metabert::eval::predict;
use metabert::machine::Workers;
use metabert::meta::{Algorithm, InnerConfig, MetaConfig, Recipe, Support, Task};
use metabert::model::{BertConfig, Classifier, Pooling, Precision};
use metabert::optim::{Optimizer, OptimizerConfig, Rule};
use metabert::params::{ParamSet, TaskView, init};
use metabert::ranks::Executor;
use tch::Device;

/// Lengths of reviews in wordpieces: a long tail behind a median of about 60.
const LENGTHS: [usize; 12] = [17, 24, 33, 41, 50, 58, 66, 79, 96, 121, 170, 256];

fn texts() -> Vec<Vec<u32>> {
    let text = |(row, &length): (usize, &usize)| {
        (0..length)
            .map(move |position| 1_000 + ((row * 7_919 + position * 104_729) % 20_000) as u32)
    };
    LENGTHS.iter().enumerate().map(|row| text(row).collect()).collect()
}

fn batch(layout: AttentionLayout) -> Batch {
    let texts = texts();
    let rows: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    let labels: Vec<u32> = (0..rows.len()).map(|row| (row % 2) as u32).collect();
    Batch::pack(&rows, &labels, layout, Device::Cpu).expect("a batch")
}

fn model() -> (Classifier, ParamSet) {
    let config = BertConfig {
        hidden_size: 256,
        num_hidden_layers: 4,
        num_attention_heads: 4,
        intermediate_size: 1_024,
        ..BertConfig::default()
    };
    let classifier = Classifier::new(&config, Pooling::Cls, 2, Precision::Fp32);
    let params = init::draw(classifier.layout(), 1).unwrap();
    (classifier, params)
}

fn adaptation(criterion: &mut Criterion) {
    let (classifier, params) = model();
    let num_tokens = LENGTHS.iter().sum::<usize>() as u64;
    let mut group = criterion.benchmark_group("adaptation");
    group.sample_size(10).throughput(Throughput::Elements(num_tokens));

    group.bench_function("collate", |bencher| {
        bencher.iter(|| black_box(batch(AttentionLayout::PerText)));
    });
    let recipe =
        |algorithm| Recipe::new(algorithm, &InnerConfig::default(), &MetaConfig::default());
    let fomaml = recipe(Algorithm::Fomaml);
    for layout in [AttentionLayout::PerText, AttentionLayout::Padded] {
        let support = Support::of_steps(vec![batch(layout)]);
        group.bench_function(format!("gradient_step/{layout:?}"), |bencher| {
            bencher.iter(|| fomaml.adapt(&classifier, &params, &support, 1).expect("a step"));
        });
    }
    let texts = texts();
    let rows: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    group.bench_function("predict", |bencher| {
        bencher.iter(|| {
            predict::logits(&classifier, &params, &rows, Executor::new(Workers::one()))
                .expect("logits")
        });
    });

    let steps = 4;
    let task = || Task {
        index: 0,
        domain: None,
        view: TaskView::whole(classifier.layout()),
        support: Support::of_steps((0..steps).map(|_| batch(AttentionLayout::PerText)).collect()),
        query: batch(AttentionLayout::PerText),
        dropout_seed: 1,
    };
    group.throughput(Throughput::Elements(num_tokens * (steps + 1)));
    for algorithm in [Algorithm::Fomaml, Algorithm::Reptile] {
        let recipe = recipe(algorithm);
        let episode =
            |task| recipe.meta_gradient(&classifier, &params, task, 0).expect("an episode");
        group.bench_function(format!("episode/{algorithm:?}"), |bencher| {
            bencher.iter_batched(task, episode, BatchSize::PerIteration);
        });
    }
    group.finish();
}

fn optimizer(criterion: &mut Criterion) {
    let (classifier, params) = model();
    let gradient = init::draw(classifier.layout(), 2).unwrap();
    let mut group = criterion.benchmark_group("optimizer");
    group.throughput(Throughput::Elements(classifier.layout().num_parameters() as u64));
    for rule in [Rule::Adam, Rule::Sgd] {
        let mut params = params.deep_copy().expect("a copy");
        let mut optimizer = Optimizer::new(OptimizerConfig::new(rule), &params).expect("a state");
        group.bench_function(format!("{rule:?}"), |bencher| {
            bencher.iter(|| optimizer.step(&mut params, &gradient, |_| 1e-5).expect("a step"));
        });
    }
    group.finish();
}

criterion_group!(benches, adaptation, optimizer);
criterion_main!(benches);
