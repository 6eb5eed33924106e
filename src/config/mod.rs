//! The configuration of a run: sections owned by their modules, layered from several sources.
//!
//! Later layers win: built-in defaults, preset, the settings that a checkpoint was made with, the
//! configuration file, `--set`, named flags. Does not know the command line.

mod error;
mod layer;
mod merge;
mod nearest;
mod preset;
mod run_config;

pub use error::ConfigError;
pub use layer::Layer;
pub use preset::{PRESET_NAMES, PRESETS};
pub use run_config::{ModelConfig, PoolingChoice, PrecisionChoice, RunConfig};
