//! `metabert finetune`.

use std::iter;

use anyhow::{Result, bail};

use super::adapted_model::AdaptedModel;
use super::alike::{Inputs, ensure_alike};
use super::loading::OpenedModel;
use super::origin::Origin;
use super::output::{ensure_adapted_model_fits, print_result};
use super::session::Session;
use super::texts;
use crate::checks::{self, Invalid};
use crate::cli::FinetuneArgs;
use crate::config::RunConfig;
use crate::data::{Dataset, DomainId, DomainPool, EpisodeSampler, LengthStats, Sizes, check_sizes};
use crate::eval::Evaluator;
use crate::eval::cross_validation::{Kept, adapt};
use crate::eval::metrics::Scores;
use crate::meta::Recipe;
use crate::params::ParamSet;
use crate::run::console::Console;

/// Runs the command.
pub fn run(args: &FinetuneArgs) -> Result<()> {
    let session = Session::of_checkpoint(&args.shared, &args.ranks, &args.checkpoint)?;
    let Some((session, checkpoint)) = session else { return Ok(()) };
    let Session { config, console, .. } = &session;
    ensure_adapted_model_fits(&args.out, args.force, &checkpoint, &config.data.path)?;
    let opened = OpenedModel::open(&checkpoint)?;
    let labels = opened.labels(config)?;
    let dataset = texts::read_settled(config, labels.as_deref(), console)?;
    let domain = texts::named_domain(&dataset, &args.domain)?;
    opened.warn_of_seen_domains(iter::once(args.domain.as_str()), console);
    let pool = chosen_pool(args, config, &dataset, domain)?;
    let device = session.select_device()?;
    let recipe = config.evaluation_recipe();
    recipe.ensure_adapts()?;
    let unlabelled = match &args.unlabelled {
        Some(path) => {
            let expected =
                "a head that is made of the texts adapted to: --head prototypes or label-names";
            let is_read = recipe.head.is_made_of_support();
            checks::require(is_read, "--unlabelled", expected, recipe.head)?;
            texts::unlabelled_beside(path, &config.data.text_field, &dataset, &pool, console)?
        }
        None => Vec::new(),
    };
    ensure_alike(&session, device, || {
        let inputs = Inputs::default().with_dataset("data", &dataset);
        let inputs = inputs.with_model("checkpoint", opened.directory())?;
        let inputs = inputs.with_argument("--domain", &args.domain);
        match &args.unlabelled {
            Some(path) => inputs.with_file("--unlabelled", path),
            None => Ok(inputs),
        }
    })?;
    let head = opened.own_labels(&dataset, config)?;
    let model = opened.load(&head, config, Some(&recipe), device, console)?;
    let corpus = session.tokenise(&dataset, &model)?;
    let unlabelled = model.tokenizer.encode_batch(&unlabelled, config.data.max_length)?;
    let unlabelled: Vec<Vec<u32>> = unlabelled.into_iter().map(|it| it.ids).collect();
    let head_rows = model.head_rows(&dataset);
    let evaluator = session.evaluator(&model, &head_rows, &corpus, &recipe, config.safeguard)?;
    let num_folds = config.safeguard.num_folds(&pool);
    let kept = adapt_to(&evaluator, &model.params, &pool, &unlabelled, num_folds, console)?;
    if !session.group.is_lead() {
        return Ok(());
    }
    let labels = pool.labels.names(&dataset.labels);
    if kept.leaves_names_out {
        let domain = &args.domain;
        console.line(&format!(
            "{domain}: the names of labels do not belong to their texts, and are not read"
        ));
    }
    let safeguard = kept.verdict.describe(&labels);
    if !safeguard.is_empty() {
        console.line(&format!("{}: {safeguard}", args.domain));
    }
    let adapted = AdaptedModel {
        origin: &Origin::of(&args.checkpoint, &checkpoint),
        domain: &args.domain,
        pool: &pool,
        adaptation: describe(&recipe, pool.len(), unlabelled.len(), kept.leaves_names_out),
        safeguard,
        kept: &kept,
        lengths: LengthStats::of(&pool.examples_by_label.concat(), &corpus),
    };
    adapted.write(&args.out, model, &dataset, config)?;
    let estimate = kept.estimate.map_or_else(String::new, |found| {
        format!(
            "{}: accuracy {}, macro F1 {} ({}, 95 % intervals over the folds)\n",
            args.domain,
            found.accuracy,
            found.macro_f1,
            found.method()
        )
    });
    print_result(&format!("{estimate}{}\n", args.out.display()))
}

/// The texts adapted to, by label: as many as `--support` or `--support-per-label` says, or all of the domain.
fn chosen_pool(
    args: &FinetuneArgs,
    config: &RunConfig,
    dataset: &Dataset,
    domain: DomainId,
) -> Result<DomainPool> {
    let mut episode = config.evaluation_episode();
    (episode.query, episode.unlabelled) = (0, 0);
    let pool = dataset.pools(&[domain]).remove(0);
    let flags = &args.shared.flags;
    let num_examples = pool.len();
    if flags.set("episode.support_per_label") {
        one("--support-per-label", &episode.support_per_label)?;
    } else {
        let support = match flags.set("episode.support") {
            true => one("--support", &episode.support)?,
            false => num_examples,
        };
        let most = format!("1 to {num_examples}, the texts of {}", args.domain);
        checks::require(support <= num_examples, "--support", most, support)?;
        (episode.support, episode.support_per_label) = (support.into(), 0.into());
    }
    check_sizes(dataset, &[domain], &episode)?;
    let sampler =
        EpisodeSampler::new(&episode, vec![pool.clone()], config.seed, "finetune support");
    let pool = match sampler.num_support() == num_examples {
        true => pool,
        false => pool.only(&sampler.draw(domain, 0).support),
    };
    // A label that is needed in every support set is in that of every fold.
    let pool = if episode.every_label { pool.with_own_labels() } else { pool };
    if !flags.set("safeguard.folds") {
        return Ok(pool);
    }
    let (folds, most) = (config.safeguard.folds, pool.num_tested_by_folds());
    let most = match most {
        0 => "0, since no label has two texts".to_owned(),
        most => format!("0, or 2 to {most}, the texts of labels with more than one"),
    };
    let fits = folds != 1 && folds <= pool.num_tested_by_folds();
    checks::require(fits, "--folds", most, folds)?;
    Ok(pool)
}

/// The adaptation in words.
fn describe(
    recipe: &Recipe,
    num_texts: usize,
    num_unlabelled: usize,
    leaves_names_out: bool,
) -> String {
    let mut text = recipe.describe(recipe.visit.num_steps(num_texts));
    if num_unlabelled > 0 {
        text += &format!(", which {num_unlabelled} texts without labels help to make");
    }
    if leaves_names_out {
        text += "; the names of labels were not read, since they do not belong to the texts";
    }
    text
}

/// The only one of some sizes.
fn one(flag: &str, sizes: &Sizes) -> Result<usize, Invalid> {
    sizes.one().ok_or_else(|| Invalid(format!("{flag}: expected one number, found {sizes}")))
}

/// The weights adapted to all texts of the pool, safeguarded by folds of it.
fn adapt_to(
    evaluator: &Evaluator,
    params: &ParamSet,
    pool: &DomainPool,
    unlabelled: &[Vec<u32>],
    num_folds: usize,
    console: &Console,
) -> Result<Kept> {
    if num_folds > 0 {
        console.begin_evaluation(num_folds as u64);
    }
    let on_fold = |scores: Scores| console.evaluated_draw(scores.accuracy, scores.macro_f1);
    let kept = adapt(evaluator, params, pool, unlabelled, num_folds, on_fold, || {
        console.end_evaluation();
        console.begin_episode(evaluator.builder.recipe.visit.num_steps(pool.len()));
    });
    // A fold that failed has left its bar.
    console.end_evaluation();
    let kept = kept?;
    if let Some(name) = kept.weights.first_non_finite()? {
        let domain = &pool.name;
        bail!("adapting to {domain} gave a value that is not finite in `{name}`; lower inner.lr");
    }
    Ok(kept)
}
