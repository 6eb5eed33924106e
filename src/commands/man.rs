//! `metabert man`.

use std::path::Path;

use anyhow::Result;
use clap::CommandFactory;
use clap_mangen::Man;

use super::output::print_result;
use crate::cli::{Cli, ManArgs};
use crate::files::atomic::{make_directory, naming, write_file};

/// Runs the command.
pub fn run(args: &ManArgs) -> Result<()> {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    make_directory(&args.out).map_err(|error| naming(&args.out, error))?;
    write(&program, &args.out)?;
    print_result(&format!("{}\n", args.out.display()))
}

/// Writes the page of a command, such as `metabert-data-stats.1`, and those of its subcommands.
fn write(command: &clap::Command, out: &Path) -> Result<()> {
    for subcommand in command.get_subcommands() {
        write(subcommand, out)?;
    }
    let man = Man::new(command.clone());
    let mut page = Vec::new();
    man.render(&mut page)?;
    Ok(write_file(&out.join(man.get_filename()), &page)?)
}
