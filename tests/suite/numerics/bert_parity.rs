//! BERT against `transformers`: see tests/fixtures/make_bert_fixtures.py.

use metabert::data::batch::{AttentionLayout, Batch};
use metabert::model::attention::Rows;
use metabert::model::{Classifier, ModelDirectory, Pass, Pooling, Precision};
use metabert::params::ParamSet;
use tch::{Device, Kind, Tensor};

use crate::support::fixtures::{
    self, distance, integers, json, max_abs_difference, numbers, param_set, path, tensors,
};

const LAYOUTS: [AttentionLayout; 2] = [AttentionLayout::PerText, AttentionLayout::Padded];

fn open(name: &str) -> (Classifier, ParamSet, Vec<String>, Vec<String>) {
    let directory = ModelDirectory::open(path(name)).unwrap();
    let classifier = Classifier::new(directory.config(), Pooling::Cls, 3, Precision::Fp32);
    let (params, report) = directory.read_weights().unwrap().load(&classifier, 0).unwrap();
    (classifier, params, report.initialised, report.unexpected)
}

fn batch(name: &str, layout: AttentionLayout) -> Batch {
    let case = &json("bert/cases.json")["batches"][name];
    let (lengths, labels) = (integers(&case["lengths"]), integers(&case["labels"]));
    fixtures::pack(&case["input_ids"], &lengths, &labels, layout)
}

/// The bound asked for is 1e-5; transformers' own float32 error against float64 is below 3e-7.
#[test]
fn logits_loss_and_every_gradient_equal_those_of_transformers() {
    let expected = tensors("bert/cases.safetensors");
    for variant in ["plain", "gamma_beta", "extra_tensors"] {
        let (classifier, params, initialised, _) = open(&format!("bert/{variant}"));
        assert!(initialised.is_empty(), "{variant}: {initialised:?}");
        for name in ["unpadded", "padded"] {
            for layout in LAYOUTS {
                let case = format!("{variant}, {name}, {layout:?}");
                let batch = batch(name, layout);
                let weights = params.as_leaves().unwrap();
                let logits = classifier.logits(&weights, &batch, Pass::eval()).unwrap();
                let loss = classifier.loss(&logits, &batch.labels).unwrap();
                let gradient = weights.gradient_of(&loss).unwrap();
                let found = distance(&logits, &expected[&format!("{name}.logits")]);
                assert!(found < 1e-5, "{case}: logits differ by {found}");
                let found = distance(&loss, &expected[&format!("{name}.loss")]);
                assert!(found < 1e-5, "{case}: the loss differs by {found}");
                let wanted = param_set(classifier.layout(), &expected, &format!("{name}.grad."));
                let (found, slot) = max_abs_difference(&gradient, &wanted);
                assert!(found < 1e-5, "{case}: the gradient of {slot} differs by {found}");
            }
        }
    }
}

#[test]
fn encoders_without_a_head_have_the_hidden_states_of_transformers() {
    let expected = tensors("bert/cases.safetensors");
    for variant in ["encoder_only", "gamma_beta_encoder_only", "no_pooler"] {
        let (classifier, params, initialised, unexpected) = open(&format!("bert/{variant}"));
        let head = ["classifier.weight".to_owned(), "classifier.bias".to_owned()];
        assert!(head.iter().all(|name| initialised.contains(name)), "{initialised:?}");
        assert_eq!(variant == "no_pooler", initialised.len() == 4, "{initialised:?}");
        assert!(unexpected.is_empty(), "{unexpected:?}");
        for name in ["unpadded", "padded"] {
            let batch = batch(name, AttentionLayout::PerText);
            let hidden =
                classifier.bert().hidden_states(&params, &batch, Rows::All, Pass::eval()).unwrap();
            let wanted = &expected[&format!("{name}.last_hidden_state")];
            let mask = expected[&format!("{name}.attention_mask")].reshape([-1]);
            let wanted = wanted.reshape([-1, 16]).index_select(0, &mask.nonzero().squeeze_dim(1));
            let found = distance(&hidden, &wanted);
            assert!(found < 1e-5, "{variant}, {name}: hidden states differ by {found}");
            if variant != "no_pooler" {
                let pooled = classifier.embed(&params, &batch, Pass::eval()).unwrap();
                let found = distance(&pooled, &expected[&format!("{name}.pooler_output")]);
                assert!(found < 1e-5, "{variant}, {name}: pooled outputs differ by {found}");
            }
        }
    }
}

#[test]
fn tensors_that_bert_has_no_place_for_are_listed() {
    let (_, _, _, mut unexpected) = open("bert/extra_tensors");
    unexpected.sort();
    let listed = &json("bert/cases.json")["variants"]["extra_tensors"]["unexpected"];
    let mut listed: Vec<String> =
        listed.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    listed.sort();
    assert_eq!(unexpected, listed);
}

/// Computing only the `[CLS]` rows of the last layer is exact.
#[test]
fn first_rows_equal_those_of_the_whole() {
    let (classifier, params, ..) = open("bert/plain");
    for layout in LAYOUTS {
        let batch = batch("padded", layout);
        let states =
            |rows| classifier.bert().hidden_states(&params, &batch, rows, Pass::eval()).unwrap();
        let whole = states(Rows::All).index_select(0, &batch.first_rows);
        let found = distance(&states(Rows::First), &whole);
        assert!(found < 1e-6, "{layout:?}: differ by {found}");
    }
}

#[test]
fn bf16_products_stay_near_fp32() {
    let directory = ModelDirectory::open(path("bert/plain")).unwrap();
    let weights = directory.read_weights().unwrap();
    let logits = |precision| {
        let classifier = Classifier::new(directory.config(), Pooling::Cls, 3, precision);
        let (params, _) = weights.load(&classifier, 0).unwrap();
        let batch = batch("padded", AttentionLayout::PerText);
        classifier.logits(&params, &batch, Pass::eval()).unwrap()
    };
    let (single, half) = (logits(Precision::Fp32), logits(Precision::Bf16));
    let found = distance(&single, &half);
    // bfloat16 has 8 bits of mantissa: a relative error of 2^-8 for each product, logits of about 1.
    assert!(found > 0.0 && found < 0.05, "differ by {found}");
}

/// The real encoder: logits, loss and the gradient of every parameter (norm, sum and chosen
/// elements; whole gradients would be 90 MB).
#[test]
fn minilm_equals_transformers() {
    let reference = json("bert/minilm.json");
    let expected = tensors("bert/minilm.safetensors");
    let directory = ModelDirectory::open(fixtures::minilm()).unwrap();
    let classifier = Classifier::new(directory.config(), Pooling::Cls, 2, Precision::Fp32);
    let (params, _) = directory.read_weights().unwrap().load(&classifier, 0).unwrap();
    let with_head = params.iter().map(|(name, tensor)| match expected.get(name) {
        Some(given) => given.shallow_clone(),
        None => tensor.shallow_clone(),
    });
    let params = ParamSet::new(classifier.layout().clone(), with_head.collect());
    let texts: Vec<Vec<u32>> = reference["texts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| integers(&text["input_ids"]))
        .collect();
    let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    let labels = Vec::<i64>::try_from(&expected["labels"]).unwrap();
    let labels: Vec<u32> = labels.into_iter().map(|label| label as u32).collect();
    for layout in LAYOUTS {
        let batch = Batch::pack(&texts, &labels, layout, Device::Cpu).unwrap();
        let weights = params.as_leaves().unwrap();
        let logits = classifier.logits(&weights, &batch, Pass::eval()).unwrap();
        let loss = classifier.loss(&logits, &batch.labels).unwrap();
        let found = distance(&logits, &expected["logits"]);
        assert!(found < 1e-5, "{layout:?}: logits differ by {found}");
        let found = distance(&loss, &expected["loss"]);
        assert!(found < 1e-5, "{layout:?}: the loss differs by {found}");
        let gradient = weights.gradient_of(&loss).unwrap();
        for (name, found) in gradient.iter() {
            check_gradient(name, found, &reference["gradients"][name]);
        }
    }
}

fn check_gradient(name: &str, found: &Tensor, wanted: &serde_json::Value) {
    let number = |key: &str| wanted[key].as_f64().unwrap_or_else(|| panic!("{name}: {key}"));
    let norm = found.to_kind(Kind::Double).norm().double_value(&[]);
    if name.ends_with("attention.self.key.bias") {
        // Softmax ignores what is added to all its scores: the gradient is zero but for rounding.
        assert!(norm < 1e-6, "{name}: norm {norm}");
        return;
    }
    let tolerance = 1e-5 * number("float64_l2_norm");
    let difference = (norm - number("float64_l2_norm")).abs();
    assert!(difference <= tolerance, "{name}: norm {norm} differs by {difference}");
    let sum = found.sum(Kind::Double).double_value(&[]);
    let difference = (sum - number("float64_sum")).abs();
    assert!(difference <= 1e-5 * number("abs_sum"), "{name}: sum {sum} differs by {difference}");
    let flat = found.reshape([-1]);
    for (position, value) in
        integers(&wanted["positions"]).iter().zip(numbers(&wanted["float64_values"]))
    {
        let found = flat.double_value(&[i64::from(*position)]);
        let difference = (found - value).abs();
        assert!(difference <= tolerance, "{name}[{position}]: {found}, expected {value}");
    }
}
