//! `metabert finetune`.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::loading::{LoadedModel, OpenedModel};
use super::output::{ensure_model_fits, print_result};
use super::session::Session;
use super::texts;
use crate::checks::{self, Invalid};
use crate::cli::FinetuneArgs;
use crate::config::RunConfig;
use crate::data::{Corpus, Dataset, DomainId, DomainPool, EpisodeSampler, ExampleId};
use crate::eval::cross_validation::{CrossValidation, adapt, cross_validate};
use crate::eval::model_card::ModelCard;
use crate::files::atomic::write_directory;
use crate::meta::Recipe;
use crate::params::ParamSet;
use crate::run::checkpoint::ModelFiles;
use crate::run::manifest;

/// Runs the command.
pub fn run(args: &FinetuneArgs) -> Result<()> {
    let Some((session, checkpoint)) = Session::of_checkpoint(&args.shared, &args.checkpoint)?
    else {
        return Ok(());
    };
    let Session { config, console } = &session;
    ensure_model_fits(&args.out, args.force, &[&checkpoint, Path::new(&config.data.path)])?;
    let opened = OpenedModel::open(&checkpoint)?;
    let labels = opened.labels(config)?;
    let dataset = texts::read_settled(config, labels.as_deref(), console)?;
    let domain = texts::named_domain(&dataset, &args.domain)?;
    let support = num_support(args, config, &dataset, domain)?;
    let device = session.select_device()?;
    let model = opened.load(&dataset.labels, config, device, console)?;
    let corpus = session.tokenise(&dataset, &model)?;
    let pool = chosen_pool(&dataset, domain, support, config);
    let recipe = config.evaluation_recipe();
    let (adapted, estimate) = adapt_to(&session, &model, &corpus, &pool, &recipe, args.folds)?;
    let card = ModelCard {
        domain: &args.domain,
        origin: &args.checkpoint,
        dataset: &dataset,
        label_counts: pool.examples_by_label.iter().map(Vec::len).collect(),
        adaptation: recipe.describe(recipe.visit.num_steps(pool.len())),
        max_length: config.data.max_length,
        seed: config.seed,
        estimate: estimate.as_ref(),
    };
    write(&args.out, model, &adapted, config, &card)?;
    let estimate = estimate.map_or_else(String::new, |found| {
        format!(
            "{}: accuracy {}, macro F1 {} ({}-fold cross-validation, 95 % intervals over the folds)\n",
            args.domain, found.accuracy, found.macro_f1, args.folds
        )
    });
    print_result(&format!("{estimate}{}\n", args.out.display()))
}

/// How many texts are adapted to: as many as `--support` says, or all of the domain.
fn num_support(
    args: &FinetuneArgs,
    config: &RunConfig,
    dataset: &Dataset,
    domain: DomainId,
) -> Result<usize, Invalid> {
    let num_examples = dataset.domain_sizes()[domain as usize];
    let support = match args.shared.flags.set("episode.support") {
        true => config.episode.support,
        false => num_examples,
    };
    let most = format!("1 to {num_examples}, the texts of {}", args.domain);
    checks::require(support <= num_examples, "--support", most, support)?;
    let (folds, most) = (args.folds, format!("0, or 2 to {support}, the texts adapted to"));
    checks::require(folds != 1 && folds <= support, "--folds", most, folds)?;
    Ok(support)
}

/// The texts adapted to, by label.
fn chosen_pool(
    dataset: &Dataset,
    domain: DomainId,
    support: usize,
    config: &RunConfig,
) -> DomainPool {
    let pool = dataset.pools(&[domain]).remove(0);
    if support == pool.len() {
        return pool;
    }
    let mut episode = config.episode.clone();
    (episode.support, episode.query) = (support, 0);
    let name = pool.name.clone();
    let sampler = EpisodeSampler::new(&episode, vec![pool], config.seed, "finetune support");
    let chosen = sampler.draw(domain, 0).support.into_iter();
    let label_of = |example: ExampleId| dataset.reviews[example as usize].label;
    DomainPool::new(domain, &name, chosen.map(|example| (example, label_of(example))))
}

/// The weights adapted to all texts of the pool, and with folds an estimate of their quality.
fn adapt_to(
    session: &Session,
    model: &LoadedModel,
    corpus: &Corpus,
    pool: &DomainPool,
    recipe: &Recipe,
    num_folds: usize,
) -> Result<(ParamSet, Option<CrossValidation>)> {
    let console = &session.console;
    let evaluator = &session.evaluator(model, corpus, recipe);
    let estimate = (num_folds > 0).then(|| {
        console.begin_evaluation(num_folds as u64);
        let found = cross_validate(evaluator, &model.params, pool, num_folds, |scores| {
            console.evaluated_draw(scores.accuracy, scores.macro_f1);
        });
        console.end_evaluation();
        found
    });
    let estimate = estimate.transpose()?;
    let mut examples: Vec<u32> = pool.examples_by_label.concat();
    examples.sort_unstable();
    console.begin_episode(recipe.visit.num_steps(examples.len()));
    let adapted = adapt(evaluator, &model.params, &examples, &pool.name)?;
    if let Some(name) = adapted.first_non_finite()? {
        let domain = &pool.name;
        bail!("adapting to {domain} gave a value that is not finite in `{name}`; lower inner.lr");
    }
    Ok((adapted, estimate))
}

/// Writes the adapted model as a directory of its own.
fn write(
    out: &Path,
    model: LoadedModel,
    adapted: &ParamSet,
    config: &RunConfig,
    card: &ModelCard,
) -> Result<()> {
    let card = card.render(out, &model.labels);
    let files = ModelFiles {
        config_json: model.directory.config_json().clone(),
        labels: model.labels,
        tokenizer: model.tokenizer,
        settings: config.to_toml(),
        provenance: None,
    };
    write_directory(out, |dir| -> Result<()> {
        files.write(dir, adapted)?;
        // Before the card, which people edit.
        manifest::write(dir)?;
        Ok(std::fs::write(dir.join("README.md"), &card)?)
    })
    .with_context(|| format!("{}: cannot be written", out.display()))
}
