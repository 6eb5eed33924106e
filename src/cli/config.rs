//! Arguments of `config`.

use clap::{Args, Subcommand};

/// What to do with recipes and settings.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// List the recipes that are compiled in.
    #[command(after_long_help = "Example:\n  metabert config list")]
    List,
    /// Print a recipe, or the settings of a run or checkpoint, as TOML.
    #[command(after_long_help = "Example:\n  metabert config show reviews > my-recipe.toml")]
    Show(ShowArgs),
    /// Print the settings in which two of them differ.
    #[command(after_long_help = "Example:\n  metabert config diff intents runs/intents")]
    Diff(DiffArgs),
}

/// Arguments of `config show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// A recipe's name or file, a run or model directory, or defaults.
    #[arg(value_name = "NAME|FILE|DIR")]
    pub source: String,
    /// Print every key, those included that it leaves at their defaults.
    #[arg(long)]
    pub all: bool,
}

/// Arguments of `config diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// A recipe's name or file, a run or model directory, or defaults.
    #[arg(value_name = "NAME|FILE|DIR")]
    pub left: String,
    /// What to compare it with, in the same words.
    #[arg(value_name = "NAME|FILE|DIR")]
    pub right: String,
    /// Print a JSON object of keys, each with the left and the right value.
    #[arg(long)]
    pub json: bool,
}
