//! `metabert train`.

use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use anyhow::{Context, Result};

use super::loading::{LoadedModel, OpenedModel};
use super::locking::{lock, lock_new};
use super::resume::{
    command_to_resume, ensure_resumable, ensure_same_inputs, ensure_same_settings, stored_config,
    with_way_on,
};
use super::run_files::{model_sha256, part, prepare_directory, provenance};
use super::signals::stop_on_signals;
use super::starting_point::StartingPoint;
use super::train_checks::{check_domain_sizes, ensure_replaceable};
use super::{Interrupted, print_result, settings, texts};
use crate::cli::TrainArgs;
use crate::config::{ConfigError, RunConfig};
use crate::data::{Corpus, Dataset, EpisodeSampler, Side, Split};
use crate::eval::Evaluator;
use crate::machine::Profile;
use crate::machine::profile::Phase;
use crate::run::checkpoint::ModelFiles;
use crate::run::console::Console;
use crate::run::{Environment, Provenance, RunDirectory, RunLog};
use crate::tasks::{TaskBuilder, TaskSource, TextLearner};
use crate::train::trainer::Part;
use crate::train::{DevSet, NonFiniteGuard, Outcome, Trainer};

/// Runs the command.
pub fn run(args: &TrainArgs) -> Result<()> {
    let run = RunDirectory::at(args.run_dir.as_deref().unwrap_or(Path::new("")));
    let console = Console::new(args.shared.quiet, args.shared.verbose);
    let mut held = None;
    if args.resume && !args.shared.print_config {
        ensure_resumable(&run)?;
        held = Some(lock(&run, &console)?);
    }
    let before = args.resume.then(|| stored_config(&run)).transpose()?;
    let Some(mut config) = settings::configure(&args.shared, before.clone(), args.flags())? else {
        return Ok(());
    };
    let start = if args.resume {
        StartingPoint::of(&run, &console)?
    } else {
        run.ensure_free(args.force)?;
        ensure_replaceable(&run, &config)?;
        held = run.is_in_use().then(|| lock(&run, &console)).transpose()?;
        StartingPoint::Beginning
    };
    let opened = OpenedModel::open(model_path(&config)?)?;
    let labels = opened.labels(&config)?;
    let (dataset, split) = texts::read_split(&mut config, labels.as_deref(), &console)?;
    check_domain_sizes(&dataset, &split, &config, &console)?;
    if let Some(before) = &before {
        ensure_same_settings(&run, before, &config, &console)?;
    }
    let device = settings::select_device(&config, &console)?;
    let part = part(&config, device);
    let environment = Environment {
        provenance: provenance(&dataset, &split),
        machine: part.machine.clone(),
        model_sha256: model_sha256(opened.directory().path())?,
    };
    if args.resume {
        ensure_same_inputs(&run, &environment)?;
    }
    let model = opened.load(&dataset.labels, &config, device, &console)?;
    let profile = args.profile.then(|| Profile::new(device));
    let started = Instant::now();
    let corpus = texts::tokenise(&dataset, &model, &config, &console)?;
    if let Some(profile) = &profile {
        profile.add(Phase::Tokenise, started.elapsed(), 1);
    }

    // Nothing has been written before this line: whatever was wrong with the input has been said.
    let _held = held.map_or_else(|| lock_new(&run, &console), Ok)?;
    prepare_directory(&run, &config, (!args.resume).then_some(&environment))
        .with_context(|| format!("{}: cannot be written", run.path().display()))?;
    let stop = stop_on_signals()?;
    let materials = Materials { config: &config, run: &run, dataset: &dataset, split: &split };
    let observers = Observers { console: &console, stop: &stop, profile: profile.as_ref() };
    let files = model_files(&model, &config, environment.provenance);
    let outcome = materials
        .train(model, &corpus, &files, start, part, observers)
        .map_err(|error| with_way_on(error, &run, config.train.non_finite))?;
    if let Some(profile) = &profile {
        console.line(&profile.table());
    }
    match outcome {
        Outcome::Interrupted(signal) => {
            let resume = command_to_resume(&run);
            Err(Interrupted { signal, resume }.into())
        }
        Outcome::Completed | Outcome::EarlyStopping => {
            print_result(&format!("{}\n", RunDirectory::resolve(run.path())?.display()))
        }
    }
}

/// What training is made of, read and checked.
struct Materials<'a> {
    config: &'a RunConfig,
    run: &'a RunDirectory,
    dataset: &'a Dataset,
    split: &'a Split,
}

/// Who watches training, and who may end it.
#[derive(Clone, Copy)]
struct Observers<'a> {
    console: &'a Console,
    stop: &'a AtomicUsize,
    profile: Option<&'a Profile>,
}

impl Materials<'_> {
    fn train(
        &self,
        model: LoadedModel,
        corpus: &Corpus,
        files: &ModelFiles,
        start: StartingPoint,
        part: Part,
        observers: Observers,
    ) -> Result<Outcome> {
        let Observers { console, stop, profile } = observers;
        let Self { config, run, dataset, split } = *self;
        let LoadedModel { classifier, params, .. } = model;
        let mut state = start.state(run, config, &classifier, params, console)?;
        let on_forward = || console.tick();
        let dev_learner = TextLearner::new(&classifier, &on_forward);
        let learner = TextLearner::new(&classifier, &on_forward).profiled(profile);
        let device = state.meta.device();
        let num_parameters = classifier.layout().num_parameters();
        let workers = settings::workers(config, device, num_parameters);
        let builder = TaskBuilder { corpus, inner: &config.inner, device };
        let evaluation_inner = config.evaluation_inner();
        let dev_builder = TaskBuilder { inner: &evaluation_inner, ..builder };
        let dev_domains = split.domains(Side::MetaDev);
        let dev = (!dev_domains.is_empty()).then(|| DevSet {
            evaluator: Evaluator {
                learner: &dev_learner,
                builder: dev_builder,
                run_seed: config.seed,
                workers,
            },
            sampler: EpisodeSampler::new(
                &config.evaluation_episode(),
                dataset.pools(dev_domains),
                config.seed,
                "meta-dev episodes",
            ),
            episodes: config.evaluate.dev_episodes,
            support: config.episode.support,
        });
        let mut trainer = Trainer {
            learner: &learner,
            algorithm: config.train.algo.build(&config.inner),
            source: self.task_source(corpus),
            builder,
            dev,
            domain_names: &dataset.domains,
            run_seed: config.seed,
            train: &config.train,
            outer: &config.outer,
            part,
            run,
            files,
            log: RunLog::open(run, state.progress.step)?,
            console,
            stop,
            workers,
            non_finite: NonFiniteGuard::new(&config.train),
            profile,
        };
        trainer.run(&mut state)
    }

    fn task_source(&self, corpus: &Corpus) -> TaskSource {
        let Self { config, dataset, split, .. } = *self;
        if config.train.algo.is_episodic() {
            return TaskSource::Episodes(texts::meta_train_episodes(dataset, split, config));
        }
        let domains = split.domains(Side::MetaTrain);
        let examples = domains.iter().flat_map(|&domain| corpus.examples_of(domain));
        TaskSource::pooled(examples.copied().collect(), &config.inner, config.seed)
    }
}

/// What every checkpoint of the run is going to hold beside its state.
fn model_files(model: &LoadedModel, config: &RunConfig, provenance: Provenance) -> ModelFiles {
    ModelFiles {
        config_json: model.directory.config_json().clone(),
        labels: model.labels.clone(),
        tokenizer: model.tokenizer.clone(),
        settings: config.to_toml(),
        provenance: Some(provenance),
    }
}

/// The directory that `model.path` names, unaltered if it says what it was.
fn model_path(config: &RunConfig) -> Result<&Path> {
    if config.model.path.is_empty() {
        return Err(ConfigError::Invalid(
            "model.path: expected a model directory, found nothing; pass --model DIR".into(),
        )
        .into());
    }
    let path = Path::new(&config.model.path);
    settings::ensure_unaltered(path)?;
    Ok(path)
}
