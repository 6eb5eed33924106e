//! `metabert data`.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};

use super::best_known;
use super::checkpoint::located;
use super::output::{print_json, print_result};
use super::session::Session;
use super::texts;
use super::train::checks::check_domain_sizes;
use crate::cli::{SplitArgs, StatsArgs, ValidateArgs};
use crate::data::{
    Corpus, Dataset, LabelId, LabelSet, QuerySize, Side, Split, TextTokenizer, render_table,
    write_sides,
};
use crate::run::output::ensure_free;

/// Runs `data stats`.
pub fn stats(args: &StatsArgs) -> Result<()> {
    let Some(Session { config, console, .. }) = Session::begin(&args.shared, None)? else {
        return Ok(());
    };
    let dataset = texts::read_without_gaps(&config, &console)?;
    // Statistics are also for files that no split fits yet.
    let split = Split::new(&dataset, &config.data, config.seed);
    if let Err(error) = &split {
        console.line(&format!("warning: no sides are shown: {error}"));
    }
    let corpus = if config.model.path.is_empty() {
        None
    } else {
        let tokenizer = TextTokenizer::open(located(Path::new(&config.model.path))?)?;
        Some(Corpus::new(&dataset, &tokenizer, config.data.max_length)?)
    };
    let stats = crate::data::stats(&dataset, corpus.as_ref(), split.as_ref().ok());
    match args.json {
        true => print_json(&stats),
        false => print_result(&render_table(&stats)),
    }
}

/// Runs `data validate`.
pub fn validate(args: &ValidateArgs) -> Result<()> {
    let session = best_known::begin(&args.shared, true)?;
    let Some(Session { mut config, console, .. }) = session else { return Ok(()) };
    if args.shared.flags.set("episode.query") {
        config.evaluate.query = QuerySize::Count(config.episode.query);
    }
    let (dataset, split) = texts::read_split(&mut config, None, &console)?;
    let num_domains = |side| split.domains(side).len();
    let evaluated = [split.domains(Side::MetaDev), split.domains(Side::LowResource)].concat();
    check_domain_sizes(&dataset, &split, &config, &evaluated)?;
    print_result(&format!(
        "{}: {} examples, {}; domains: {} meta-train, {} meta-dev, {} low-resource\n",
        config.data.path,
        dataset.reviews.len(),
        describe_labels(&dataset),
        num_domains(Side::MetaTrain),
        num_domains(Side::MetaDev),
        num_domains(Side::LowResource),
    ))
}

/// How many labels there are, in all and in a domain.
fn describe_labels(dataset: &Dataset) -> String {
    let sets = dataset.label_sets();
    let used: BTreeSet<LabelId> = sets.iter().flat_map(|set| set.ids()).copied().collect();
    let labels = format!("{} labels", used.len());
    let (least, most) = sets
        .iter()
        .map(LabelSet::len)
        .fold((usize::MAX, 0), |(least, most), found| (least.min(found), most.max(found)));
    match dataset.label_sets_differ {
        false => labels,
        true if least == most => format!("{labels}, {most} in each domain"),
        true => format!("{labels}, {least} to {most} in a domain"),
    }
}

/// Runs `data split`. Repeated texts stay: what is written is the dataset, side by side.
pub fn split(args: &SplitArgs) -> Result<()> {
    let Some(Session { config, console, .. }) = Session::begin(&args.shared, None)? else {
        return Ok(());
    };
    ensure_free(&args.out, args.force)?;
    let dataset = texts::read_without_gaps(&config, &console)?;
    let split = Split::new(&dataset, &config.data, config.seed)?;
    let dataset = texts::settle_leaks(dataset, &split, &config, &console)?;
    let paths = write_sides(&dataset, &split, &args.out)
        .with_context(|| format!("{}: cannot be written", args.out.display()))?;
    let lines: String = paths.iter().map(|path| format!("{}\n", path.display())).collect();
    print_result(&lines)
}
