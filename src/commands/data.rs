//! `metabert data`.

use anyhow::Result;

use super::setup;
use crate::cli::{SplitArgs, StatsArgs, ValidateArgs};
use crate::data::{Corpus, Side, TextTokenizer, render_table, write_sides};
use crate::run::console::Console;
use crate::run::directory::ensure_free;

/// Runs `data stats`.
pub fn stats(args: &StatsArgs) -> Result<()> {
    let Some(config) = setup::configure(&args.shared, args.flags(), None)? else { return Ok(()) };
    let console = Console::new(args.shared.quiet, args.shared.verbose);
    let dataset = setup::read_dataset(&config, &[])?;
    // Statistics are also for files that no split fits yet.
    let split = crate::data::Split::new(&dataset, &config.data, config.seed);
    if let Err(error) = &split {
        console.line(&format!("warning: no sides are shown: {error}"));
    }
    let corpus = if config.model.path.is_empty() {
        None
    } else {
        let tokenizer = TextTokenizer::open(&config.model.path)?;
        Some(Corpus::new(&dataset, &tokenizer, config.data.max_length)?)
    };
    let stats = crate::data::stats(&dataset, corpus.as_ref(), split.as_ref().ok());
    if args.json {
        println!("{}", serde_json::to_string_pretty(&stats)?);
    } else {
        print!("{}", render_table(&stats));
    }
    Ok(())
}

/// Runs `data validate`.
pub fn validate(args: &ValidateArgs) -> Result<()> {
    let Some(config) = setup::configure(&args.shared, args.flags(), None)? else { return Ok(()) };
    let console = Console::new(args.shared.quiet, args.shared.verbose);
    let data = setup::read_split(&config, &[])?;
    data.warnings.iter().for_each(|warning| console.line(&format!("warning: {warning}")));
    let domains: Vec<_> = [Side::MetaTrain, Side::MetaDev, Side::LowResource]
        .iter()
        .flat_map(|&side| data.domains(side).iter().copied())
        .collect();
    data.check_sizes(&domains, &config.episode)?;
    println!(
        "{}: {} examples, {} labels, {} domains ({} meta-train, {} meta-dev, {} low-resource)",
        config.data.path,
        data.dataset.reviews.len(),
        data.dataset.labels.len(),
        domains.len(),
        data.domains(Side::MetaTrain).len(),
        data.domains(Side::MetaDev).len(),
        data.domains(Side::LowResource).len(),
    );
    Ok(())
}

/// Runs `data split`.
pub fn split(args: &SplitArgs) -> Result<()> {
    let Some(config) = setup::configure(&args.shared, args.flags(), None)? else { return Ok(()) };
    let console = Console::new(args.shared.quiet, args.shared.verbose);
    ensure_free(&args.out, args.force)?;
    let data = setup::read_split(&config, &[])?;
    data.warnings.iter().for_each(|warning| console.line(&format!("warning: {warning}")));
    for path in write_sides(&data.dataset, &data.split, &args.out)? {
        println!("{}", path.display());
    }
    Ok(())
}
