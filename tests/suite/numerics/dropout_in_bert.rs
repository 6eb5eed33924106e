//! Dropout happens at every site of BERT, on attention weights too, and depends on its seed alone.

use metabert::data::batch::{AttentionLayout, Batch};
use metabert::model::{BertConfig, Classifier, Order, Pass, Pooling, Precision};
use metabert::params::init;
use tch::{Device, Tensor};

use crate::support::fixtures::distance;

fn config() -> BertConfig {
    BertConfig {
        vocab_size: 50,
        hidden_size: 16,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        intermediate_size: 32,
        max_position_embeddings: 16,
        initializer_range: 0.2,
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        ..BertConfig::default()
    }
}

fn dropping(seed: u64) -> Pass {
    Pass { dropout: Some(seed), order: Order::First }
}

fn logits(config: &BertConfig, pass: Pass, layout: AttentionLayout) -> Tensor {
    let classifier = Classifier::new(config, Pooling::Cls, 2, Precision::Fp32);
    let params = init::draw(classifier.layout(), 1).unwrap();
    let texts: [&[u32]; 2] = [&[2, 7, 8, 9, 3], &[2, 11, 3]];
    let batch = Batch::pack(&texts, &[0, 1], layout, Device::Cpu).unwrap();
    classifier.logits(&params, &batch, pass).unwrap()
}

#[test]
fn each_rate_drops_by_itself() {
    let none = config();
    let hidden = BertConfig { hidden_dropout_prob: 0.3, classifier_dropout: Some(0.0), ..config() };
    let attention = BertConfig { attention_probs_dropout_prob: 0.3, ..config() };
    let head = BertConfig { classifier_dropout: Some(0.3), ..config() };
    let layout = AttentionLayout::PerText;
    let still = logits(&none, Pass::eval(), layout);
    for (name, config) in [("hidden", hidden), ("attention", attention), ("classifier", head)] {
        assert!(logits(&config, Pass::eval(), layout).equal(&still), "{name}: scoring drops");
        let moved = (0..4)
            .filter(|&seed| {
                let found = logits(&config, dropping(seed), layout);
                distance(&found, &still) > 1e-4
            })
            .count();
        // A mask over so few elements may by chance change nothing, but not for four seeds.
        assert!(moved >= 2, "{name}: training changed the logits for {moved} of 4 seeds");
    }
    let unchanged = logits(&none, dropping(1), layout);
    assert!(unchanged.equal(&still), "rates of zero drop nothing");
}

#[test]
fn a_seed_gives_the_same_masks_again() {
    let config =
        BertConfig { hidden_dropout_prob: 0.1, attention_probs_dropout_prob: 0.1, ..config() };
    for layout in [AttentionLayout::PerText, AttentionLayout::Padded] {
        let run = |seed| logits(&config, dropping(seed), layout);
        assert!(run(5).equal(&run(5)), "{layout:?}");
        assert!(!run(5).equal(&run(6)), "{layout:?}");
    }
}

/// The mean over many masks comes near the value without dropout at the linear head.
#[test]
fn dropout_before_the_head_keeps_the_mean() {
    let config = BertConfig { classifier_dropout: Some(0.3), ..config() };
    let still = logits(&config, Pass::eval(), AttentionLayout::PerText);
    let count = 1_000;
    let mut sum = still.zeros_like();
    for seed in 0..count {
        sum += logits(&config, dropping(seed), AttentionLayout::PerText);
    }
    let found = distance(&(sum / count as f64), &still);
    // 16 terms of about 0.2, each with relative spread 0.65: a standard error of about 0.01.
    assert!(found < 0.04, "the mean is off by {found}");
}
