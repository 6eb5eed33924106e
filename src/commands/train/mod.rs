//! `metabert train`.

mod assembly;
pub mod checks;
mod files;
mod locking;
mod resume;
mod signals;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};

use self::assembly::TrainingTexts;
use super::alike::{Inputs, ensure_alike};
use super::best_known;
use super::checkpoint::starting_model;
use super::error::Interrupted;
use super::exchange::connect_gpus;
use super::group;
use super::loading::OpenedModel;
use super::output::print_result;
use super::session::Session;
use super::texts;
use crate::cli::{Resume, TrainArgs};
use crate::data::{Side, check_sizes};
use crate::machine::{Profile, observe};
use crate::run::lock::RunLock;
use crate::run::{RunDirectory, StartingPoint};
use crate::train::Outcome;

/// Runs the command.
pub fn run(args: &TrainArgs) -> Result<()> {
    let Some(group) = group::join(&args.ranks, args.shared.print_config)? else { return Ok(()) };
    let run = RunDirectory::at(args.run_dir.as_deref().unwrap_or(Path::new("")));
    let resumes = match args.resume {
        None => false,
        Some(Resume::Always) => true,
        Some(Resume::Auto) => run.config_file().exists(),
    };
    // The first process may be about to make the run.
    let resumes = group.of_lead(resumes)?;
    let mut lock = None;
    if resumes && !args.shared.print_config {
        resume::ensure_resumable(&run)?;
        lock = group.is_lead().then(|| RunLock::acquire(&run)).transpose()?;
    }
    let before = resumes.then(|| resume::stored_config(&run)).transpose()?;
    let session = match &before {
        Some(before) => Session::begin(&args.shared, Some(before.clone()))?,
        None => best_known::begin(&args.shared, group.is_lead())?,
    };
    let Some(session) = session else { return Ok(()) };
    let is_lead = group.is_lead();
    let mut session = session.of_group(group, &args.ranks);
    let start = if !is_lead {
        StartingPoint::Beginning
    } else if resumes {
        resume::starting_point(&run, &session.console)?
    } else {
        run.ensure_free(args.force)?;
        checks::ensure_replaceable(&run, &session.config)?;
        lock = run.is_in_use().then(|| RunLock::acquire(&run)).transpose()?;
        StartingPoint::Beginning
    };
    let opened = OpenedModel::open(&starting_model(&session.config)?)?;
    let labels = opened.labels(&session.config)?;
    let (dataset, split) =
        texts::read_split(&mut session.config, labels.as_deref(), &session.console)?;
    let Session { config, console, .. } = &session;
    checks::check_domain_sizes(&dataset, &split, config, split.domains(Side::MetaDev))?;
    // While there is time.
    let low_resource = split.domains(Side::LowResource);
    if let Err(error) = check_sizes(&dataset, low_resource, &config.evaluation_episode()) {
        console.line(&format!("warning: `eval` with these settings will refuse: {error}"));
    }
    let held_out = [Side::MetaDev, Side::LowResource].map(|side| split.domains(side)).concat();
    opened.warn_of_seen_domains(held_out.iter().map(|&it| dataset.domain_name(it)), console);
    if let Some(before) = &before {
        resume::ensure_same_settings(&run, before, config, console)?;
    }
    let device = session.select_device()?;
    let environment = files::environment(&session, &dataset, &split, opened.directory(), device)?;
    if resumes {
        resume::ensure_same_inputs(&run, &environment)?;
    }
    let head = assembly::meta_train_labels(&dataset, &split).names(&dataset.labels);
    let model = opened.load(&head, config, Some(&config.recipe()), device, console)?;
    let profile = args.profile.then(|| Arc::new(Profile::new(device)));
    observe(profile.clone(), console.on_forward());
    let corpus = session.tokenise(&dataset, &model)?;

    let inputs = || {
        let by = format!("{:?}", args.exchange.exchange).to_lowercase();
        let inputs = Inputs::default().with_argument("--exchange", by);
        inputs.with_dataset("data", &dataset).with_model("model", &model.directory)
    };
    ensure_alike(&session, device, inputs)?;
    checks::warn_of_idle_processes(&session);
    connect_gpus(&session, device, args.exchange)?;
    // Nothing has been written before this line: all faults of the input have been reported.
    let _lock = match is_lead {
        true => {
            let lock = lock.map_or_else(|| locking::lock_new(&run), Ok)?;
            locking::warn_unless_enforced(&lock, &run, console);
            files::prepare_directory(&run, config, (!resumes).then_some(&environment))
                .with_context(|| format!("{}: cannot be written", run.path().display()))?;
            Some(lock)
        }
        false => None,
    };
    let texts = TrainingTexts { dataset: &dataset, split: &split, corpus: &corpus };
    let outcome =
        assembly::train(&session, &run, texts, model, start, environment, profile.clone())
            .map_err(|error| resume::advise(error, &run, config.train.non_finite))?;
    if let Some(profile) = &profile {
        console.line(&profile.table());
    }
    match outcome {
        Outcome::Interrupted(signal) => {
            let resume = is_lead.then(|| resume::command_to_resume(&run));
            Err(Interrupted { signal, resume }.into())
        }
        _ if !is_lead => Ok(()),
        Outcome::Completed | Outcome::EarlyStopping => {
            console.line(&format!("for a report: {}", resume::command_to_report(&run)));
            print_result(&format!("{}\n", RunDirectory::resolve(run.path())?.display()))
        }
    }
}
