//! `metabert eval`.

mod digest;
pub(super) mod sizes;
pub(super) mod texts;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::slice;

use anyhow::{Context, Result};

use self::digest::draws_sha256;
use self::sizes::{episodes_of_each_size, query_size};
use self::texts::EvaluationTexts;
use super::alike::{Inputs, ensure_alike};
use super::checkpoint::intact_model;
use super::loading::{LoadedModel, OpenedModel};
use super::output::{output_file, print_json, print_result};
use super::session::{self, Session};
use super::texts::{evaluation_episodes, read_settled, settle_leaks};
use crate::checks::{self, Invalid};
use crate::cli::EvalArgs;
use crate::config::{Layer, RunConfig};
use crate::data::{Dataset, EpisodeConfig, EpisodeSampler, QuerySize, check_sizes, files_of};
use crate::eval::Evaluation;
use crate::eval::draws::TestTexts;
use crate::eval::evaluation::DomainResult;
use crate::eval::metrics::Scores;
use crate::eval::report::{Adaptation, Candidate, Draws, Report, SupportSize};

/// The purpose of the draws, from which their random streams derive.
pub(super) const EVALUATION_DRAWS: &str = "evaluation episodes";

/// Runs the command.
pub fn run(args: &EvalArgs) -> Result<()> {
    let session = Session::of_checkpoint(&args.shared, &args.ranks, &args.checkpoint)?;
    let Some((session, checkpoint)) = session else { return Ok(()) };
    let Session { config, console, .. } = &session;
    // By name and path; the first one also sets the texts and the draws.
    let mut checkpoints = vec![(&args.checkpoint, checkpoint)];
    for baseline in &args.baselines {
        checkpoints.push((baseline, intact_model(baseline)?));
    }
    let given = args.shared.layers()?;
    let mut adaptations = Vec::new();
    let mut opened = Vec::new();
    for (_, path) in &checkpoints {
        adaptations.push(adaptation(path, &given)?);
        opened.push(OpenedModel::open(path)?);
    }

    let labels = opened[0].labels(config)?;
    let dataset = read_settled(config, labels.as_deref(), console)?;
    let domains = texts::chosen_domains(&args.domain, &dataset, config)?;
    let split = texts::held_out(&dataset, &domains);
    let dataset = settle_leaks(dataset, &split, config, console)?;
    // Test texts take the place of query sets of any size.
    let mut drawing = config.clone();
    if args.test_data.is_some() {
        drawing.evaluate.query = QuerySize::Count(0);
    }
    let every_label = adaptations.iter().any(|it| it.recipe().head.is_made_of_support());
    let unlabelled = config.evaluate.unlabelled;
    let expected = "0 where no head is made of the support set (--head prototypes or label-names)";
    checks::require(unlabelled == 0 || every_label, "evaluate.unlabelled", expected, unlabelled)?;
    let episodes = episodes_of_each_size(&drawing, args.test_data.is_some(), every_label);
    for (_, episode) in &episodes {
        check_sizes(&dataset, &domains, episode)?;
    }
    let read_test =
        |path: &PathBuf| texts::read_test(path, config.data.record_rules(), &dataset, &domains);
    let test = args.test_data.as_ref().map(read_test).transpose()?;
    let texts = EvaluationTexts { dataset: &dataset, domains: &domains, test: test.as_ref() };
    let sampler = |(_, episode): &(SupportSize, EpisodeConfig)| {
        evaluation_episodes(&dataset, &domains, episode, &drawing, EVALUATION_DRAWS)
    };
    let samplers: Vec<EpisodeSampler> = episodes.iter().map(sampler).collect();

    // All checkpoints are loaded before the first is evaluated: a fault of the last one shows now,
    // and not in an hour.
    let device = session.select_device()?;
    let out = args.out.as_ref().filter(|_| session.group.is_lead());
    let files = files_of(Path::new(&config.data.path)).unwrap_or_default();
    let inputs = files.iter().map(PathBuf::as_path).chain(args.test_data.as_deref());
    let inputs: Vec<&Path> = inputs.collect();
    let out = out.map(|path| output_file(path, args.force, &inputs)).transpose()?;
    ensure_alike(&session, device, || {
        let named = args.domain.join(", ");
        let mut inputs = Inputs::default().with_dataset("data", &dataset);
        inputs = inputs.with_argument("--domain", named);
        for ((name, _), opened) in checkpoints.iter().zip(&opened) {
            inputs = inputs.with_model(&name.display().to_string(), opened.directory())?;
        }
        Ok(match &test {
            Some(test) => inputs.with_dataset("test data", test),
            None => inputs,
        })
    })?;
    let mut models = Vec::new();
    for (opened, adaptation) in opened.into_iter().zip(&adaptations) {
        let names = domains.iter().map(|&domain| dataset.domain_name(domain));
        opened.warn_of_seen_domains(names, console);
        ensure_same_labels(&opened, config, &dataset)?;
        let labels = opened.own_labels(&dataset, config)?;
        models.push(opened.load(&labels, config, Some(&adaptation.recipe()), device, console)?);
    }
    let mut candidates = Vec::new();
    for (((name, _), adaptation), model) in checkpoints.iter().zip(adaptations).zip(&models) {
        let name = name.display().to_string();
        let evaluations = evaluate(&session, &name, &adaptation, model, &texts, &samplers)?;
        candidates.push(Candidate { name, adaptation: Some(adaptation), evaluations });
    }
    let path_of = |dataset: &Dataset| dataset.path.display().to_string();
    let digest = |samplers: &[EpisodeSampler]| {
        draws_sha256(&dataset, &domains, samplers, config.evaluate.episodes)
    };
    let draws = Draws {
        dataset: path_of(&dataset),
        dataset_sha256: dataset.sha256.clone(),
        test_data: test.as_ref().map(path_of),
        test_data_sha256: test.as_ref().map(|test| test.sha256.clone()),
        draws_sha256: digest(&samplers),
        draws_sha256_by_support: episodes
            .iter()
            .zip(&samplers)
            .map(|((size, _), sampler)| (size.to_string(), digest(slice::from_ref(sampler))))
            .collect(),
        seed: config.seed,
        episodes: config.evaluate.episodes,
        query: query_size(config, args.test_data.is_some()),
        unlabelled: config.evaluate.unlabelled,
        every_label,
        max_length: config.data.max_length,
        sizes: episodes.iter().map(|(size, _)| *size).collect(),
        labels: domains.iter().map(|&it| dataset.labels_of(it).names(&dataset.labels)).collect(),
    };
    if !session.group.is_lead() {
        return Ok(());
    }
    let report = Report::new(draws, candidates);
    if let Some((mut file, path)) = out.zip(args.out.as_ref()) {
        writeln!(file, "{}", serde_json::to_string_pretty(&report)?)
            .and_then(|()| file.commit())
            .with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    match args.json {
        true => print_json(&report),
        false => print_result(&report.to_string()),
    }
}

/// How a checkpoint adapts: by its own settings under those given.
fn adaptation(path: &Path, given: &[Layer]) -> Result<Adaptation> {
    let config = session::settings_of_checkpoint(path, given)?;
    let RunConfig { safeguard, .. } = config;
    let inner = config.evaluation_recipe().resolve(&config.evaluation_inner());
    let (algo, head_steps) = (config.train.algo, config.evaluate.head_steps);
    Ok(Adaptation { algo, inner, meta: config.evaluation_meta(), head_steps, safeguard })
}

/// Where all domains share their labels, every checkpoint has a head for just these.
fn ensure_same_labels(
    opened: &OpenedModel,
    config: &RunConfig,
    dataset: &Dataset,
) -> Result<(), Invalid> {
    let labels = &dataset.labels;
    let Some(found) = opened.labels(config)? else { return Ok(()) };
    checks::require(
        found == *labels || dataset.label_sets_differ,
        opened.directory().path().display(),
        format!("a head for the labels {labels:?}"),
        format!("one for {found:?}; set data.labels if they are the same in this order"),
    )
}

/// Adapts and scores the checkpoint of this name on all draws of all domains, with each sampler's support size.
fn evaluate(
    session: &Session,
    name: &str,
    adaptation: &Adaptation,
    model: &LoadedModel,
    texts: &EvaluationTexts,
    samplers: &[EpisodeSampler],
) -> Result<Vec<Evaluation>> {
    let Session { config, console, .. } = session;
    let corpus = session.tokenise(texts.dataset, model)?;
    let test_corpus = texts.test.map(|test| session.tokenise(test, model)).transpose()?;
    let num_draws = config.evaluate.episodes;
    console.begin_evaluation((samplers.len() * texts.domains.len()) as u64 * num_draws);
    let recipe = adaptation.recipe();
    let head_rows = model.head_rows(texts.dataset);
    let evaluator = session.evaluator(model, &head_rows, &corpus, &recipe, adaptation.safeguard)?;
    // For each support size the results of all domains.
    let mut results: Vec<Vec<DomainResult>> = samplers.iter().map(|_| Vec::new()).collect();
    for &domain in texts.domains {
        let examples = test_corpus.as_ref().map(|corpus| texts.test_examples(corpus, domain));
        let test = test_corpus.as_ref().zip(examples.as_ref());
        let test = test.map(|(corpus, examples)| TestTexts { corpus, examples });
        let named = (domain, texts.dataset.domain_name(domain));
        let num_steps = samplers.iter().map(|sampler| adaptation.num_steps(sampler.num_support()));
        console.begin_episode(num_steps.sum::<usize>() * num_draws as usize);
        let on_draw = |scores: Scores| console.evaluated_draw(scores.accuracy, scores.macro_f1);
        let found = evaluator.domain(&model.params, samplers, named, num_draws, test, on_draw)?;
        for (results, found) in results.iter_mut().zip(found) {
            let (domain, support, adapted) =
                (&found.domain, found.num_support, found.summary.adapted);
            let scores = format!("accuracy {}, macro F1 {}", adapted.accuracy, adapted.macro_f1);
            console.line(&format!("{name}: {domain}, support {support}: {scores}"));
            results.push(found);
        }
    }
    console.end_evaluation();
    Ok(results.into_iter().map(|results| Evaluation::of(results, config.seed)).collect())
}
