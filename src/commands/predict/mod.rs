//! `metabert predict`.

mod answers;
mod line;

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use indicatif::ProgressBar;

use self::answers::{AnswerForm, Answers};
use super::alike::{Inputs, ensure_alike};
use super::loading::{LoadedModel, OpenedModel};
use super::output::{end_of_stdout, output_file};
use super::session::Session;
use crate::checks::{Invalid, require};
use crate::cli::{InputFormat, OutputFormat, PredictArgs};
use crate::data::unlabelled::{Source, TextForm, Window, is_gzip_by_name};
use crate::eval::predict::logits;
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
    let is_plain = !is_gzip_by_name(&args.output);
    require(
        is_plain,
        "--output",
        "a name without .gz: nothing is compressed",
        args.output.display(),
    )?;
    let mut source = Source::open(&args.input, input_form(args), &session.config.data.text_field)?;
    let device = session.select_device()?;
    ensure_alike(&session, device, || {
        let inputs = Inputs::default().with_model("checkpoint", opened.directory())?;
        inputs.with_argument("--min-score", args.min_score).with_file("--input", &args.input)
    })?;
    let writes_file = args.output != Path::new("-") && session.group.is_lead();
    let file =
        writes_file.then(|| output_file(&args.output, args.force, &[&args.input])).transpose()?;
    let model = opened.load(&labels, &session.config, None, device, &session.console)?;
    let mut labeller = Labeller {
        executor: session.executor(&model.classifier, model.params.device())?,
        max_length,
        answers: Answers::new(answer_form(args), labels, args.min_score),
        bar: session.console.begin_bytes("predict", source.size()),
        model,
    };
    let header = source.header()?;
    let named = |error: anyhow::Error| error.context(source.name().to_owned());
    let begin = labeller.answers.begin(header.as_ref()).map_err(named)?;
    let Counts { truncated, empty, leaves_fields_out } = match file {
        None if session.group.is_lead() => {
            labeller.label_all(source, begin, io::stdout().lock())?
        }
        None => labeller.label_all(source, begin, io::sink())?,
        Some(mut file) => {
            // The file appears when it is complete; a run that fails leaves nothing.
            let counts = labeller.label_all(source, begin, &mut file)?;
            file.commit()
                .with_context(|| format!("{}: cannot be written", args.output.display()))?;
            counts
        }
    };
    labeller.bar.finish_and_clear();
    if truncated > 0 {
        session.console.line(&format!("truncated {truncated} texts to {max_length} wordpieces"));
    }
    if leaves_fields_out {
        session
            .console
            .line("a table has the texts alone: other fields of the records are left out");
    }
    if empty > 0 {
        session.console.line(&format!("{empty} texts are empty and have no label"));
    }
    Ok(())
}

fn input_form(args: &PredictArgs) -> TextForm {
    match args.input_format {
        None => TextForm::of_name(&args.input),
        Some(InputFormat::Lines) => TextForm::Lines,
        Some(InputFormat::Csv) => TextForm::Table { delimiter: b',' },
        Some(InputFormat::Tsv) => TextForm::Table { delimiter: b'\t' },
    }
}

fn answer_form(args: &PredictArgs) -> AnswerForm {
    match (args.output_format, TextForm::of_name(&args.output)) {
        (None, TextForm::Table { delimiter }) => AnswerForm::Table { delimiter },
        (None, TextForm::Lines) | (Some(OutputFormat::Jsonl), _) => AnswerForm::Jsonl,
        (Some(OutputFormat::Csv), _) => AnswerForm::Table { delimiter: b',' },
        (Some(OutputFormat::Tsv), _) => AnswerForm::Table { delimiter: b'\t' },
    }
}

/// What the user has to know of the texts that were labelled.
#[derive(Default)]
struct Counts {
    /// Those of which the model has read the beginning alone.
    truncated: usize,
    /// Those that have no label, since there is nothing to read.
    empty: usize,
    /// Whether fields of records were left out.
    leaves_fields_out: bool,
}

/// A model that labels texts.
struct Labeller<'a> {
    model: LoadedModel,
    max_length: usize,
    answers: Answers,
    bar: ProgressBar,
    executor: Executor<'a>,
}

impl Labeller<'_> {
    /// Labels window by window, in input order. A reader of the output that wants no more ends the work without an error.
    fn label_all(
        &self,
        mut source: Source,
        begin: Vec<u8>,
        mut output: impl Write,
    ) -> Result<Counts> {
        let mut counts = Counts::default();
        let mut lines = begin;
        loop {
            let window = source.window()?;
            if window.texts.is_empty() {
                // Without a text, what begins the answers is all.
                end_of_stdout(output.write_all(&lines).and_then(|()| output.flush()))?;
                return Ok(counts);
            }
            counts.leaves_fields_out |= self.answers.leaves_fields_out(&window);
            counts.empty += window.texts.iter().filter(|text| text.trim().is_empty()).count();
            let encodings = self.model.tokenizer.encode_batch(&window.texts, self.max_length)?;
            counts.truncated += encodings.iter().filter(|e| e.full_length > e.ids.len()).count();
            let ids: Vec<&[u32]> = encodings.iter().map(|it| it.ids.as_slice()).collect();
            let answers = self
                .lines(&window, &ids)
                .with_context(|| format!("{}: cannot label its texts", source.name()))?;
            lines.extend(answers);
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
                return Ok(counts);
            }
            lines.clear();
            self.bar.set_position(source.position());
        }
    }

    /// The lines of output for some texts.
    fn lines(&self, window: &Window, ids: &[&[u32]]) -> Result<Vec<u8>> {
        let LoadedModel { classifier, params, directory, .. } = &self.model;
        let rows = logits(classifier, params, ids, self.executor)?;
        if rows.iter().flatten().any(|logit| !logit.is_finite()) {
            let problem = "the model's logits are not finite";
            return Err(Invalid::at(directory.path(), problem).into());
        }
        self.answers.of(window, &rows)
    }
}
