//! Adapting the embedding rows of an episode's own texts equals adapting the whole table.
//!
//! To the bit, where vector registers divide the width of a row, as they do 128, 256, 384, 512, 768 and 1,024: a row's
//! gradient is summed over the same tokens in the same order, and the steps of all rules go element by element. Where they
//! do not, the last elements of a table, in libtorch's Adam left to a loop without vector instructions that rounds otherwise,
//! are other ones in a compact table: then to rounding.

use metabert::data::batch::Batch;
use metabert::data::{Corpus, Dataset, EpisodeConfig, EpisodeSampler, ExampleId, TextTokenizer};
use metabert::eval::Evaluator;
use metabert::machine::Workers;
use metabert::meta::{Adapted, Algorithm, InnerConfig, InnerLoop, Task};
use metabert::model::{BertConfig, Classifier, Precision};
use metabert::optim::Rule;
use metabert::params::{CompactTable, ParamSet, init};
use metabert::seed;
use metabert::tasks::builder::SourcedTask;
use metabert::tasks::{TaskBuilder, TaskSource, TextLearner};
use tch::{Device, Kind, Tensor};

use crate::support::fixtures;
use crate::support::run::repository;

const RULES: [Rule; 3] = [Rule::Adam, Rule::AdamW, Rule::Sgd];
const RUN_SEED: u64 = 11;
/// Rows of the table; the tokenizer knows 120 wordpieces, and an episode's texts hold fewer.
const VOCABULARY: i64 = 400;
/// Widths, dtypes, and how far results may lie apart: by nothing where the registers of every processor (64 bytes at most)
/// divide a row, and by rounding where they do not. The latter in float64: in float32 Adam makes steps of up to the learning
/// rate out of the rounding of gradients that are zero, as tests/fixtures/README.md tells.
const SHAPES: [(i64, Kind, f64); 3] =
    [(16, Kind::Float, 0.0), (16, Kind::Double, 0.0), (18, Kind::Double, 1e-9)];

/// A model whose dropout is on, and the texts of data/tiny.json.
struct Setting {
    classifier: Classifier,
    params: ParamSet,
    corpus: Corpus,
    sampler: EpisodeSampler,
}

impl Setting {
    fn new(hidden_size: i64, kind: Kind) -> Self {
        let config = BertConfig {
            vocab_size: VOCABULARY,
            hidden_size,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            intermediate_size: 32,
            max_position_embeddings: 32,
            initializer_range: 0.2,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            ..BertConfig::default()
        };
        let classifier = Classifier::new(&config, 2, Precision::Fp32);
        let params = init::draw(classifier.layout(), 1).unwrap().to_kind(kind).unwrap();
        let tokenizer = TextTokenizer::open(fixtures::path("bert/plain")).unwrap();
        let dataset = Dataset::read(repository("data/tiny.json"), &[]).unwrap();
        let corpus = Corpus::new(&dataset, &tokenizer, 32).unwrap();
        let domains: Vec<u32> = (0..dataset.domains.len() as u32).collect();
        let episode = EpisodeConfig { support: 8, query: 4, ..EpisodeConfig::default() };
        let sampler = EpisodeSampler::new(&episode, dataset.pools(&domains), RUN_SEED, "episodes");
        Self { classifier, params, corpus, sampler }
    }

    fn builder<'a>(&'a self, inner: &'a InnerConfig) -> TaskBuilder<'a> {
        TaskBuilder { corpus: &self.corpus, inner, device: Device::Cpu }
    }

    fn source(&self, algorithm: Algorithm, inner: &InnerConfig) -> TaskSource {
        match algorithm.is_episodic() {
            true => TaskSource::Episodes(self.sampler.clone()),
            false => {
                TaskSource::pooled((0..self.corpus.len() as ExampleId).collect(), inner, RUN_SEED)
            }
        }
    }

    /// The embedding table of `params`.
    fn table<'a>(&self, params: &'a ParamSet) -> &'a Tensor {
        params.get(self.classifier.bert().word_embeddings())
    }

    /// What each row of the table of `params`, and each row outside `used`, holds at most.
    fn largest_of_table(&self, params: &ParamSet, used: &[u32]) -> (f64, f64) {
        let rows = self.table(params).detach().abs().amax([1], false);
        let used: Vec<i64> = used.iter().map(|&row| i64::from(row)).collect();
        let unused = rows.index_fill(0, &Tensor::from_slice(&used), 0.0);
        (rows.max().double_value(&[]), unused.max().double_value(&[]))
    }
}

fn inner(rule: Rule, weight_decay: f64) -> InnerConfig {
    InnerConfig {
        optimizer: rule,
        lr: 1e-2,
        weight_decay,
        epochs: 2,
        batch: 3,
        ..InnerConfig::default()
    }
}

/// The task with token ids in the place of their numbers among the task's own.
fn on_the_whole_table(sourced: &SourcedTask) -> Task<Batch> {
    let ids = sourced.tokens.as_ref().expect("without weight decay a task has a compact table");
    let ids: Vec<i64> = ids.ids().iter().map(|&id| i64::from(id)).collect();
    let ids = Tensor::from_slice(&ids);
    let renamed = |batch: &Batch| Batch {
        token_ids: ids.index_select(0, &batch.token_ids),
        position_ids: batch.position_ids.shallow_clone(),
        first_rows: batch.first_rows.shallow_clone(),
        lengths: batch.lengths.clone(),
        labels: batch.labels.shallow_clone(),
        padding: None,
    };
    Task {
        support: sourced.task.support.iter().map(renamed).collect(),
        query: renamed(&sourced.task.query),
        dropout_seed: sourced.task.dropout_seed,
    }
}

/// One comparison: what it is of, and how far its two sides may lie apart.
struct Case {
    name: String,
    bound: f64,
}

impl Case {
    fn compare(&self, found: &ParamSet, expected: &ParamSet) {
        let (worst, slot) = found.max_abs_difference(expected).unwrap();
        let Self { name, bound } = self;
        assert!(worst <= *bound, "{name}: {slot} differs by {worst:e}, of {bound:e} at most");
    }

    fn compare_losses(&self, found: &Tensor, expected: &Tensor) {
        let Self { name, bound } = self;
        let apart = fixtures::distance(found, expected);
        assert!(apart <= *bound, "{name}: losses {found:?}, expected {expected:?}");
    }
}

/// Calls `check` for every shape and rule without weight decay.
fn for_each_case(check: impl Fn(&Setting, &InnerConfig, Case)) {
    for (width, kind, bound) in SHAPES {
        let setting = Setting::new(width, kind);
        for rule in RULES {
            let name = format!("width {width}, {kind:?}, {rule:?}");
            check(&setting, &inner(rule, 0.0), Case { name, bound });
        }
    }
}

#[test]
fn a_compact_meta_gradient_scattered_is_that_of_the_whole_table() {
    for_each_case(|setting, inner, case| {
        let builder = setting.builder(inner);
        let learner = TextLearner::new(&setting.classifier, &|| {});
        for algorithm in [Algorithm::Fomaml, Algorithm::Reptile, Algorithm::Transfer] {
            let case = Case { name: format!("{algorithm:?}, {}", case.name), ..case };
            let name = &case.name;
            let episodic = algorithm.is_episodic();
            let source = setting.source(algorithm, inner);
            let algorithm = algorithm.build::<TextLearner>(inner).unwrap();
            for index in 0..3 {
                let task = source.task(&builder, RUN_SEED, index).unwrap();
                let used = task.tokens.as_ref().unwrap().ids().to_vec();
                assert!(used.len() < 120, "{name}: the texts hold every wordpiece");
                let whole = on_the_whole_table(&task);
                let query = builder.batch(&task.query, None).unwrap();
                assert!(whole.query.token_ids.equal(&query.token_ids), "{name}: other query texts");

                let whole = algorithm.meta_gradient(&learner, &setting.params, &whole).unwrap();
                let compact =
                    task.contribution(&builder, &*algorithm, &learner, &setting.params).unwrap();
                let rows = setting.table(&compact.outcome.gradient).size()[0];
                assert_eq!(rows as usize, used.len(), "{name}: rows of the compact table");
                let mut scattered = setting.params.zeros_like().unwrap();
                compact.add_to(&mut scattered, 1.0).unwrap();

                case.compare(&scattered, &whole.gradient);
                let found = &compact.outcome;
                case.compare_losses(&found.query_loss, &whole.query_loss);
                if episodic {
                    case.compare_losses(&found.support_losses, &whole.support_losses);
                }
                let (largest, unused) = setting.largest_of_table(&whole.gradient, &used);
                assert!(largest > 1e-6, "{name}: the table's gradient is {largest:e} at most");
                assert_eq!(unused, 0.0, "{name}: a row of no text has a gradient");
            }
        }
    });
}

/// Adapts every row of the table by the inner loop alone, from what `Evaluator::adapt` documents of its seeds.
fn adapt_the_whole_table(
    setting: &Setting,
    learner: &TextLearner,
    inner: &InnerConfig,
    support: &[ExampleId],
) -> Adapted {
    let stream_seed = seed::derive(RUN_SEED, "test", 5);
    let batches = setting.builder(inner).support(support, None, stream_seed).unwrap();
    InnerLoop::new(inner).adapt(learner, &setting.params, &batches, stream_seed).unwrap()
}

/// The same by the way that evaluation and fine-tuning go.
fn adapt_as_evaluated(
    setting: &Setting,
    learner: &TextLearner,
    inner: &InnerConfig,
    support: &[ExampleId],
) -> Adapted {
    let builder = setting.builder(inner);
    let evaluator = Evaluator { learner, builder, run_seed: RUN_SEED, workers: Workers::one() };
    evaluator.adapt(&setting.params, support, "test", 5).unwrap()
}

#[test]
fn expanded_fast_weights_are_those_of_the_whole_table() {
    for_each_case(|setting, inner, case| {
        let learner = TextLearner::new(&setting.classifier, &|| {});
        let support = setting.sampler.episode(0).support;
        let used = setting.builder(inner).tokens(&support).expect("a compact table");
        let found = adapt_as_evaluated(setting, &learner, inner, &support);
        let expected = adapt_the_whole_table(setting, &learner, inner, &support);
        case.compare(&found.fast_weights, &expected.fast_weights);
        case.compare_losses(&found.losses, &expected.losses);

        let moved = found.fast_weights.difference(&setting.params).unwrap();
        let (largest, unused) = setting.largest_of_table(&moved, used.ids());
        let name = &case.name;
        assert!(largest > 1e-6, "{name}: the table moved by {largest:e} at most");
        assert_eq!(unused, 0.0, "{name}: a row of no text has moved");
    });
}

/// Every row decays, so that a compact table would leave behind those that no text of the support set has.
#[test]
fn weight_decay_rules_a_compact_table_out() {
    let setting = Setting::new(16, Kind::Float);
    let learner = TextLearner::new(&setting.classifier, &|| {});
    let support = setting.sampler.episode(0).support;
    for rule in RULES {
        let (plain, decayed) = (inner(rule, 0.0), inner(rule, 0.1));
        let tokens = setting.builder(&plain).tokens(&support).expect("a compact table");
        let builder = setting.builder(&decayed);
        assert_eq!(builder.tokens(&support), None, "{rule:?}: a compact table under weight decay");
        let used = tokens.ids();

        let expected = adapt_the_whole_table(&setting, &learner, &decayed, &support);
        let found = adapt_as_evaluated(&setting, &learner, &decayed, &support);
        let case = Case { name: format!("{rule:?}"), bound: 0.0 };
        case.compare(&found.fast_weights, &expected.fast_weights);
        let moved = expected.fast_weights.difference(&setting.params).unwrap();
        let (_, unused) = setting.largest_of_table(&moved, used);
        // Six steps of 1e-2 * 0.1 on values of about 0.2, the largest of them about 0.8.
        assert!(unused > 1e-4, "{rule:?}: rows of no text moved by {unused:e} at most");

        // What a compact table would have made of it.
        let slot = setting.classifier.bert().word_embeddings();
        let table =
            CompactTable::new(setting.classifier.layout(), slot, used, Device::Cpu).unwrap();
        let stream_seed = seed::derive(RUN_SEED, "test", 5);
        let batches = builder.support(&support, Some(&tokens), stream_seed).unwrap();
        let start = table.gather(&setting.params).unwrap();
        let wrong = InnerLoop::new(&decayed).adapt(&learner, &start, &batches, stream_seed);
        let wrong = table.expand(&setting.params, &wrong.unwrap().fast_weights).unwrap();
        let left_behind = wrong.difference(&setting.params).unwrap();
        let (_, unused) = setting.largest_of_table(&left_behind, used);
        assert_eq!(unused, 0.0, "{rule:?}: a compact table has moved rows that it has not");
    }
}
