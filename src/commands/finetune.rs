//! `metabert finetune`.

use anyhow::{Context, Result};

use super::InputError;
use super::eval::named_domain;
use super::model_card::{ModelCard, render};
use super::setup::{self, LoadedModel};
use crate::cli::FinetuneArgs;
use crate::data::EpisodeSampler;
use crate::run::checkpoint::ModelFiles;
use crate::run::console::Console;
use crate::run::directory::{ensure_free, write_directory_atomically};
use crate::train::finetune::{adapt, cross_validate};
use crate::train::{Evaluator, TaskBuilder, TextLearner};

/// Runs the command.
pub fn run(args: &FinetuneArgs) -> Result<()> {
    let checkpoint = setup::resolve_checkpoint(&args.checkpoint)?;
    let flags = args.flags();
    let Some(config) = setup::configure(&args.shared, flags, Some(&checkpoint))? else {
        return Ok(());
    };
    let console = Console::new(args.shared.quiet, args.shared.verbose);
    ensure_free(&args.out, args.force)?;
    let labels = setup::head_labels(&checkpoint)?.unwrap_or_default();
    let dataset = setup::read_dataset(&config, &labels)?;
    let domain = named_domain(&dataset, &args.domain)?;
    let num_examples = dataset.domain_sizes()[domain as usize];
    let support = args.episode.support.unwrap_or(num_examples);
    if support > num_examples {
        return Err(InputError(format!(
            "--support: expected at most {num_examples}, the examples of {}, found {support}",
            args.domain
        ))
        .into());
    }
    if args.folds == 1 || args.folds > support {
        return Err(InputError(format!(
            "--folds: expected 0 or 2 to {support}, the texts adapted to, found {}",
            args.folds
        ))
        .into());
    }
    let device = setup::select_device(&config, &console)?;
    let model = setup::load_model(&checkpoint, &dataset.labels, &config, device, &console)?;
    let LoadedModel { directory, classifier, params, labels, tokenizer } = model;
    let corpus = setup::tokenise(&dataset, &tokenizer, &config, &console)?;
    let mut pool = setup::pools(&dataset, &corpus, &[domain]).remove(0);
    if support < num_examples {
        let mut episode = config.episode.clone();
        (episode.support, episode.query) = (support, 0);
        let sampler =
            EpisodeSampler::new(&episode, vec![pool.clone()], config.seed, "finetune support");
        let chosen = sampler.draw(domain, 0).support;
        pool = crate::data::DomainPool::new(
            domain,
            &args.domain,
            chosen.into_iter().map(|example| (example, corpus.label_of(example))),
        );
    }

    let inner = config.evaluation_inner();
    let learner = TextLearner::new(&classifier, || console.tick());
    let evaluator = Evaluator {
        learner: &learner,
        builder: TaskBuilder { corpus: &corpus, inner: &inner, device },
        run_seed: config.seed,
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
    console.begin_episode(inner.num_steps(examples.len()));
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
        inner: &inner,
        num_steps: inner.num_steps(examples.len()),
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
    };
    write_directory_atomically(&args.out, |dir| -> Result<()> {
        files.write(dir, &adapted)?;
        Ok(std::fs::write(dir.join("README.md"), &card)?)
    })
    .with_context(|| format!("{}: cannot be written", args.out.display()))?;
    if let Some(found) = &estimate {
        println!(
            "{}: accuracy {}, macro F1 {} ({}-fold cross-validation, mean ± 95 % interval)",
            args.domain, found.accuracy, found.macro_f1, args.folds
        );
    }
    println!("{}", args.out.display());
    Ok(())
}
