//! `metabert data episodes`.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::checkpoint::ensure_unaltered;
use super::loading::OpenedModel;
use super::output::end_of_stdout;
use super::session::Session;
use super::texts;
use crate::checks::Invalid;
use crate::cli::EpisodesArgs;
use crate::config::RunConfig;
use crate::data::{Dataset, Episode, ExampleId, Side, check_sizes};
use crate::meta::Tasks;

/// One line of output.
#[derive(Serialize)]
struct ListedEpisode<'a> {
    index: u64,
    domain: &'a str,
    /// Positions in the file, as those of the query set.
    support: Vec<usize>,
    query: Vec<usize>,
}

/// Runs the command.
pub fn run(args: &EpisodesArgs) -> Result<()> {
    let Some(Session { mut config, console }) = Session::begin(&args.shared, None)? else {
        return Ok(());
    };
    let algo = config.train.algo;
    if !config.recipe().trains_on(Tasks::Episodes) {
        let reason = format!("train.algo: {algo} has no episodes; choose fomaml or reptile");
        return Err(Invalid(reason).into());
    }
    let labels = labels_of_model(&config)?;
    let (dataset, split) = texts::read_split(&mut config, labels.as_deref(), &console)?;
    let (support, query) = (config.episode.support, config.episode.query);
    check_sizes(&dataset, split.domains(Side::MetaTrain), support, query)?;
    let sampler = texts::meta_train_episodes(&dataset, &split, &config);
    let indices = args.start..args.start + args.count;
    let episodes = indices.map(|index| sampler.episode(index));
    end_of_stdout(write_lines(io::stdout().lock(), &dataset, episodes))
}

/// The labels in the order that training from `model.path` has them in, if it is set and has one:
/// examples are drawn label by label.
fn labels_of_model(config: &RunConfig) -> Result<Option<Vec<String>>> {
    let path = &config.model.path;
    if path.is_empty() {
        return Ok(None);
    }
    ensure_unaltered(Path::new(path))?;
    Ok(OpenedModel::open(Path::new(path))?.labels(config)?)
}

fn write_lines(
    output: impl Write,
    dataset: &Dataset,
    episodes: impl Iterator<Item = Episode>,
) -> io::Result<()> {
    let position_of = |&example: &ExampleId| dataset.reviews[example as usize].position;
    let positions = |examples: &[ExampleId]| examples.iter().map(position_of).collect();
    let mut output = BufWriter::new(output);
    for Episode { index, domain, support, query } in episodes {
        let domain = dataset.domain_name(domain);
        let (support, query) = (positions(&support), positions(&query));
        serde_json::to_writer(&mut output, &ListedEpisode { index, domain, support, query })?;
        output.write_all(b"\n")?;
    }
    output.flush()
}
