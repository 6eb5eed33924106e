//! `metabert eval`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use tch::Device;

use super::eval_report::{CheckpointResult, Report};
use super::eval_texts::{Texts, chosen_domains, held_out, read_test};
use super::loading::{LoadedModel, OpenedModel};
use super::{print_result, settings, texts};
use crate::cli::EvalArgs;
use crate::config::{ConfigError, RunConfig};
use crate::data::{Dataset, EpisodeSampler, check_sizes};
use crate::eval::evaluator::TestTexts;
use crate::eval::{Evaluation, Evaluator};
use crate::run::checkpoint;
use crate::run::console::Console;
use crate::tasks::{TaskBuilder, TextLearner};

/// Runs the command.
pub fn run(args: &EvalArgs) -> Result<()> {
    let checkpoint = settings::resolve_checkpoint(&args.checkpoint)?;
    let stored = settings::stored_settings(&checkpoint)?;
    let Some(config) = settings::configure(&args.shared, stored, args.flags())? else {
        return Ok(());
    };
    let console = Console::new(args.shared.quiet, args.shared.verbose);
    let opened = open_all(args, checkpoint)?;
    let labels = opened[0].1.labels(&config)?;
    let dataset = texts::read_settled(&config, labels.as_deref(), &console)?;
    let domains = chosen_domains(&args.domain, &dataset, &config)?;
    let split = held_out(&dataset, &domains);
    let dataset = texts::settle_leaks(dataset, &split, &config, &console)?;
    let episode = config.evaluation_episode();
    let query = if args.test_data.is_some() { 0 } else { episode.query };
    check_sizes(&dataset, &domains, episode.support, query)?;
    let test = args.test_data.as_deref().map(|path| read_test(path, &dataset)).transpose()?;
    let texts = Texts { dataset: &dataset, domains: &domains, test: test.as_ref() };
    texts.ensure_every_domain_is_tested()?;
    let device = settings::select_device(&config, &console)?;

    // All checkpoints are loaded before the first is evaluated: what is wrong with the last one is
    // said now, and not in an hour.
    let mut models = Vec::new();
    for (argument, opened) in opened {
        warn_of_seen_domains(&opened, &texts, &console);
        ensure_same_labels(&opened, &dataset, &config)?;
        models.push((argument, opened.load(&dataset.labels, &config, device, &console)?));
    }
    let mut results = Vec::new();
    for (argument, model) in &models {
        results.push(CheckpointResult {
            checkpoint: argument.display().to_string(),
            evaluation: evaluate(argument, model, &config, &texts, (device, &console))?,
            macro_f1_lead_of_first: None,
        });
    }
    let report = Report::new(&config, &dataset, test.as_ref(), results);
    match args.json {
        true => print_result(&format!("{}\n", serde_json::to_string_pretty(&report)?)),
        false => print_result(&report.table()),
    }
}

/// Opens the checkpoint, which is resolved, and the baselines.
fn open_all(args: &EvalArgs, checkpoint: PathBuf) -> Result<Vec<(&PathBuf, OpenedModel)>> {
    let baselines = args.baselines.iter().map(|it| (it, settings::resolve_checkpoint(it)));
    std::iter::once((&args.checkpoint, Ok(checkpoint)))
        .chain(baselines)
        .map(|(argument, path)| Ok((argument, OpenedModel::open(&path?)?)))
        .collect()
}

/// A checkpoint that was trained on a domain does not show on it how it does on new ones.
fn warn_of_seen_domains(opened: &OpenedModel, texts: &Texts, console: &Console) {
    let path = opened.directory().path();
    let Some(provenance) = checkpoint::provenance(path) else { return };
    for &domain in texts.domains {
        let name = texts.dataset.domain_name(domain);
        if provenance.meta_train.iter().chain(&provenance.meta_dev).any(|seen| seen == name) {
            console.line(&format!(
                "warning: {} was trained on {name}, or chosen by it: its scores there say nothing \
                 about new domains",
                path.display()
            ));
        }
    }
}

fn ensure_same_labels(
    opened: &OpenedModel,
    dataset: &Dataset,
    config: &RunConfig,
) -> Result<(), ConfigError> {
    match opened.labels(config)? {
        Some(found) if found != dataset.labels => Err(ConfigError::Invalid(format!(
            "{}: expected a head for the labels {:?}, found one for {found:?}; set data.labels if \
             they are the same in this order",
            opened.directory().path().display(),
            dataset.labels
        ))),
        _ => Ok(()),
    }
}

/// Adapts and scores one checkpoint on all draws of all domains.
fn evaluate(
    argument: &Path,
    model: &LoadedModel,
    config: &RunConfig,
    texts: &Texts,
    (device, console): (Device, &Console),
) -> Result<Evaluation> {
    let dataset = texts.dataset;
    let corpus = texts::tokenise(dataset, model, config, console)?;
    let test_corpus =
        texts.test.map(|test| texts::tokenise(test, model, config, console)).transpose()?;
    let inner = config.evaluation_inner();
    let steps = inner.num_steps(config.episode.support);
    let on_forward = || console.tick();
    let learner = TextLearner::new(&model.classifier, &on_forward);
    let num_parameters = model.classifier.layout().num_parameters();
    let evaluator = Evaluator {
        learner: &learner,
        builder: TaskBuilder { corpus: &corpus, inner: &inner, device },
        run_seed: config.seed,
        workers: settings::workers(config, device, num_parameters),
    };
    let mut episode = config.evaluation_episode();
    if texts.test.is_some() {
        // What would be a query set is not needed: the domain may be too small for one.
        episode.query = 0;
    }
    let sampler = EpisodeSampler::new(
        &episode,
        dataset.pools(texts.domains),
        config.seed,
        "evaluation episodes",
    );
    console.begin_evaluation(texts.domains.len() as u64 * config.evaluate.episodes);
    let mut results = Vec::new();
    for &domain in texts.domains {
        let examples = test_corpus.as_ref().map(|corpus| texts.test_examples(corpus, domain));
        let test = test_corpus
            .as_ref()
            .zip(examples.as_ref())
            .map(|(corpus, examples)| TestTexts { corpus, examples });
        let name = dataset.domain_name(domain);
        let num_draws = config.evaluate.episodes;
        console.begin_episode(steps * num_draws as usize);
        let named = (domain, name);
        let result =
            evaluator.domain(&model.params, &sampler, named, num_draws, test, |scores| {
                console.evaluated_draw(scores.accuracy, scores.macro_f1);
                Ok(())
            })?;
        let (accuracy, macro_f1) = (result.summary.accuracy, result.summary.macro_f1);
        let checkpoint = argument.display();
        console.line(&format!("{checkpoint}: {name}: accuracy {accuracy}, macro F1 {macro_f1}"));
        results.push(result);
    }
    console.end_evaluation();
    Ok(Evaluation::of(results))
}
