//! Adapting the embedding rows of an episode's own texts equals adapting the whole table.
//!
//! To the bit, where vector registers divide the width of a row, as they do 128, 256, 384, 512, 768 and 1,024: a row's
//! gradient is summed over the same tokens in the same order, and the steps of all rules go element by element. Where they
//! do not, the last elements of a table, in libtorch's Adam left to a loop without vector instructions that rounds otherwise,
//! are other ones in a compact table: then to rounding.

use metabert::data::batch::Batch;
use metabert::data::{
    Corpus, Dataset, EpisodeConfig, EpisodeSampler, ExampleId, LabelSet, TextTokenizer,
};
use metabert::meta::{
    Algorithm, InnerConfig, MetaConfig, Rate, Recipe, Steps, Support, Task, Tasks,
};
use metabert::model::{BertConfig, Classifier, Pooling, Precision};
use metabert::optim::Rule;
use metabert::params::{ParamSet, Rows, TaskView, init};
use metabert::seed;
use metabert::tasks::builder::Touched;
use metabert::tasks::{HeadRows, Source, TaskBuilder, TextTasks};
use tch::{Device, Kind, Tensor};

use crate::support::fixtures::{self, max_abs_difference};
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
    domain_names: Vec<String>,
    head_rows: HeadRows,
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
        let classifier = Classifier::new(&config, Pooling::Cls, 2, Precision::Fp32);
        let params = init::draw(classifier.layout(), 1).unwrap().to_kind(kind).unwrap();
        let tokenizer = TextTokenizer::open(fixtures::path("bert/plain")).unwrap();
        let dataset = Dataset::read(repository("data/tiny.json"), &[]).unwrap();
        let corpus = Corpus::new(&dataset, &tokenizer, 32).unwrap();
        let domains: Vec<u32> = (0..dataset.domains.len() as u32).collect();
        let episode = EpisodeConfig { support: 8.into(), query: 4, ..EpisodeConfig::default() };
        let sampler = EpisodeSampler::new(&episode, dataset.pools(&domains), RUN_SEED, "episodes");
        let head_rows = HeadRows::by_name(&dataset.labels, &dataset.labels);
        Self { classifier, params, corpus, domain_names: dataset.domains, head_rows, sampler }
    }

    fn builder<'a>(&'a self, recipe: &'a Recipe) -> TaskBuilder<'a> {
        let Self { classifier, corpus, .. } = self;
        TaskBuilder { classifier, recipe, corpus, device: Device::Cpu }
    }

    fn tasks<'a>(&'a self, recipe: &'a Recipe) -> TextTasks<'a> {
        let source = match recipe.trains_on(Tasks::Episodes) {
            true => Source::Episodes(self.sampler.clone()),
            false => {
                let examples = (0..self.corpus.len() as ExampleId).collect();
                Source::pooled(examples, LabelSet::all(2), recipe.visit.batch, RUN_SEED)
            }
        };
        let builder = self.builder(recipe);
        let (head_rows, domain_names) = (self.head_rows.clone(), &self.domain_names);
        TextTasks { builder, source, head_rows, domain_names, run_seed: RUN_SEED }
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

/// Both labels of the texts.
fn labels() -> LabelSet {
    LabelSet::all(2)
}

fn recipe(algorithm: Algorithm, rule: Rule, weight_decay: f64) -> Recipe {
    let inner = InnerConfig {
        optimizer: rule.into(),
        lr: Rate(1e-2).into(),
        weight_decay,
        epochs: 2,
        batch: 3,
        ..InnerConfig::default()
    };
    Recipe::new(algorithm, &inner, &MetaConfig::default())
}

/// The rows of the table that a view has, int64.
fn table_rows<'a>(setting: &Setting, view: &'a TaskView) -> &'a Tensor {
    match view.rows(setting.classifier.bert().word_embeddings()) {
        Some(Rows::Distinct(rows)) => rows,
        other => panic!("expected a compact table, found {other:?}"),
    }
}

/// The same as numbers.
fn used(setting: &Setting, view: &TaskView) -> Vec<u32> {
    let rows = table_rows(setting, view);
    Vec::<i64>::try_from(rows).unwrap().into_iter().map(|row| row as u32).collect()
}

/// The task with token ids in the place of their numbers among the task's own.
fn on_the_whole_table(setting: &Setting, task: &Task<Batch>) -> Task<Batch> {
    let ids = table_rows(setting, &task.view);
    let renamed = |batch: &Batch| Batch {
        token_ids: ids.index_select(0, &batch.token_ids),
        position_ids: batch.position_ids.shallow_clone(),
        first_rows: batch.first_rows.shallow_clone(),
        lengths: batch.lengths.clone(),
        labels: batch.labels.shallow_clone(),
        padding: None,
    };
    Task {
        index: task.index,
        domain: task.domain.clone(),
        view: TaskView::whole(setting.classifier.layout()),
        support: Support::of_steps(steps_of(&task.support).iter().map(renamed).collect()),
        query: renamed(&task.query),
        dropout_seed: task.dropout_seed,
    }
}

fn steps_of(support: &Support<Batch>) -> &[Batch] {
    match &support.steps {
        Steps::Texts(batches) => batches,
        Steps::Rows(_) => panic!("the encoder moves"),
    }
}

/// One comparison: what it is of, and how far its two sides may lie apart.
struct Case {
    name: String,
    bound: f64,
}

impl Case {
    fn compare(&self, found: &ParamSet, expected: &ParamSet) {
        let (worst, slot) = max_abs_difference(found, expected);
        let Self { name, bound } = self;
        assert!(worst <= *bound, "{name}: {slot} differs by {worst:e}, of {bound:e} at most");
    }

    fn compare_losses(&self, found: &Tensor, expected: &Tensor) {
        let Self { name, bound } = self;
        let apart = fixtures::distance(found, expected);
        assert!(apart <= *bound, "{name}: losses {found:?}, expected {expected:?}");
    }
}

/// Calls `check` for every shape, rule and algorithm, without weight decay.
fn for_each_case(algorithms: &[Algorithm], check: impl Fn(&Setting, &Recipe, Case)) {
    for (width, kind, bound) in SHAPES {
        let setting = Setting::new(width, kind);
        for rule in RULES {
            for &algorithm in algorithms {
                let name = format!("width {width}, {kind:?}, {rule:?}, {algorithm:?}");
                check(&setting, &recipe(algorithm, rule, 0.0), Case { name, bound });
            }
        }
    }
}

#[test]
fn a_compact_meta_gradient_scattered_is_that_of_the_whole_table() {
    let algorithms = [Algorithm::Fomaml, Algorithm::Reptile, Algorithm::Transfer];
    for_each_case(&algorithms, |setting, recipe, case| {
        let name = &case.name;
        let tasks = setting.tasks(recipe);
        for index in 0..3 {
            let task = tasks.task(&setting.params, index).unwrap();
            let used = used(setting, &task.view);
            assert!(used.len() < 120, "{name}: the texts hold every wordpiece");
            let whole = on_the_whole_table(setting, &task);

            let whole =
                recipe.meta_gradient(&setting.classifier, &setting.params, whole, 0).unwrap();
            let compact =
                recipe.meta_gradient(&setting.classifier, &setting.params, task, 0).unwrap();
            let rows = setting.table(&compact.gradient).size()[0];
            assert_eq!(rows as usize, used.len(), "{name}: rows of the compact table");
            let mut scattered = setting.params.zeros_like().unwrap();
            compact.view.scatter_add(&mut scattered, &compact.gradient).unwrap();

            case.compare(&scattered, &whole.gradient);
            case.compare_losses(&compact.query_loss, &whole.query_loss);
            assert!(compact.num_right.equal(&whole.num_right), "{name}: right answers");
            if recipe.trains_on(Tasks::Episodes) {
                case.compare_losses(&compact.support_losses, &whole.support_losses);
            }
            let (largest, unused) = setting.largest_of_table(&whole.gradient, &used);
            assert!(largest > 1e-6, "{name}: the table's gradient is {largest:e} at most");
            assert_eq!(unused, 0.0, "{name}: a row of no text has a gradient");
        }
    });
}

/// The batches that [`TaskBuilder::batch`] makes of an episode's query are those of its ids.
#[test]
fn a_batch_of_row_numbers_names_the_same_wordpieces() {
    let setting = Setting::new(16, Kind::Float);
    let recipe = recipe(Algorithm::Fomaml, Rule::Adam, 0.0);
    let task = setting.tasks(&recipe).task(&setting.params, 1).unwrap();
    let whole = on_the_whole_table(&setting, &task);
    let query = setting.sampler.episode(1).query;
    let expected = setting.builder(&recipe).batch(&query, &labels(), None).unwrap();
    assert!(whole.query.token_ids.equal(&expected.token_ids));
    assert!(!task.query.token_ids.equal(&expected.token_ids));
}

/// Adapts every row of the table by the recipe alone, from what [`TaskBuilder::adapt`] documents of its seed.
fn adapt_the_whole_table(setting: &Setting, recipe: &Recipe, support: &[ExampleId]) -> ParamSet {
    let seed = seed::derive(RUN_SEED, "test", 5);
    let batches = setting.builder(recipe).support(support, &labels(), None, None, seed).unwrap();
    recipe.adapt(&setting.classifier, &setting.params, &batches, seed).unwrap().weights
}

/// The same by the way that evaluation and fine-tuning go.
fn adapt_as_evaluated(setting: &Setting, recipe: &Recipe, support: &[ExampleId]) -> ParamSet {
    let seed = seed::derive(RUN_SEED, "test", 5);
    let builder = setting.builder(recipe);
    builder.adapt(&setting.params, support, &labels(), None, seed).unwrap().weights
}

#[test]
fn expanded_weights_are_those_of_the_whole_table() {
    for_each_case(&[Algorithm::Fomaml], |setting, recipe, case| {
        let support = setting.sampler.episode(0).support;
        let used = used(
            setting,
            &setting.builder(recipe).touched(&setting.params, &support, &labels()).unwrap().view,
        );
        let found = adapt_as_evaluated(setting, recipe, &support);
        let expected = adapt_the_whole_table(setting, recipe, &support);
        case.compare(&found, &expected);

        let moved = found.difference(&setting.params).unwrap();
        let (largest, unused) = setting.largest_of_table(&moved, &used);
        let name = &case.name;
        assert!(largest > 1e-6, "{name}: the table moved by {largest:e} at most");
        assert_eq!(unused, 0.0, "{name}: a row of no text has moved");
    });
}

/// Every row decays, so that a compact table would forget those that no text of the support set has.
#[test]
fn weight_decay_rules_a_compact_table_out() {
    let setting = Setting::new(16, Kind::Float);
    let support = setting.sampler.episode(0).support;
    for rule in RULES {
        let (plain, decayed) =
            (recipe(Algorithm::Fomaml, rule, 0.0), recipe(Algorithm::Fomaml, rule, 0.1));
        let Touched { view, wordpieces } =
            setting.builder(&plain).touched(&setting.params, &support, &labels()).unwrap();
        let builder = setting.builder(&decayed);
        let whole = builder.touched(&setting.params, &support, &labels()).unwrap();
        assert!(whole.wordpieces.is_none(), "{rule:?}: a compact table under weight decay");
        let used = used(&setting, &view);

        let expected = adapt_the_whole_table(&setting, &decayed, &support);
        let found = adapt_as_evaluated(&setting, &decayed, &support);
        let case = Case { name: format!("{rule:?}"), bound: 0.0 };
        case.compare(&found, &expected);
        let moved = expected.difference(&setting.params).unwrap();
        let (_, unused) = setting.largest_of_table(&moved, &used);
        // Six steps of 1e-2 * 0.1 on values of about 0.2, the largest of them about 0.8.
        assert!(unused > 1e-4, "{rule:?}: rows of no text moved by {unused:e} at most");

        // What a compact table would have made of it.
        let seed = seed::derive(RUN_SEED, "test", 5);
        let wordpieces = wordpieces.as_ref();
        let batches = builder.support(&support, &labels(), wordpieces, None, seed).unwrap();
        let start = view.gather(&setting.params).unwrap();
        let wrong = decayed.adapt(&setting.classifier, &start, &batches, seed).unwrap();
        let wrong = view.expand(&setting.params, &wrong.weights, |_| true).unwrap();
        let (_, unused) =
            setting.largest_of_table(&wrong.difference(&setting.params).unwrap(), &used);
        assert_eq!(unused, 0.0, "{rule:?}: a compact table has moved rows that it has not");
    }
}
