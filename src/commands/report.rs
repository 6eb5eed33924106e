//! `metabert report`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::output::{output_file, print_result};
use crate::checks::{Invalid, require};
use crate::cli::{ReportArgs, ReportFormat};
use crate::config::{Layer, RunConfig};
use crate::files::limited;
use crate::report::{EvaluationRecord, RunRecord, document, html, markdown};
use crate::run::RunDirectory;

/// The largest files.
const MAX_EVENTS_MIB: u64 = 1_024;
const MAX_EVALUATION_MIB: u64 = 256;

/// Runs the command.
pub fn run(args: &ReportArgs) -> Result<()> {
    let format = format(args);
    let (mut runs, mut configs, mut evaluations) = (Vec::new(), Vec::new(), Vec::new());
    for path in &args.inputs {
        match path.is_dir() {
            true => {
                let (run, config) = read_run(path)?;
                runs.push(run);
                configs.push(config);
            }
            false => evaluations.push(read_evaluation(path)?),
        }
    }
    let differing = RunConfig::differing(&configs).into_iter().map(|(key, values)| {
        (key, values.iter().map(ToString::to_string).collect::<Vec<String>>())
    });
    let differing: BTreeMap<String, Vec<String>> = differing.collect();
    let document = document(&runs, &evaluations, &differing);
    let text = match format {
        ReportFormat::Html => html(&document),
        ReportFormat::Md => markdown(&document),
    };
    let out = args.out.clone().unwrap_or_else(|| default_output(format));
    if out == Path::new("-") {
        return print_result(&text);
    }
    let inputs: Vec<&Path> = args.inputs.iter().map(PathBuf::as_path).collect();
    let mut file = output_file(&out, args.force, &inputs)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.commit())
        .with_context(|| format!("{}: cannot be written", out.display()))?;
    print_result(&format!("{}\n", out.display()))
}

fn format(args: &ReportArgs) -> ReportFormat {
    let is_markdown = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "md");
    args.format.unwrap_or(match args.out.as_ref().is_some_and(is_markdown) {
        true => ReportFormat::Md,
        false => ReportFormat::Html,
    })
}

fn default_output(format: ReportFormat) -> PathBuf {
    match format {
        ReportFormat::Html => "report.html".into(),
        ReportFormat::Md => "report.md".into(),
    }
}

/// Reads a run directory. One that was stopped before its first event has a configuration alone.
fn read_run(path: &Path) -> Result<(RunRecord, RunConfig)> {
    let run = RunDirectory::at(path);
    let expected = "a run directory, or a file of `metabert eval --out`";
    require(run.config_file().is_file(), path.display(), expected, "no config.toml in it")?;
    let config = RunConfig::from_layers(&[Layer::from_file(&run.config_file())?])?;
    let events_file = run.events_file();
    let events = match events_file.exists() {
        true => limited::read(&events_file, MAX_EVENTS_MIB)
            .map_err(|error| Invalid::at(&events_file, error))?,
        false => Vec::new(),
    };
    let algorithm = config.train.algo.to_string();
    let events_path = events_file.display().to_string();
    // Different runs have different paths from the root; `.` has no other name.
    let whole = fs::canonicalize(path).map_err(|error| Invalid::at(path, error))?;
    let [argument, whole] = [path, &whole].map(|path| path.display().to_string());
    let run = RunRecord::parse(&argument, &whole, algorithm, &events_path, &events)?;
    Ok((run, config))
}

fn read_evaluation(path: &Path) -> Result<EvaluationRecord> {
    let json = limited::read(path, MAX_EVALUATION_MIB).map_err(|error| Invalid::at(path, error))?;
    Ok(EvaluationRecord::parse(&path.display().to_string(), &json)?)
}
