//! Makes the outer loop from its parts and runs it.

use std::sync::Arc;

use anyhow::Result;

use super::super::loading::LoadedModel;
use super::super::session::Session;
use super::super::texts::{evaluation_episodes, meta_train_episodes, with_dev_query};
use super::files;
use super::resume::changeable_settings;
use super::signals::stop_on_signals;
use crate::config::RunConfig;
use crate::data::{Corpus, Dataset, DomainId, EpisodeSampler, LabelSet, Side, Split};
use crate::eval::{Evaluator, SafeguardConfig};
use crate::machine::Profile;
use crate::meta::Tasks;
use crate::params::ParamSet;
use crate::run::{Environment, RunDirectory, StartingPoint};
use crate::tasks::{Source, TaskBuilder, TextTasks};
use crate::train::exchange::take_state_of_lead;
use crate::train::{DevSet, NonFiniteGuard, Outcome, OuterLoop, Recorder, Training};

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
/// an end; with the other processes of the session, whose first one says where it starts, and writes. What `profile` has counted
/// becomes an event of the run.
pub fn train(
    session: &Session,
    run: &RunDirectory,
    texts: TrainingTexts,
    model: LoadedModel,
    start: StartingPoint,
    environment: Environment,
    profile: Option<Arc<Profile>>,
) -> Result<Outcome> {
    let Session { config, console, group } = session;
    let TrainingTexts { dataset, split, corpus } = texts;
    let stop = stop_on_signals(group.is_lead())?;
    let files = files::model_files(&model, config, environment.provenance);
    let head_rows = model.head_rows(dataset);
    let LoadedModel { classifier, params, .. } = model;
    let outer = (config.outer.optimizer(), config.outer.average);
    let mut state = start.state(run, outer, &classifier, params, console)?;
    take_state_of_lead(group, &mut state)?;
    let (recipe, evaluation_recipe) = (config.recipe(), config.evaluation_recipe());
    let device = state.meta.device();
    let builder = TaskBuilder { classifier: &classifier, recipe: &recipe, corpus, device };
    let dev_domains = split.domains(Side::MetaDev);
    let executor = session.executor(&classifier, device)?.until(&stop);
    let dev = (!dev_domains.is_empty()).then(|| DevSet {
        evaluator: Evaluator {
            builder: TaskBuilder { recipe: &evaluation_recipe, ..builder },
            head_rows: &head_rows,
            is_classifier: false,
            run_seed: config.seed,
            // A checkpoint is chosen by how it adapts; its answers are safeguarded once.
            safeguard: SafeguardConfig::OFF,
            executor,
        },
        sampler: dev_sampler(config, dataset, dev_domains),
        episodes: config.evaluate.dev_episodes,
    });
    let tasks = TextTasks {
        builder,
        source: source(config, texts),
        head_rows: head_rows.clone(),
        domain_names: &dataset.domains,
        run_seed: config.seed,
    };
    let num_support_steps = tasks.num_support_steps();
    let num_traced_steps = recipe.num_traced_steps(num_support_steps);
    let mut training = Training {
        outer_loop: OuterLoop {
            learner: &classifier,
            recipe: &recipe,
            tasks: |meta: &ParamSet, index| tasks.task(meta, index),
            cost: &|index| tasks.num_wordpieces(index),
            workers: session.workers(&classifier, device, num_traced_steps),
            group,
            train: &config.train,
            outer: &config.outer,
            non_finite: NonFiniteGuard::new(config.train.non_finite),
        },
        num_support_steps,
        dev,
        recorder: match group.is_lead() {
            true => Recorder::open(run, state.progress.step, &files, &config.train, console)?,
            false => Recorder::silent(run, &files, &config.train, console),
        }
        .with_profile(profile),
        stop: &stop,
    };
    training.run(&mut state, environment.machine, changeable_settings(config))
}

fn dev_sampler(config: &RunConfig, dataset: &Dataset, domains: &[DomainId]) -> EpisodeSampler {
    let episode = config.evaluation_episode();
    let draws = evaluation_episodes(dataset, domains, &episode, config, "meta-dev episodes");
    with_dev_query(draws, config)
}

fn source(config: &RunConfig, texts: TrainingTexts) -> Source {
    let TrainingTexts { dataset, split, corpus } = texts;
    if config.recipe().trains_on(Tasks::Episodes) {
        return Source::Episodes(meta_train_episodes(dataset, split, config));
    }
    let domains = split.domains(Side::MetaTrain);
    let examples = domains.iter().flat_map(|&domain| corpus.examples_of(domain));
    let labels = meta_train_labels(dataset, split);
    Source::pooled(examples.copied().collect(), labels, config.inner.batch, config.seed)
}

/// The labels that training learns a row of the head for: those of the meta-train domains.
pub fn meta_train_labels(dataset: &Dataset, split: &Split) -> LabelSet {
    let sets = dataset.label_sets();
    let domains = split.domains(Side::MetaTrain).iter();
    domains.flat_map(|&domain| sets[domain as usize].ids().to_vec()).collect()
}
