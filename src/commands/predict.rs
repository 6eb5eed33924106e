//! `metabert predict`.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Map, Value};

use super::loading::{LoadedModel, OpenedModel};
use super::predict_input::Source;
use super::{InputError, settings};
use crate::cli::PredictArgs;
use crate::eval::predict::{argmax, logits, probabilities};
use crate::files::atomic::AtomicFile;
use crate::machine::Workers;
use crate::model::PretrainedError;
use crate::run::OutputExists;
use crate::run::console::Console;

/// One line of output.
#[derive(Serialize)]
struct Prediction<'a> {
    text: &'a str,
    label: &'a str,
    score: f64,
    scores: Map<String, Value>,
}

/// Runs the command.
pub fn run(args: &PredictArgs) -> Result<()> {
    let checkpoint = settings::resolve_checkpoint(&args.checkpoint)?;
    let stored = settings::stored_settings(&checkpoint)?;
    let Some(mut config) = settings::configure(&args.shared, stored, args.flags())? else {
        return Ok(());
    };
    let console = Console::new(args.shared.quiet, args.shared.verbose);
    let opened = OpenedModel::open(&checkpoint)?;
    let positions = opened.directory().config().max_position_embeddings as usize;
    config.data.max_length = config.data.max_length.min(positions);
    let labels = opened.labels(&config)?.ok_or_else(|| PretrainedError::Malformed {
        path: checkpoint.join("model.safetensors"),
        reason: "the model has no classification head; adapt it with `metabert finetune` first"
            .into(),
    })?;
    let source = Source::open(&args.input)?;
    let file = is_file(&args.output).then(|| output_file(args)).transpose()?;
    let device = settings::select_device(&config, &console)?;
    let model = opened.load(&labels, &config, device, &console)?;
    let max_length = config.data.max_length;
    let workers = settings::workers(&config, device, model.classifier.layout().num_parameters());
    let truncated = match file {
        None => label_all(source, &model, (max_length, workers), io::stdout().lock())?,
        Some(mut file) => {
            // The file appears when it is complete; a run that fails leaves nothing.
            let truncated = label_all(source, &model, (max_length, workers), &mut file)?;
            file.commit()
                .with_context(|| format!("{}: cannot be written", args.output.display()))?;
            truncated
        }
    };
    if truncated > 0 {
        console.line(&format!("truncated {truncated} texts to {max_length} wordpieces"));
    }
    Ok(())
}

/// The output, if it can be one.
fn output_file(args: &PredictArgs) -> Result<AtomicFile> {
    let path = &args.output;
    if path.exists() && !path.is_file() {
        let reason = "expected a file to write, or - for stdout, found something else";
        return Err(InputError(format!("{}: {reason}", path.display())).into());
    }
    if path.exists() && !args.force {
        return Err(OutputExists { path: path.clone() }.into());
    }
    let file = AtomicFile::create(path);
    file.map_err(|error| InputError(format!("{}: {error}", path.display())).into())
}

fn is_file(argument: &Path) -> bool {
    argument != Path::new("-")
}

/// Labels window by window, in input order; returns how many texts were truncated. A reader of the
/// output that has had enough ends the work without an error.
fn label_all(
    mut source: Source,
    model: &LoadedModel,
    (max_length, workers): (usize, Workers),
    output: impl Write,
) -> Result<usize> {
    let mut output = BufWriter::new(output);
    let mut truncated = 0;
    loop {
        let texts = source.window()?;
        if texts.is_empty() {
            return Ok(truncated);
        }
        let encodings = model.tokenizer.encode_batch(&texts, max_length)?;
        truncated += encodings.iter().filter(|e| e.full_length > e.ids.len()).count();
        let ids: Vec<&[u32]> = encodings.iter().map(|encoding| encoding.ids.as_slice()).collect();
        let rows = logits(&model.classifier, &model.params, &ids, workers)
            .with_context(|| format!("{}: cannot label its texts", source.name()))?;
        if rows.iter().flatten().any(|logit| !logit.is_finite()) {
            let path = model.directory.path().display();
            return Err(InputError(format!("{path}: the model's logits are not finite")).into());
        }
        for (text, row) in texts.iter().zip(&rows) {
            let written = write_line(&mut output, text, row, &model.labels);
            match written {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(truncated),
                other => other.context("cannot write the predictions")?,
            }
        }
        match output.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(truncated),
            other => other.context("cannot write the predictions")?,
        }
    }
}

fn write_line(
    output: &mut impl Write,
    text: &str,
    logits: &[f32],
    labels: &[String],
) -> io::Result<()> {
    let probabilities = probabilities(logits);
    let best = argmax(logits) as usize;
    let scores =
        labels.iter().cloned().zip(probabilities.iter().map(|&p| Value::from(p))).collect();
    let line = Prediction { text, label: &labels[best], score: probabilities[best], scores };
    serde_json::to_writer(&mut *output, &line)?;
    output.write_all(b"\n")
}
