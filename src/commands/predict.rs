//! `metabert predict`.

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Map, Value};

use super::alike::{Inputs, ensure_alike};
use super::loading::{LoadedModel, OpenedModel};
use super::output::output_file;
use super::session::Session;
use crate::checks::{Invalid, require};
use crate::cli::PredictArgs;
use crate::data::unlabelled::Source;
use crate::eval::predict::{argmax, logits, probabilities};
use crate::params::ModelFileError;
use crate::ranks::Executor;
use crate::run::checkpoint::provenance;

/// Runs the command.
pub fn run(args: &PredictArgs) -> Result<()> {
    let session = Session::of_checkpoint(&args.shared, &args.ranks, &args.checkpoint)?;
    let Some((mut session, checkpoint)) = session else { return Ok(()) };
    let opened = OpenedModel::open(&checkpoint)?;
    let positions = opened.directory().config().max_position_embeddings as usize;
    let max_length = session.config.data.max_length.min(positions);
    session.config.data.max_length = max_length;
    let labels = opened.labels(&session.config)?.ok_or_else(|| {
        let reason =
            "the model has no classification head; adapt it with `metabert finetune` first";
        ModelFileError::new(&checkpoint.join("model.safetensors"), reason)
    })?;
    let makes_head = session.config.evaluation_recipe().makes_head();
    if makes_head && provenance(&checkpoint).is_some() {
        let head = session.config.evaluation_recipe().head;
        let problem =
            format!("its head starts from {head}; adapt it with `metabert finetune` first");
        return Err(Invalid::at(&checkpoint, problem).into());
    }
    let is_share = (0.0..=1.0).contains(&args.min_score);
    require(is_share, "--min-score", "from 0 to 1", args.min_score)?;
    let source = Source::open(&args.input)?;
    let device = session.select_device()?;
    ensure_alike(&session, device, || {
        let inputs = Inputs::default().with_model("checkpoint", opened.directory())?;
        inputs.with_file("--input", &args.input)
    })?;
    let writes_file = args.output != Path::new("-") && session.group.is_lead();
    let file = writes_file.then(|| output_file(&args.output, args.force)).transpose()?;
    let model = opened.load(&labels, &session.config, None, device, &session.console)?;
    let labeller = Labeller {
        executor: session.executor(&model.classifier, model.params.device())?,
        max_length,
        min_score: args.min_score,
        model,
    };
    let truncated = match file {
        None if session.group.is_lead() => labeller.label_all(source, io::stdout().lock())?,
        None => labeller.label_all(source, io::sink())?,
        Some(mut file) => {
            // The file appears when it is complete; a run that fails leaves nothing.
            let truncated = labeller.label_all(source, &mut file)?;
            file.commit()
                .with_context(|| format!("{}: cannot be written", args.output.display()))?;
            truncated
        }
    };
    if truncated > 0 {
        session.console.line(&format!("truncated {truncated} texts to {max_length} wordpieces"));
    }
    Ok(())
}

/// A model that labels texts.
struct Labeller<'a> {
    model: LoadedModel,
    max_length: usize,
    /// Below it no label is given.
    min_score: f64,
    executor: Executor<'a>,
}

impl Labeller<'_> {
    /// Labels window by window, in input order; returns how many texts were truncated. A reader of the
    /// output that wants no more ends the work without an error.
    fn label_all(&self, mut source: Source, mut output: impl Write) -> Result<usize> {
        let mut truncated = 0;
        loop {
            let texts = source.window()?;
            if texts.is_empty() {
                return Ok(truncated);
            }
            let encodings = self.model.tokenizer.encode_batch(&texts, self.max_length)?;
            truncated += encodings.iter().filter(|e| e.full_length > e.ids.len()).count();
            let ids: Vec<&[u32]> = encodings.iter().map(|it| it.ids.as_slice()).collect();
            let lines = self
                .lines(&texts, &ids)
                .with_context(|| format!("{}: cannot label its texts", source.name()))?;
            let written = match output.write_all(&lines).and_then(|()| output.flush()) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
                other => other.map(|()| true),
            };
            // The process that writes decides for all.
            let mut goes_on = written.as_ref().is_ok_and(|&is_wanted| is_wanted);
            if let Some(group) = self.executor.group() {
                goes_on = group.of_lead(goes_on)?;
            }
            written.context("cannot write the predictions")?;
            if !goes_on {
                return Ok(truncated);
            }
        }
    }

    /// The lines of output for some texts.
    fn lines(&self, texts: &[String], ids: &[&[u32]]) -> Result<Vec<u8>> {
        let LoadedModel { classifier, params, labels, directory, .. } = &self.model;
        let rows = logits(classifier, params, ids, self.executor)?;
        if rows.iter().flatten().any(|logit| !logit.is_finite()) {
            let problem = "the model's logits are not finite";
            return Err(Invalid::at(directory.path(), problem).into());
        }
        let mut lines = Vec::new();
        for (text, row) in texts.iter().zip(&rows) {
            serde_json::to_writer(&mut lines, &Prediction::of(text, row, labels, self.min_score))?;
            lines.push(b'\n');
        }
        Ok(lines)
    }
}

/// One line of output.
#[derive(Serialize)]
struct Prediction<'a> {
    text: &'a str,
    /// `None` where the score is too low.
    label: Option<&'a str>,
    score: f64,
    scores: Map<String, Value>,
}

impl<'a> Prediction<'a> {
    fn of(text: &'a str, logits: &[f32], labels: &'a [String], min_score: f64) -> Self {
        let probabilities = probabilities(logits);
        let best = argmax(logits) as usize;
        let scores = labels.iter().cloned().zip(probabilities.iter().map(|&p| p.into()));
        let scores = scores.collect();
        let score = probabilities[best];
        let label = (score >= min_score).then_some(labels[best].as_str());
        Self { text, label, score, scores }
    }
}
