//! `metabert finetune`.

use std::path::Path;

use anyhow::{Context, Result};

use super::loading::{LoadedModel, OpenedModel};
use super::model_card::{ModelCard, render};
use super::{InputError, print_result, settings, texts};
use crate::cli::FinetuneArgs;
use crate::config::RunConfig;
use crate::data::{Dataset, DomainId, DomainPool, EpisodeSampler, ExampleId};
use crate::eval::Evaluator;
use crate::eval::cross_validation::{adapt, cross_validate};
use crate::files::atomic::{ensure_writable, write_directory};
use crate::machine::observe;
use crate::run::checkpoint::ModelFiles;
use crate::run::console::Console;
use crate::run::manifest;
use crate::run::output::{ensure_free, ensure_replaceable_model};
use crate::tasks::TaskBuilder;

/// Runs the command.
pub fn run(args: &FinetuneArgs) -> Result<()> {
    let checkpoint = settings::resolve_checkpoint(&args.checkpoint)?;
    let stored = settings::stored_settings(&checkpoint)?;
    let Some(config) = settings::configure(&args.shared, stored, args.flags())? else {
        return Ok(());
    };
    let console = Console::new(args.shared.quiet, args.shared.verbose);
    ensure_free(&args.out, args.force)?;
    ensure_writable(&args.out)
        .map_err(|error| InputError(format!("{}: {error}", args.out.display())))?;
    ensure_replaceable_model(&args.out, &[&checkpoint, Path::new(&config.data.path)])
        .map_err(InputError)?;
    let opened = OpenedModel::open(&checkpoint)?;
    let labels = opened.labels(&config)?;
    let dataset = texts::read_settled(&config, labels.as_deref(), &console)?;
    let domain = texts::named_domain(&dataset, &args.domain)?;
    let support = num_support(args, &dataset, domain)?;
    let device = settings::select_device(&config, &console)?;
    let model = opened.load(&dataset.labels, &config, device, &console)?;
    let corpus = texts::tokenise(&dataset, &model, &config, &console)?;
    let LoadedModel { directory, classifier, params, labels, tokenizer } = model;
    let pool = chosen_pool(&dataset, domain, support, &config);

    let recipe = config.evaluation_recipe();
    observe(None, console.on_forward());
    let num_parameters = classifier.layout().num_parameters();
    let evaluator = Evaluator {
        builder: TaskBuilder { classifier: &classifier, recipe: &recipe, corpus: &corpus, device },
        run_seed: config.seed,
        workers: settings::workers(&config, device, num_parameters),
    };
    let estimate = (args.folds > 0)
        .then(|| {
            console.begin_evaluation(args.folds as u64);
            let found = cross_validate(&evaluator, &params, &pool, args.folds, |scores| {
                console.evaluated_draw(scores.accuracy, scores.macro_f1);
            });
            console.end_evaluation();
            found
        })
        .transpose()?;
    let mut examples: Vec<u32> = pool.examples_by_label.concat();
    examples.sort_unstable();
    console.begin_episode(recipe.visit.num_steps(examples.len()));
    let adapted = adapt(&evaluator, &params, &examples, &args.domain)?;
    if let Some(name) = adapted.first_non_finite()? {
        anyhow::bail!(
            "adapting to {} gave a value that is not finite in `{name}`; lower inner.lr",
            args.domain
        );
    }

    let card = ModelCard {
        domain: &args.domain,
        origin: &args.checkpoint,
        dataset: &dataset,
        labels: &labels,
        label_counts: pool.examples_by_label.iter().map(Vec::len).collect(),
        recipe: &recipe,
        num_steps: recipe.visit.num_steps(examples.len()),
        max_length: config.data.max_length,
        seed: config.seed,
        estimate: estimate.as_ref(),
    };
    let card = render(&card, &args.out);
    let files = ModelFiles {
        config_json: directory.config_json().clone(),
        labels,
        tokenizer,
        settings: config.to_toml(),
        provenance: None,
    };
    write_directory(&args.out, |dir| -> Result<()> {
        files.write(dir, &adapted)?;
        // The card is made to be edited.
        manifest::write(dir)?;
        Ok(std::fs::write(dir.join("README.md"), &card)?)
    })
    .with_context(|| format!("{}: cannot be written", args.out.display()))?;
    let mut out = String::new();
    if let Some(found) = &estimate {
        out = format!(
            "{}: accuracy {}, macro F1 {} ({}-fold cross-validation, mean ± 95 % interval)\n",
            args.domain, found.accuracy, found.macro_f1, args.folds
        );
    }
    print_result(&format!("{out}{}\n", args.out.display()))
}

/// How many texts are adapted to: all of the domain, or as many as were asked for.
fn num_support(
    args: &FinetuneArgs,
    dataset: &Dataset,
    domain: DomainId,
) -> Result<usize, InputError> {
    let num_examples = dataset.domain_sizes()[domain as usize];
    let support = args.episode.support.unwrap_or(num_examples);
    if support > num_examples || support == 0 {
        return Err(InputError(format!(
            "--support: expected 1 to {num_examples}, the texts of {}, found {support}",
            args.domain
        )));
    }
    if args.folds == 1 || args.folds > support {
        return Err(InputError(format!(
            "--folds: expected 0, or 2 to {support}, the texts adapted to, found {}",
            args.folds
        )));
    }
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
