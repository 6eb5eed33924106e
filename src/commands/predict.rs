//! `metabert predict`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Map, Value};

use super::InputError;
use super::setup::{self, LoadedModel};
use crate::cli::PredictArgs;
use crate::model::{ModelDirectory, PretrainedError};
use crate::run::OutputExists;
use crate::run::console::Console;
use crate::train::predict::{logits, probabilities};

/// Texts that are in memory at once: enough to sort by length, few enough to stream.
const WINDOW: usize = 1_024;

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
    let checkpoint = setup::resolve_checkpoint(&args.checkpoint)?;
    let flags = args.flags();
    let Some(mut config) = setup::configure(&args.shared, flags, Some(&checkpoint))? else {
        return Ok(());
    };
    let console = Console::new(args.shared.quiet, args.shared.verbose);
    let positions = ModelDirectory::open(&checkpoint)?.config().max_position_embeddings as usize;
    config.data.max_length = config.data.max_length.min(positions);
    let labels = setup::head_labels(&checkpoint)?.ok_or_else(|| PretrainedError::Malformed {
        path: checkpoint.join("model.safetensors"),
        reason: "the model has no classification head; adapt it with `metabert finetune` first"
            .into(),
    })?;
    let source = Source::open(&args.input)?;
    if is_file(&args.output) && args.output.exists() && !args.force {
        return Err(OutputExists { path: args.output.clone() }.into());
    }
    let device = setup::select_device(&config, &console)?;
    let model = setup::load_model(&checkpoint, &labels, &config, device, &console)?;
    if !is_file(&args.output) {
        let truncated = label_all(source, &model, config.data.max_length, io::stdout().lock())?;
        return tell_truncated(truncated, config.data.max_length, &console);
    }
    // The output file appears when it is complete; a run that fails leaves nothing.
    let parent = args.output.parent().filter(|parent| *parent != Path::new(""));
    let file = tempfile::Builder::new()
        .prefix(".tmp-")
        .tempfile_in(parent.unwrap_or(Path::new(".")))
        .with_context(|| format!("{}: cannot be written", args.output.display()))?;
    let truncated = label_all(source, &model, config.data.max_length, file.as_file())?;
    file.as_file().sync_all()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    file.persist(&args.output)
        .with_context(|| format!("{}: cannot be written", args.output.display()))?;
    tell_truncated(truncated, config.data.max_length, &console)
}

fn is_file(argument: &Path) -> bool {
    argument != Path::new("-")
}

fn tell_truncated(truncated: usize, max_length: usize, console: &Console) -> Result<()> {
    if truncated > 0 {
        console.line(&format!("truncated {truncated} texts to {max_length} wordpieces"));
    }
    Ok(())
}

/// Labels window by window, in input order; returns how many texts were truncated. A reader of the
/// output that has had enough ends the work without an error.
fn label_all(
    mut source: Source,
    model: &LoadedModel,
    max_length: usize,
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
        let rows = logits(&model.classifier, &model.params, &ids)?;
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
    let best = (0..labels.len())
        .max_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]).then(b.cmp(&a)))
        .expect("a head has labels");
    let scores =
        labels.iter().cloned().zip(probabilities.iter().map(|&p| Value::from(p))).collect();
    let line = Prediction { text, label: &labels[best], score: probabilities[best], scores };
    serde_json::to_writer(&mut *output, &line)?;
    output.write_all(b"\n")
}

/// Lines of text, or JSONL with a `text` field; which of them, the first line tells.
struct Source {
    name: String,
    reader: Box<dyn BufRead>,
    num_lines: u64,
    is_jsonl: Option<bool>,
}

impl Source {
    fn open(argument: &Path) -> Result<Self> {
        let (name, reader): (_, Box<dyn BufRead>) = if is_file(argument) {
            let name = argument.display().to_string();
            let file =
                File::open(argument).map_err(|error| InputError(format!("{name}: {error}")))?;
            if file.metadata()?.is_dir() {
                return Err(
                    InputError(format!("{name}: expected a file, found a directory")).into()
                );
            }
            (name, Box::new(BufReader::new(file)))
        } else {
            ("stdin".to_owned(), Box::new(BufReader::new(io::stdin())))
        };
        Ok(Self { name, reader, num_lines: 0, is_jsonl: None })
    }

    /// The next texts; none at the end.
    fn window(&mut self) -> Result<Vec<String>> {
        let mut texts = Vec::new();
        while texts.len() < WINDOW {
            let Some(text) = self.next_text()? else { break };
            texts.push(text);
        }
        Ok(texts)
    }

    fn next_text(&mut self) -> Result<Option<String>> {
        let mut line = Vec::new();
        let read = self
            .reader
            .read_until(b'\n', &mut line)
            .with_context(|| format!("{}: cannot be read", self.name))?;
        if read == 0 {
            return Ok(None);
        }
        self.num_lines += 1;
        let wrong = |problem: &str| {
            InputError(format!("{}: line {}: {problem}", self.name, self.num_lines))
        };
        while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            line.pop();
        }
        let line = String::from_utf8(line).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            wrong(&format!("expected UTF-8, found another byte at offset {at}"))
        })?;
        let record = || serde_json::from_str::<Value>(&line);
        let is_jsonl = *self.is_jsonl.get_or_insert_with(|| {
            record().is_ok_and(|record| record.get("text").is_some_and(Value::is_string))
        });
        let text = if is_jsonl {
            let record = record().map_err(|error| wrong(&format!("expected JSON: {error}")))?;
            match record.get("text") {
                Some(Value::String(text)) => text.clone(),
                _ => return Err(wrong("expected an object with a string `text`").into()),
            }
        } else {
            line
        };
        if text.trim().is_empty() {
            return Err(wrong("expected a text, found none; remove the line").into());
        }
        Ok(Some(text))
    }
}
