//! `metabert data import`.

use anyhow::{Context, Result};

use super::output::{output_file, print_result};
use crate::checks::{self, Invalid};
use crate::cli::{ImportArgs, ImportFormat};
use crate::data::import::Benchmark;
use crate::files::atomic::ensure_writable;
use crate::run::output::ensure_free;

/// Runs the command.
pub fn run(args: &ImportArgs) -> Result<()> {
    let ImportArgs { path, out, force, part, domains, unlabelled, .. } = args;
    let benchmark = match args.format {
        ImportFormat::MultiDomainSentiment => Benchmark::MultiDomainSentiment,
        ImportFormat::FduMtl => Benchmark::FduMtl,
        ImportFormat::Arsc => Benchmark::Arsc,
        ImportFormat::Clinc => Benchmark::Clinc { domains: domains.as_deref() },
        ImportFormat::Banking => Benchmark::Banking,
    };
    let is_read = domains.is_none() || args.format == ImportFormat::Clinc;
    checks::require(is_read, "--domains", "the format clinc, which lists them", "another format")?;
    let parts = chosen_parts(part, benchmark.parts())?;
    let file = output_file(out, *force, &[path])?;
    if let Some(directory) = unlabelled {
        // Files of domains that are gone would stay among the new ones.
        ensure_free(directory, false)?;
        ensure_writable(directory).map_err(|error| Invalid::at(directory, error))?;
    }
    let gathered = benchmark.read(path, &parts)?;
    let summary = gathered.summary();
    checks::require(!gathered.is_empty(), path.display(), "texts with labels", summary.trim_end())?;
    let without_labels = match (gathered.num_unlabelled(), unlabelled) {
        (0, None) => String::new(),
        (0, Some(_)) => {
            let reason =
                format!("{}: expected files of texts without labels, found none", path.display());
            return Err(Invalid(reason).into());
        }
        (count, None) => format!("left out: {count} in files without labels\n"),
        (count, Some(directory)) => {
            let shown = directory.display();
            gathered
                .write_unlabelled(directory)
                .with_context(|| format!("{shown}: cannot be written"))?;
            format!("{shown}: {count} texts without labels\n")
        }
    };
    gathered.write(out, file).with_context(|| format!("{}: cannot be written", out.display()))?;
    print_result(&format!("{}: {summary}{without_labels}", out.display()))
}

/// The parts in their own order: those named, or all.
fn chosen_parts(named: &[String], all: &'static [&'static str]) -> Result<Vec<&'static str>> {
    for name in named {
        let expected = match all {
            [] => "none, since the benchmark has no parts".to_owned(),
            _ => format!("one of {}", all.join(", ")),
        };
        checks::require(all.contains(&name.as_str()), "--part", expected, name)?;
    }
    let is_chosen = |part: &&str| named.is_empty() || named.iter().any(|name| name == part);
    Ok(all.iter().copied().filter(is_chosen).collect())
}
