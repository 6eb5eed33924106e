//! `metabert eval`.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use tch::Device;

use super::InputError;
use super::setup::{self, LoadedModel, SplitDataset};
use crate::cli::EvalArgs;
use crate::config::RunConfig;
use crate::data::{Corpus, Dataset, DomainId, EpisodeSampler, ExampleId, Side};
use crate::run::console::Console;
use crate::train::evaluate::TestTexts;
use crate::train::metrics::Estimate;
use crate::train::{Evaluation, Evaluator, TaskBuilder, TextLearner};

/// Runs the command.
pub fn run(args: &EvalArgs) -> Result<()> {
    let checkpoint = setup::resolve_checkpoint(&args.checkpoint)?;
    let Some(config) = setup::configure(&args.shared, args.flags(), Some(&checkpoint))? else {
        return Ok(());
    };
    let console = Console::new(args.shared.quiet, args.shared.verbose);
    let labels = setup::head_labels(&checkpoint)?.unwrap_or_default();
    let data = setup::read_split(&config, &labels)?;
    data.warnings.iter().for_each(|warning| console.line(&format!("warning: {warning}")));
    let domains = chosen_domains(args, &data, &console)?;
    data.check_sizes(&domains, &config.evaluation_episode())?;
    let test = args
        .test_data
        .as_ref()
        .map(|path| Dataset::read(path, &data.dataset.labels))
        .transpose()?;
    let device = setup::select_device(&config, &console)?;
    let texts = Texts { data: &data, domains: &domains, test: test.as_ref() };

    let mut results = vec![evaluate(&args.checkpoint, &config, &texts, device, &console)?];
    for baseline in &args.baselines {
        results.push(evaluate(baseline, &config, &texts, device, &console)?);
    }
    let report = Report::new(&config, results);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", report.table());
    }
    Ok(())
}

/// What is evaluated on.
struct Texts<'a> {
    data: &'a SplitDataset,
    domains: &'a [DomainId],
    test: Option<&'a Dataset>,
}

/// One checkpoint's scores.
#[derive(Serialize)]
struct CheckpointResult {
    checkpoint: String,
    #[serde(flatten)]
    evaluation: Evaluation,
    /// Macro F1 of the first checkpoint minus this one's, paired draw by draw.
    #[serde(skip_serializing_if = "Option::is_none")]
    macro_f1_lead_of_first: Option<Estimate>,
}

/// Everything `eval` prints.
#[derive(Serialize)]
struct Report {
    seed: u64,
    episodes: u64,
    support: usize,
    query: usize,
    inner: crate::meta::InnerConfig,
    #[serde(flatten)]
    first: CheckpointResult,
    baselines: Vec<CheckpointResult>,
}

impl Report {
    fn new(config: &RunConfig, mut results: Vec<CheckpointResult>) -> Self {
        let mut baselines = results.split_off(1);
        let first = results.pop().expect("the checkpoint itself was evaluated");
        for baseline in &mut baselines {
            let lead = first.evaluation.paired_macro_f1_difference(&baseline.evaluation);
            baseline.macro_f1_lead_of_first = Some(lead);
        }
        let episode = config.evaluation_episode();
        Self {
            seed: config.seed,
            episodes: config.evaluate.episodes,
            support: episode.support,
            query: episode.query,
            inner: config.evaluation_inner(),
            first,
            baselines,
        }
    }

    /// The scores as text, means with 95 % intervals.
    fn table(&self) -> String {
        let mut out = format!(
            "{} draws of {} support texts a domain, {} adaptation steps, seed {}; mean ± 95 % \
             interval\n",
            self.episodes,
            self.support,
            self.inner.num_steps(self.support),
            self.seed
        );
        for result in std::iter::once(&self.first).chain(&self.baselines) {
            let evaluation = &result.evaluation;
            let rows = evaluation
                .domains
                .iter()
                .map(|domain| (domain.domain.as_str(), domain.num_scored, &domain.summary));
            let rows: Vec<_> = rows.chain([("all domains", 0, &evaluation.overall)]).collect();
            let width = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
            let _ = writeln!(out, "\n{}", result.checkpoint);
            let _ = writeln!(
                out,
                "  {:width$}  {:>6}  {:>15}  {:>15}  {:>15}  {:>15}",
                "", "texts", "accuracy", "macro F1", "zero-step acc", "zero-step F1"
            );
            for (name, num_scored, summary) in rows {
                let texts = if num_scored > 0 { num_scored.to_string() } else { String::new() };
                let _ = writeln!(
                    out,
                    "  {name:width$}  {texts:>6}  {:>15}  {:>15}  {:>15}  {:>15}",
                    summary.accuracy.to_string(),
                    summary.macro_f1.to_string(),
                    summary.zero_step_accuracy.to_string(),
                    summary.zero_step_macro_f1.to_string(),
                );
            }
            if let Some(lead) = &result.macro_f1_lead_of_first {
                let _ = writeln!(
                    out,
                    "  macro F1 of {} minus this, paired by draw: {lead}",
                    self.first.checkpoint
                );
            }
        }
        out
    }
}

/// Adapts and scores one checkpoint.
fn evaluate(
    argument: &Path,
    config: &RunConfig,
    texts: &Texts,
    device: Device,
    console: &Console,
) -> Result<CheckpointResult> {
    let path = setup::resolve_checkpoint(argument)?;
    let dataset = &texts.data.dataset;
    let model = setup::load_model(&path, &dataset.labels, config, device, console)?;
    let LoadedModel { classifier, params, tokenizer, .. } = model;
    let corpus = setup::tokenise(dataset, &tokenizer, config, console)?;
    let test_corpus =
        texts.test.map(|test| setup::tokenise(test, &tokenizer, config, console)).transpose()?;
    let inner = config.evaluation_inner();
    let learner = TextLearner::new(&classifier, || console.tick());
    let evaluator = Evaluator {
        learner: &learner,
        builder: TaskBuilder { corpus: &corpus, inner: &inner, device },
        run_seed: config.seed,
    };
    let sampler = EpisodeSampler::new(
        &config.evaluation_episode(),
        setup::pools(dataset, &corpus, texts.domains),
        config.seed,
        "evaluation episodes",
    );
    console.begin_evaluation(texts.domains.len() as u64 * config.evaluate.episodes);
    let mut results = Vec::new();
    for &domain in texts.domains {
        let name = dataset.domain_name(domain);
        let test_examples = texts
            .test
            .zip(test_corpus.as_ref())
            .map(|(test, corpus)| test_examples(test, corpus, dataset, texts.domains, name));
        let test = test_examples
            .as_ref()
            .zip(test_corpus.as_ref())
            .map(|(examples, corpus)| TestTexts { corpus, examples });
        console.begin_episode(inner.num_steps(config.episode.support));
        let result = evaluator.domain(
            &params,
            &sampler,
            (domain, name),
            config.evaluate.episodes,
            test,
            |scores| {
                console.evaluated_draw(scores.accuracy, scores.macro_f1);
                console.begin_episode(inner.num_steps(config.episode.support));
            },
        )?;
        console.line(&format!(
            "{}: {name}: accuracy {}, macro F1 {}",
            argument.display(),
            result.summary.accuracy,
            result.summary.macro_f1
        ));
        results.push(result);
    }
    console.end_evaluation();
    Ok(CheckpointResult {
        checkpoint: argument.display().to_string(),
        evaluation: Evaluation::of(results),
        macro_f1_lead_of_first: None,
    })
}

/// The test texts for a draw of domain `name`: those of that domain where the file has any of the
/// evaluated domains, else all.
fn test_examples(
    test: &Dataset,
    corpus: &Corpus,
    dataset: &Dataset,
    evaluated: &[DomainId],
    name: &str,
) -> Vec<ExampleId> {
    let is_by_domain =
        evaluated.iter().any(|&id| test.domain_id(dataset.domain_name(id)).is_some());
    match test.domain_id(name) {
        Some(domain) => corpus.examples_of(domain).to_vec(),
        None if is_by_domain => Vec::new(),
        None => (0..corpus.len() as ExampleId).collect(),
    }
}

/// The domains named by `--domain`, or all low-resource ones. A domain that meta-training has seen
/// may be named, and is warned of.
fn chosen_domains(
    args: &EvalArgs,
    data: &SplitDataset,
    console: &Console,
) -> Result<Vec<DomainId>> {
    if args.domain.is_empty() {
        return Ok(data.domains(Side::LowResource).to_vec());
    }
    let mut chosen = Vec::new();
    for name in &args.domain {
        let domain = named_domain(&data.dataset, name)?;
        if data.split.side_of(domain) != Side::LowResource {
            console.line(&format!(
                "warning: {name} is a {} domain by the current split: a checkpoint that was \
                 trained on it does not show here how it does on new domains",
                data.split.side_of(domain)
            ));
        }
        chosen.push(domain);
    }
    Ok(chosen)
}

/// The domain of this name.
pub fn named_domain(dataset: &Dataset, name: &str) -> Result<DomainId, InputError> {
    dataset.domain_id(name).ok_or_else(|| {
        let nearest = dataset
            .domains
            .iter()
            .min_by_key(|known| strsim::osa_distance(known, name))
            .map(|known| format!("; the nearest known domain is \"{known}\""))
            .unwrap_or_default();
        InputError(format!(
            "--domain: {} has no domain \"{name}\"{nearest}",
            dataset.path.display()
        ))
    })
}
