//! Where results go: stdout, files, and model directories.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::checks::{Invalid, require};
use crate::data::files_of;
use crate::files::atomic::{AtomicFile, ensure_writable};
use crate::run::OutputExists;
use crate::run::output::{ensure_free, ensure_replaceable_model};

/// Writes a result to stdout.
pub fn print_result(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    end_of_stdout(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

/// Writes a result to stdout as JSON.
pub fn print_json(result: &impl Serialize) -> Result<()> {
    print_result(&format!("{}\n", serde_json::to_string_pretty(result)?))
}

/// Passes on how writing to stdout went. A reader that wants no more is no error.
pub fn end_of_stdout(written: io::Result<()>) -> Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("stdout cannot be written"),
    }
}

/// Starts an output file, if it can be one: `force` replaces an older file, but none of the `inputs`. It appears when it is
/// committed, and is gone when the command is interrupted.
pub fn output_file(path: &Path, force: bool, inputs: &[&Path]) -> Result<AtomicFile> {
    let is_file = !path.exists() || path.is_file();
    let expected = "a file to write";
    require(is_file, path.display(), expected, "something else")?;
    if path.exists() && !force {
        return Err(OutputExists { path: path.into() }.into());
    }
    let is_path = |input: &&Path| {
        path.canonicalize().is_ok_and(|path| input.canonicalize().is_ok_and(|input| input == path))
    };
    let expected = "another file than those that are read";
    require(!inputs.iter().any(is_path), path.display(), expected, "one of them")?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let is_there = folder.is_none_or(Path::is_dir);
    require(is_there, path.display(), "a folder that is there", "none of this name")?;
    let file = AtomicFile::create(path).map_err(|error| Invalid::at(path, error))?;
    file.remove_on_signals()?;
    Ok(file)
}

/// Requires of an output directory that a model can be written there: nothing is in the way, or
/// `force` allows to replace it and it holds none of the `inputs`.
pub fn ensure_model_fits(out: &Path, force: bool, inputs: &[&Path]) -> Result<()> {
    ensure_free(out, force)?;
    ensure_writable(out).map_err(|error| Invalid::at(out, error))?;
    Ok(ensure_replaceable_model(out, inputs).map_err(Invalid)?)
}

/// The same where a command reads the model `from` and the files of `data`.
pub fn ensure_adapted_model_fits(out: &Path, force: bool, from: &Path, data: &str) -> Result<()> {
    // What is wrong with the files is reported where they are read.
    let files = files_of(Path::new(data)).unwrap_or_default();
    let inputs: Vec<&Path> =
        std::iter::once(from).chain(files.iter().map(PathBuf::as_path)).collect();
    ensure_model_fits(out, force, &inputs)
}
