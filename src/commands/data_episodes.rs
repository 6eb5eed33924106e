//! `metabert data episodes`.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::checkpoint::intact_model;
use super::eval::EVALUATION_DRAWS;
use super::eval::texts::{chosen_domains, held_out};
use super::loading::OpenedModel;
use super::output::end_of_stdout;
use super::session::Session;
use super::texts;
use crate::checks::Invalid;
use crate::cli::EpisodesArgs;
use crate::config::RunConfig;
use crate::data::{Dataset, Episode, EpisodeSampler, ExampleId, QuerySize, Side, check_sizes};
use crate::meta::Tasks;

/// One line of output.
#[derive(Serialize)]
struct ListedEpisode<'a> {
    index: u64,
    domain: &'a str,
    /// Where these are not the labels of all domains.
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Vec<String>>,
    /// Positions in the file, as those of the query set.
    support: Vec<usize>,
    query: Vec<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unlabelled: Vec<usize>,
}

/// Runs the command.
pub fn run(args: &EpisodesArgs) -> Result<()> {
    let Some(session) = Session::begin(&args.shared, None)? else { return Ok(()) };
    match args.evaluation {
        true => evaluation_draws(args, session),
        false => training_episodes(args, session),
    }
}

/// Lists the episodes of `train`.
fn training_episodes(args: &EpisodesArgs, session: Session) -> Result<()> {
    let Session { mut config, console, .. } = session;
    let algo = config.train.algo;
    if !config.recipe().trains_on(Tasks::Episodes) {
        let reason = format!("train.algo: {algo} has no episodes; choose fomaml or reptile");
        return Err(Invalid(reason).into());
    }
    let labels = labels_of_model(&config)?;
    let (dataset, split) = texts::read_split(&mut config, labels.as_deref(), &console)?;
    check_sizes(&dataset, split.domains(Side::MetaTrain), &config.training_episode())?;
    let sampler = texts::meta_train_episodes(&dataset, &split, &config);
    let indices = args.start..args.start + args.count;
    let names_labels = dataset.label_sets_differ || config.episode.ways > 0;
    let episodes = indices.map(|index| sampler.episode(index));
    end_of_stdout(write_lines(io::stdout().lock(), &dataset, names_labels, episodes))
}

/// Lists the draws of `eval`: domain by domain for each size of the support set.
fn evaluation_draws(args: &EpisodesArgs, session: Session) -> Result<()> {
    let Session { mut config, console, .. } = session;
    if args.shared.flags.set("episode.query") {
        // Of evaluations, this setting would overrule the flag.
        config.evaluate.query = QuerySize::Count(0);
    }
    let labels = labels_of_model(&config)?;
    let dataset = texts::read_settled(&config, labels.as_deref(), &console)?;
    let domains = chosen_domains(&args.domain, &dataset, &config)?;
    let dataset =
        texts::settle_leaks(dataset.clone(), &held_out(&dataset, &domains), &config, &console)?;
    let episode = config.evaluation_episode();
    check_sizes(&dataset, &domains, &episode)?;
    let samplers = episode.each_size().into_iter().map(|episode| {
        texts::evaluation_episodes(&dataset, &domains, &episode, &config, EVALUATION_DRAWS)
    });
    let samplers: Vec<EpisodeSampler> = samplers.collect();
    let num_draws = config.evaluate.episodes;
    let draws = samplers.iter().flat_map(|sampler| {
        let of_domain = move |&domain| (0..num_draws).map(move |n| sampler.draw(domain, n));
        domains.iter().flat_map(of_domain)
    });
    end_of_stdout(write_lines(io::stdout().lock(), &dataset, dataset.label_sets_differ, draws))
}

/// The labels in the order that the head of `model.path` has them in, if it is set and has one:
/// examples are drawn label by label.
fn labels_of_model(config: &RunConfig) -> Result<Option<Vec<String>>> {
    let path = &config.model.path;
    if path.is_empty() {
        return Ok(None);
    }
    Ok(OpenedModel::open(&intact_model(Path::new(path))?)?.labels(config)?)
}

fn write_lines(
    output: impl Write,
    dataset: &Dataset,
    names_labels: bool,
    episodes: impl Iterator<Item = Episode>,
) -> io::Result<()> {
    let position_of = |&example: &ExampleId| dataset.reviews[example as usize].position;
    let positions = |examples: &[ExampleId]| examples.iter().map(position_of).collect();
    let mut output = BufWriter::new(output);
    for Episode { index, domain, labels, support, query, unlabelled } in episodes {
        let domain = dataset.domain_name(domain);
        let labels = names_labels.then(|| labels.names(&dataset.labels));
        let [support, query, unlabelled] = [&support, &query, &unlabelled].map(|it| positions(it));
        let episode = ListedEpisode { index, domain, labels, support, query, unlabelled };
        serde_json::to_writer(&mut output, &episode)?;
        output.write_all(b"\n")?;
    }
    output.flush()
}
