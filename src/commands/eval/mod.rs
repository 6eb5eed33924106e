//! `metabert eval`.

mod report;
mod texts;

use std::path::Path;

use anyhow::Result;

use self::report::{Adaptation, CheckpointResult, Report};
use self::texts::EvaluationTexts;
use super::checkpoint::{resolve, stored_settings};
use super::loading::{LoadedModel, OpenedModel};
use super::output::{print_json, print_result};
use super::session::{self, Session};
use super::texts::{read_settled, settle_leaks};
use crate::checks::Invalid;
use crate::cli::EvalArgs;
use crate::config::{Layer, RunConfig};
use crate::data::{Dataset, EpisodeSampler, check_sizes};
use crate::eval::Evaluation;
use crate::eval::evaluator::TestTexts;
use crate::meta::{Algorithm, Recipe};
use crate::run::checkpoint;
use crate::run::console::Console;

/// Runs the command.
pub fn run(args: &EvalArgs) -> Result<()> {
    let Some((session, checkpoint)) = Session::of_checkpoint(&args.shared, &args.checkpoint)?
    else {
        return Ok(());
    };
    let Session { config, console } = &session;
    let given = args.shared.layers()?;
    let mut candidates = vec![Candidate::open(&args.checkpoint, &checkpoint, &given)?];
    for baseline in &args.baselines {
        candidates.push(Candidate::open(baseline, &resolve(baseline)?, &given)?);
    }

    let labels = candidates[0].model.labels(config)?;
    let dataset = read_settled(config, labels.as_deref(), console)?;
    let domains = texts::chosen_domains(&args.domain, &dataset, config)?;
    let split = texts::held_out(&dataset, &domains);
    let dataset = settle_leaks(dataset, &split, config, console)?;
    let mut episode = config.evaluation_episode();
    if args.test_data.is_some() {
        // A domain may be too small for the query set that nobody needs.
        episode.query = 0;
    }
    check_sizes(&dataset, &domains, episode.support, episode.query)?;
    let test =
        args.test_data.as_deref().map(|path| texts::read_test(path, &dataset)).transpose()?;
    let texts = EvaluationTexts { dataset: &dataset, domains: &domains, test: test.as_ref() };
    texts.ensure_every_domain_is_tested()?;
    let pools = dataset.pools(&domains);
    let sampler = EpisodeSampler::new(&episode, pools, config.seed, "evaluation episodes");

    // All checkpoints are loaded before the first is evaluated: a fault of the last one shows now,
    // and not in an hour.
    let device = session.select_device()?;
    let mut loaded = Vec::new();
    for Candidate { argument, settings, algo, model } in candidates {
        warn_of_seen_domains(&model, &texts, console);
        ensure_same_labels(&model, &dataset, config)?;
        let model = session.load(model, &dataset.labels, device)?;
        loaded.push(Candidate { argument, settings, algo, model });
    }
    let mut results = Vec::new();
    for candidate in &loaded {
        let adaptation = Adaptation::of(candidate.algo, &candidate.settings, episode.support);
        let evaluation = evaluate(&session, candidate, &adaptation, &texts, &sampler)?;
        let checkpoint = candidate.argument.display().to_string();
        results.push(CheckpointResult::new(checkpoint, adaptation, evaluation));
    }
    let report = Report::new(config, &dataset, test.as_ref(), results);
    match args.json {
        true => print_json(&report),
        false => print_result(&report.to_text()),
    }
}

/// A checkpoint of the table, with the settings that it adapts with.
struct Candidate<'a, Model> {
    /// Its name on the command line.
    argument: &'a Path,
    /// Its own settings under those of the command line.
    settings: RunConfig,
    /// How it was trained.
    algo: Algorithm,
    model: Model,
}

impl<'a> Candidate<'a, OpenedModel> {
    fn open(argument: &'a Path, path: &Path, given: &[Layer]) -> Result<Self> {
        let stored = stored_settings(path)?;
        let is_trained = stored.is_some();
        let settings = session::resolve(stored, given)?;
        let algo = if is_trained { settings.train.algo } else { Algorithm::None };
        Ok(Self { argument, settings, algo, model: OpenedModel::open(path)? })
    }
}

/// The scores of a checkpoint on domains that it was trained on say little about new ones.
fn warn_of_seen_domains(opened: &OpenedModel, texts: &EvaluationTexts, console: &Console) {
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
) -> Result<(), Invalid> {
    match opened.labels(config)? {
        Some(found) if found != dataset.labels => Err(Invalid(format!(
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
    session: &Session,
    candidate: &Candidate<LoadedModel>,
    adaptation: &Adaptation,
    texts: &EvaluationTexts,
    sampler: &EpisodeSampler,
) -> Result<Evaluation> {
    let Session { config, console } = session;
    let model = &candidate.model;
    let corpus = session.tokenise(texts.dataset, model)?;
    let test_corpus = texts.test.map(|test| session.tokenise(test, model)).transpose()?;
    let num_draws = config.evaluate.episodes;
    console.begin_evaluation(texts.domains.len() as u64 * num_draws);
    let recipe = Recipe::new(candidate.algo, &adaptation.inner);
    let evaluator = session.evaluator(model, &corpus, &recipe);
    let mut results = Vec::new();
    for &domain in texts.domains {
        let examples = test_corpus.as_ref().map(|corpus| texts.test_examples(corpus, domain));
        let test = test_corpus.as_ref().zip(examples.as_ref());
        let test = test.map(|(corpus, examples)| TestTexts { corpus, examples });
        let named = (domain, texts.dataset.domain_name(domain));
        console.begin_episode(adaptation.inner_steps * num_draws as usize);
        let result =
            evaluator.domain(&model.params, sampler, named, num_draws, test, |scores| {
                console.evaluated_draw(scores.accuracy, scores.macro_f1);
                Ok(())
            })?;
        console.line(&format!(
            "{}: {}: accuracy {}, macro F1 {}",
            candidate.argument.display(),
            result.domain,
            result.summary.accuracy,
            result.summary.macro_f1
        ));
        results.push(result);
    }
    console.end_evaluation();
    Ok(Evaluation::of(results))
}
