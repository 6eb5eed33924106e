//! `metabert model align`.

use anyhow::{Context, Result, bail};
use tch::{Device, TchError};

use super::checkpoint;
use super::loading::precision;
use super::output::{ensure_adapted_model_fits, print_result};
use super::session::Session;
use super::texts;
use crate::checks::{self, Invalid};
use crate::cli::AlignArgs;
use crate::config::RunConfig;
use crate::data::batch::{AttentionLayout, Batch};
use crate::data::{Corpus, ExampleId, Minibatches, TextTokenizer};
use crate::files::atomic::write_directory;
use crate::model::{Classifier, ModelDirectory, Pooling, pretrained};
use crate::params::{ParamSet, Region};
use crate::run::manifest;
use crate::seed;
use crate::train::Alignment;

/// One text in so many is held out.
const HELD_OUT: usize = 20;
/// The first pooler is fitted to at most so many texts.
const FITTED_TEXTS: usize = 4_000;

/// Runs the command.
pub fn run(args: &AlignArgs) -> Result<()> {
    let path = checkpoint::intact_model(&args.model)?;
    let Some(session) = Session::begin(&args.shared, None)? else { return Ok(()) };
    let Session { config, console, .. } = &session;
    ensure_adapted_model_fits(&args.out, args.force, &path, &config.data.path)?;
    let directory = ModelDirectory::open(&path)?;
    check(args, config, &directory)?;
    let dataset = texts::read(config, None)?;
    let count = dataset.reviews.len();
    let expected = format!("at least {HELD_OUT} texts");
    checks::require(count >= HELD_OUT, dataset.path.display(), expected, count)?;

    let device = session.select_device()?;
    let weights = directory.read_weights()?;
    let num_labels = weights.num_head_labels();
    let pooled_by = |pooling| {
        let precision = precision(config, device);
        Classifier::new(directory.config(), pooling, num_labels.unwrap_or(2), precision)
    };
    let load = |classifier: &Classifier| -> Result<ParamSet> {
        Ok(weights.load(classifier, config.seed)?.0.to_device(device)?)
    };
    let (teacher, student) = (pooled_by(Pooling::Mean), pooled_by(Pooling::Cls));
    let (teacher_params, start) = (&load(&teacher)?, load(&student)?);
    let alignment = Alignment { teacher: &teacher, teacher_params, student: &student };

    let tokenizer = TextTokenizer::open(directory.encoder_path())?;
    let corpus = Corpus::new(&dataset, &tokenizer, config.data.max_length)?;
    let (held_out, learnt_from) = split(count, config.seed);
    let held_out: Vec<Batch> = held_out
        .chunks(args.batch)
        .map(|examples| batch(&corpus, examples, device))
        .collect::<Result<_, _>>()?;
    let order = seed::derive(config.seed, "alignment order", 0);
    let minibatches = Minibatches::new(learnt_from, args.batch, order);
    let before = alignment.mean_cosine(&start, &held_out)?;
    let sample = (0..FITTED_TEXTS.div_ceil(args.batch).min(minibatches.num_in_epoch()))
        .map(|step| batch(&corpus, &minibatches.minibatch(step), device))
        .collect::<Result<Vec<_>, _>>()?;
    let start = alignment.fitted(&start, &sample)?;
    let fitted = alignment.mean_cosine(&start, &held_out)?;
    console.line(&format!(
        "mean cosine {fitted:.4} with a pooler fitted to {FITTED_TEXTS} texts at most"
    ));
    let num_held_out = count / HELD_OUT;
    let texts = format!("{} texts, {num_held_out} held out", count - num_held_out);
    console.line(&format!("aligning in {} steps on {texts}", args.steps));
    let aligned = alignment.run(&start, (args.steps, args.lr), |step| {
        batch(&corpus, &minibatches.minibatch(step as usize), device)
    })?;
    if let Some(name) = aligned.first_non_finite()? {
        bail!("aligning gave a value that is not finite in `{name}`; lower --lr");
    }
    let after = alignment.mean_cosine(&aligned, &held_out)?;

    // A head that nobody trained is not worth keeping.
    let labels = num_labels.map_or(Vec::new(), |count| directory.labels_or_placeholders(count));
    let kept = aligned.select(|slot| slot.region != Region::Head || num_labels.is_some());
    write_directory(&args.out, |dir| -> Result<()> {
        let max_length = config.data.max_length;
        pretrained::save(dir, &kept, directory.config_json(), &labels, max_length)?;
        tokenizer.save_into(dir, max_length)?;
        Ok(manifest::write(dir)?)
    })
    .with_context(|| format!("{}: cannot be written", args.out.display()))?;
    print_result(&format!(
        "mean cosine on {num_held_out} held-out texts: {before:.4} before, {after:.4} after\n{}\n",
        args.out.display()
    ))
}

fn check(args: &AlignArgs, config: &RunConfig, directory: &ModelDirectory) -> Result<(), Invalid> {
    checks::within("--steps", args.steps, 1..=u64::MAX)?;
    checks::within("--batch", args.batch as u64, 1..=u64::MAX)?;
    checks::positive("--lr", args.lr)?;
    let (path, pooling) = (directory.path().display(), directory.pooling());
    let expected = "a model with pooling mean: a directory of sentence_transformers";
    checks::require(pooling == Pooling::Mean, &path, expected, format!("pooling {pooling}"))?;
    let (length, positions) = (config.data.max_length, directory.config().max_position_embeddings);
    let expected = format!("at most {positions}, the positions of {path}");
    checks::require(length as i64 <= positions, "data.max_length", expected, length)
}

/// The examples held out, and the others.
fn split(count: usize, run_seed: u64) -> (Vec<ExampleId>, Vec<ExampleId>) {
    let mut examples: Vec<ExampleId> = (0..count as ExampleId).collect();
    seed::shuffle(&mut seed::rng(run_seed, "alignment texts", 0), &mut examples);
    let others = examples.split_off(count / HELD_OUT);
    (examples, others)
}

fn batch(corpus: &Corpus, examples: &[ExampleId], device: Device) -> Result<Batch, TchError> {
    let texts: Vec<&[u32]> = examples.iter().map(|&id| corpus.tokens_of(id)).collect();
    let labels: Vec<u32> = examples.iter().map(|&id| corpus.label_of(id)).collect();
    Batch::pack(&texts, &labels, AttentionLayout::for_device(device), device)
}
