//! Parses the arguments, runs the command, prints the error chain, chooses the exit code.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use metabert::cli::Cli;
use metabert::commands;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match commands::run(&cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !commands::is_reported_elsewhere(&error) {
                // Where nobody reads stderr, the exit code has to do.
                let _ = writeln!(std::io::stderr(), "error: {}", commands::describe(&error));
            }
            ExitCode::from(commands::exit_code(&error))
        }
    }
}
