//! `metabert tune`: a search in two levels. Few trainings with different settings; many ways to adapt each of them, by
//! successive halving. Only meta-dev domains are scored on, with the same draws for all.

mod children;
mod halving;
mod journal;
mod recipe;
mod scorer;
mod search;
mod space;
mod training;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use self::children::Children;
use self::halving::Halving;
use self::journal::Journal;
use self::scorer::Scorer;
use self::search::{Best, Search};
use self::space::as_json;
use super::best_known;
use super::checkpoint::starting_model;
use super::loading::OpenedModel;
use super::texts;
use crate::checks::{self, Invalid};
use crate::cli::TuneArgs;
use crate::config::RunConfig;
use crate::data::{Dataset, DomainId, Side, Split};
use crate::files::atomic::make_directory;
use crate::run::environment::model_sha256;
use crate::run::output::ensure_free;

/// The file that makes a directory one of a search.
const JOURNAL_FILE: &str = "journal.jsonl";
/// Rounds of the halving of a training's adaptations.
const MAX_ROUNDS: usize = 3;

/// Runs the command.
pub fn run(args: &TuneArgs) -> Result<()> {
    let started = Instant::now();
    let Some(mut session) = best_known::begin(&args.shared, true)? else { return Ok(()) };
    checks::within("--trials", args.trials as u64, 1..=1_000)?;
    checks::within("--adaptations", args.adaptations as u64, 1..=1_000)?;
    let opened = OpenedModel::open(&starting_model(&session.config)?)?;
    let labels = opened.labels(&session.config)?;
    let (dataset, split) =
        texts::read_split(&mut session.config, labels.as_deref(), &session.console)?;
    let inputs = inputs(&session.config, args, &dataset, model_sha256(opened.directory())?);
    let dev = meta_dev_alone(dataset, &split)?;
    if let Some(time) = args.time {
        session.config.train.time_s = time / 2.0 / args.trials as f64;
    }
    let has_own_head = labels.is_some();
    drop(opened);
    let device = session.select_device()?;
    let scorer = Scorer::new(&session, &dev, device)?;

    let directory = args.run_dir.as_deref().unwrap_or(Path::new(""));
    let journal = directory.join(JOURNAL_FILE);
    if !journal.exists() {
        ensure_free(directory, false)?;
    }
    make_directory(directory)?;
    let journal = Journal::open(&journal, inputs)?;
    let trainings =
        space::trainings(&session.config, dev.label_sets_differ, has_own_head, args.trials);
    let deadline = args.time.map(|time| started + Duration::from_secs_f64(time));
    let first_draws = session.config.evaluate.dev_episodes;
    let mut search = Search {
        session: &session,
        directory,
        scorer,
        halving: Halving { first_draws, max_rounds: MAX_ROUNDS },
        children: Children::new()?,
        journal,
        deadline,
        adaptations: Vec::new(),
    };
    let mut best: Option<Best> = None;
    for (number, settings) in trainings.iter().enumerate() {
        let Some(found) =
            search.training(number, settings, (args.adaptations, dev.label_sets_differ))?
        else {
            continue;
        };
        // Scores on more draws say more.
        let rank = |it: &Best| (it.winner.draws, -it.winner.score);
        if best.as_ref().is_none_or(|best| rank(&found) > rank(best)) {
            best = Some(found);
        }
    }
    let Some(best) = best else {
        bail!("no training was adapted and scored: see the messages above, or allow more time");
    };
    search.conclude(&best, &trainings)
}

/// All that decides what a search finds, for its journal.
fn inputs(
    config: &RunConfig,
    args: &TuneArgs,
    dataset: &Dataset,
    model: BTreeMap<String, String>,
) -> BTreeMap<String, Value> {
    // Where the work is done decides nothing.
    const ELSEWHERE: [&str; 5] = ["data.path", "model.path", "device", "threads", "workers"];
    let settings =
        config.entries().into_iter().filter(|(key, _)| !ELSEWHERE.contains(&key.as_str()));
    let settings = as_json(&settings.collect());
    let given = [
        ("--trials", json!(args.trials)),
        ("--adaptations", json!(args.adaptations)),
        ("--time", json!(args.time)),
        ("metabert", json!(env!("CARGO_PKG_VERSION"))),
        ("the dataset", json!(dataset.sha256)),
        ("the model", json!(model)),
    ];
    settings.into_iter().chain(given.map(|(key, value)| (key.to_owned(), value))).collect()
}

/// The meta-dev domains and nothing else: a search cannot read what it has not.
fn meta_dev_alone(dataset: Dataset, split: &Split) -> Result<Dataset, Invalid> {
    let dev: BTreeSet<DomainId> = split.domains(Side::MetaDev).iter().copied().collect();
    let expected =
        "at least one meta-dev domain to score on; set data.meta_dev or data.meta_dev_count";
    checks::require(!dev.is_empty(), dataset.path.display(), expected, "none")?;
    let all = 0..dataset.domains.len() as DomainId;
    Ok(dataset.without_domains(&all.filter(|domain| !dev.contains(domain)).collect()))
}
