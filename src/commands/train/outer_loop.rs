//! Makes the outer loop from its parts and runs it.

use anyhow::Result;

use super::super::loading::LoadedModel;
use super::super::session::Session;
use super::super::texts;
use super::files;
use super::resume::changeable_settings;
use super::signals::stop_on_signals;
use crate::config::RunConfig;
use crate::data::{Corpus, Dataset, EpisodeSampler, Side, Split};
use crate::eval::Evaluator;
use crate::machine::Profile;
use crate::run::{Environment, RunDirectory, RunLog, StartingPoint};
use crate::tasks::{TaskBuilder, TaskSource, TextLearner};
use crate::train::trainer::Part;
use crate::train::{DevSet, NonFiniteGuard, Outcome, Trainer};

/// The texts of a run, read, split and tokenised.
#[derive(Clone, Copy)]
pub struct TrainingTexts<'a> {
    /// The texts and their labels.
    pub dataset: &'a Dataset,
    /// The side of each domain.
    pub split: &'a Split,
    /// The wordpieces of the texts.
    pub corpus: &'a Corpus,
}

/// Trains `model` from `start` until all steps are done, training stops early, or a signal asks for
/// an end.
pub fn train(
    session: &Session,
    run: &RunDirectory,
    texts: TrainingTexts,
    model: LoadedModel,
    start: StartingPoint,
    environment: Environment,
    profile: Option<&Profile>,
) -> Result<Outcome> {
    let Session { config, console } = session;
    let TrainingTexts { dataset, split, corpus } = texts;
    let stop = stop_on_signals()?;
    let files = files::model_files(&model, config, environment.provenance);
    let workers = session.workers(&model);
    let LoadedModel { classifier, params, .. } = model;
    let mut state = start.state(run, config.outer.optimizer(), &classifier, params, console)?;
    let on_forward = || console.tick();
    let dev_learner = TextLearner::new(&classifier, &on_forward);
    let learner = TextLearner::new(&classifier, &on_forward).profiled(profile);
    let builder = TaskBuilder { corpus, inner: &config.inner, device: state.meta.device() };
    let evaluation_inner = config.evaluation_inner();
    let dev_domains = split.domains(Side::MetaDev);
    let dev = (!dev_domains.is_empty()).then(|| DevSet {
        evaluator: Evaluator {
            learner: &dev_learner,
            builder: TaskBuilder { inner: &evaluation_inner, ..builder },
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
        source: task_source(config, texts),
        builder,
        dev,
        domain_names: &dataset.domains,
        run_seed: config.seed,
        train: &config.train,
        outer: &config.outer,
        part: Part { machine: environment.machine, settings: changeable_settings(config) },
        run,
        files: &files,
        log: RunLog::open(run, state.progress.step)?,
        console,
        stop: &stop,
        workers,
        non_finite: NonFiniteGuard::new(&config.train),
        profile,
    };
    trainer.run(&mut state)
}

fn task_source(config: &RunConfig, texts: TrainingTexts) -> TaskSource {
    let TrainingTexts { dataset, split, corpus } = texts;
    if config.train.algo.is_episodic() {
        return TaskSource::Episodes(texts::meta_train_episodes(dataset, split, config));
    }
    let domains = split.domains(Side::MetaTrain);
    let examples = domains.iter().flat_map(|&domain| corpus.examples_of(domain));
    TaskSource::Pooled(examples.copied().collect())
}
