//! `metabert train`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::setup::{self, LoadedModel, SplitDataset};
use super::{InputError, Interrupted};
use crate::cli::TrainArgs;
use crate::config::{ConfigError, Layer, RunConfig};
use crate::data::{Corpus, EpisodeSampler, Side};
use crate::meta::Algorithm;
use crate::optim::Optimizer;
use crate::run::checkpoint::{self, ModelFiles};
use crate::run::console::Console;
use crate::run::directory::{Which, ensure_free, write_file_atomically};
use crate::run::{EventLog, Progress, RunDirectory, TrainingState};
use crate::train::trainer::DevSet;
use crate::train::{Evaluator, Outcome, TaskBuilder, TaskSource, TextLearner, Trainer};

/// Runs the command.
pub fn run(args: &TrainArgs) -> Result<()> {
    let Some(config) = setup::configure(&args.shared, args.flags(), None)? else { return Ok(()) };
    let console = Console::new(args.shared.quiet, args.shared.verbose);
    let run = RunDirectory::at(args.run_dir.as_deref().unwrap_or(Path::new("")));
    if args.resume {
        ensure_resumable(&run, &config)?;
    } else {
        ensure_free(run.path(), args.force)?;
    }

    let model_path = model_path(&config)?;
    let labels = setup::head_labels(&model_path)?.unwrap_or_default();
    let data = setup::read_split(&config, &labels)?;
    data.warnings.iter().for_each(|warning| console.line(&format!("warning: {warning}")));
    for side in Side::ALL {
        console.detail(&format!("{side}: {}", data.names(side).join(", ")));
    }
    data.check_sizes(data.domains(Side::MetaTrain), &config.episode)?;
    data.check_sizes(data.domains(Side::MetaDev), &config.evaluation_episode())?;
    let device = setup::select_device(&config, &console)?;
    let model = setup::load_model(&model_path, &data.dataset.labels, &config, device, &console)?;
    let corpus = setup::tokenise(&data.dataset, &model.tokenizer, &config, &console)?;

    // Nothing has been written before this line: whatever was wrong with the input has been said.
    if args.force && run.path().exists() {
        remove_old_run(&run)?;
    }
    run.create().with_context(|| format!("{}: cannot be made", run.path().display()))?;
    write_file_atomically(&run.config_file(), config.to_toml().as_bytes())?;
    write_environment(&run, &data)?;
    let outcome = train(&config, &run, &data, model, &corpus, (args.resume, &console))?;
    let best = RunDirectory::resolve(run.path())?;
    match outcome {
        Outcome::Interrupted(signal) => {
            let resume = format!(
                "metabert train --config {} --run-dir {} --resume",
                run.config_file().display(),
                run.path().display()
            );
            Err(Interrupted { signal, resume }.into())
        }
        Outcome::Completed | Outcome::EarlyStopping => {
            println!("{}", best.display());
            Ok(())
        }
    }
}

fn train(
    config: &RunConfig,
    run: &RunDirectory,
    data: &SplitDataset,
    model: LoadedModel,
    corpus: &Corpus,
    (resume, console): (bool, &Console),
) -> Result<Outcome> {
    let LoadedModel { directory, classifier, params, labels, tokenizer } = model;
    let device = params.device();
    let optimizer = config.outer.optimizer();
    let state = match run.pointer(Which::Latest)?.filter(|_| resume) {
        Some(latest) => {
            let dir = run.checkpoints().join(latest.checkpoint);
            let weights = crate::model::ModelDirectory::open(&dir)?.read_weights()?;
            let (meta, _) = weights.load(&classifier, config.seed)?;
            checkpoint::load(&dir, meta.to_device(device)?, optimizer)?
        }
        None => TrainingState {
            optimizer: Optimizer::new(optimizer, &params)?,
            meta: params,
            progress: Progress::default(),
        },
    };
    let learner = TextLearner::new(&classifier, || console.tick());
    let builder = TaskBuilder { corpus, inner: &config.inner, device };
    let evaluation_inner = config.evaluation_inner();
    let dev_builder = TaskBuilder { inner: &evaluation_inner, ..builder };
    let dev_domains = data.domains(Side::MetaDev);
    let dev = (!dev_domains.is_empty()).then(|| DevSet {
        evaluator: Evaluator { learner: &learner, builder: dev_builder, run_seed: config.seed },
        sampler: EpisodeSampler::new(
            &config.evaluation_episode(),
            setup::pools(&data.dataset, corpus, dev_domains),
            config.seed,
            "meta-dev episodes",
        ),
        episodes: config.evaluate.dev_episodes,
    });
    let files = ModelFiles {
        config_json: directory.config_json().clone(),
        labels,
        tokenizer,
        settings: config.to_toml(),
    };
    let stop = stop_on_signals()?;
    let mut trainer = Trainer {
        learner: &learner,
        algorithm: config.train.algo.build(&config.inner),
        source: task_source(config, data, corpus),
        builder,
        dev,
        domain_names: &data.dataset.domains,
        run_seed: config.seed,
        train: &config.train,
        outer: &config.outer,
        run,
        files: &files,
        log: EventLog::open(&run.events_file(), state.progress.step)?,
        console,
        stop: &stop,
    };
    let mut state = state;
    trainer.run(&mut state)
}

fn task_source(config: &RunConfig, data: &SplitDataset, corpus: &Corpus) -> TaskSource {
    let domains = data.domains(Side::MetaTrain);
    if config.train.algo == Algorithm::Transfer {
        let examples = domains.iter().flat_map(|&domain| corpus.examples_of(domain));
        return TaskSource::Pooled(examples.copied().collect());
    }
    let pools = setup::pools(&data.dataset, corpus, domains);
    TaskSource::Episodes(EpisodeSampler::new(
        &config.episode,
        pools,
        config.seed,
        "meta-train episodes",
    ))
}

/// The directory that `model.path` names.
fn model_path(config: &RunConfig) -> Result<std::path::PathBuf, ConfigError> {
    if config.model.path.is_empty() {
        return Err(ConfigError::Invalid(
            "model.path: expected a model directory, found nothing; pass --model DIR".into(),
        ));
    }
    Ok(config.model.path.clone().into())
}

/// A flag that is set to the number of the first SIGINT or SIGTERM; a second one ends the process
/// at once.
fn stop_on_signals() -> Result<Arc<AtomicUsize>> {
    let stop = Arc::new(AtomicUsize::new(0));
    let again = Arc::new(std::sync::atomic::AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The order matters: the first signal finds `again` unset, and sets it.
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, again.clone())?;
        signal_hook::flag::register(signal, again.clone())?;
        signal_hook::flag::register_usize(signal, stop.clone(), signal as usize)?;
    }
    Ok(stop)
}

/// Refuses to go on where a setting that shapes the result has changed.
fn ensure_resumable(run: &RunDirectory, config: &RunConfig) -> Result<()> {
    if !run.config_file().exists() {
        return Err(InputError(format!(
            "{}: expected a run to resume, found no config.toml; leave out --resume to start one",
            run.path().display()
        ))
        .into());
    }
    let before = RunConfig::from_layers(&[Layer::from_file(&run.config_file())?])?;
    let mut allowed = before.clone();
    allowed.device.clone_from(&config.device);
    allowed.threads = config.threads;
    allowed.data.path.clone_from(&config.data.path);
    allowed.train.steps = config.train.steps;
    allowed.train.eval_every = config.train.eval_every;
    allowed.train.checkpoint_every = config.train.checkpoint_every;
    allowed.train.patience = config.train.patience;
    allowed.train.keep_last = config.train.keep_last;
    allowed.evaluate.episodes = config.evaluate.episodes;
    if allowed == *config {
        return Ok(());
    }
    let changed = changed_keys(&allowed, config).join(", ");
    Err(InputError(format!(
        "{}: cannot resume with other settings, which would change the result: {changed}",
        run.path().display()
    ))
    .into())
}

fn changed_keys(before: &RunConfig, now: &RunConfig) -> Vec<String> {
    fn flatten(value: &toml::Value, path: &str, out: &mut BTreeMap<String, String>) {
        match value {
            toml::Value::Table(table) => table.iter().for_each(|(key, value)| {
                let separator = if path.is_empty() { "" } else { "." };
                flatten(value, &format!("{path}{separator}{key}"), out);
            }),
            leaf => drop(out.insert(path.to_owned(), leaf.to_string())),
        }
    }
    let flat = |config: &RunConfig| {
        let mut out = BTreeMap::new();
        let value = toml::Value::try_from(config).expect("a configuration serialises");
        flatten(&value, "", &mut out);
        out
    };
    let (before, now) = (flat(before), flat(now));
    before
        .iter()
        .filter(|(key, value)| now.get(*key) != Some(value))
        .map(|(key, value)| format!("{key} (was {value}, is {})", now[key]))
        .collect()
}

/// Removes a run that `--force` replaces; anything that is not a run is left alone.
fn remove_old_run(run: &RunDirectory) -> Result<()> {
    let is_empty = fs::read_dir(run.path())?.next().is_none();
    if !is_empty && !run.config_file().exists() {
        return Err(InputError(format!(
            "{}: expected an old run to replace, found a directory without config.toml; remove it \
             by hand",
            run.path().display()
        ))
        .into());
    }
    fs::remove_dir_all(run.path())
        .with_context(|| format!("{}: cannot be removed", run.path().display()))
}

/// Writes what the run ran on.
fn write_environment(run: &RunDirectory, data: &SplitDataset) -> Result<()> {
    let environment = serde_json::json!({
        "metabert": env!("CARGO_PKG_VERSION"),
        "torch": crate::torch_ext::TORCH_VERSION,
        "threads": tch::get_num_threads(),
        "cuda": tch::Cuda::is_available(),
        "dataset": { "path": data.dataset.path, "sha256": data.dataset.sha256 },
        "split": {
            "meta_train": data.names(Side::MetaTrain),
            "meta_dev": data.names(Side::MetaDev),
            "low_resource": data.names(Side::LowResource),
        },
    });
    Ok(write_file_atomically(&run.environment_file(), &serde_json::to_vec_pretty(&environment)?)?)
}
