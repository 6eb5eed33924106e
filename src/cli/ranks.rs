//! Arguments of commands whose work several processes can share.

use std::str::FromStr;

use clap::{Args, ValueEnum};

use super::flags::seconds;

/// Several processes that share the work of a command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Several processes")]
pub struct RanksArgs {
    /// Share the work between this many processes of this machine.
    #[arg(long, value_name = "N")]
    pub processes: Option<usize>,
    /// Share the work between this many GPUs of this machine, with a process for each.
    #[arg(long, value_name = "N|all", conflicts_with_all = ["processes", "device"])]
    pub gpus: Option<NumGpus>,
    /// Wait this long for other processes before taking them to be lost.
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "10m")]
    pub timeout: f64,
}

/// How what several processes add up travels.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Several processes")]
pub struct ExchangeArgs {
    /// Add up what the processes have computed on their GPUs, over NCCL, or between their hosts, over Gloo.
    #[arg(long, value_name = "BY", default_value = "auto")]
    pub exchange: Exchange,
}

/// What moves sums between processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Exchange {
    /// NCCL where each process has a GPU of its own, Gloo elsewhere.
    Auto,
    /// Gloo.
    Gloo,
    /// NCCL, or none of the work.
    Nccl,
}

/// How many GPUs to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumGpus {
    /// Those that there are.
    All,
    /// So many.
    Count(usize),
}

impl FromStr for NumGpus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("all", _) => Ok(Self::All),
            (_, Ok(count)) => Ok(Self::Count(count)),
            _ => Err("expected a whole number or all".to_owned()),
        }
    }
}
