//! How sums travel between the processes of a command.

use anyhow::Result;
use tch::Device;

use super::session::Session;
use crate::checks::{self, Invalid};
use crate::cli::{Exchange, ExchangeArgs};
use crate::ranks::Transport;

/// Lets several processes add up tensors on their GPUs, `device` of this one, where they can and are not asked to do otherwise;
/// returns how sums travel, and says why GPUs do not exchange them.
///
/// # Errors
/// `--exchange nccl` where it cannot be had; lost processes.
pub fn connect_gpus(
    session: &Session,
    device: Device,
    args: ExchangeArgs,
) -> Result<Option<Transport>> {
    let Session { group, console, .. } = session;
    if group.size() == 1 {
        checks::require(
            args.exchange != Exchange::Nccl,
            "--exchange nccl",
            "several processes, each with a GPU",
            "one process",
        )?;
        return Ok(None);
    }
    let refuses = (args.exchange == Exchange::Gloo).then_some("--exchange gloo");
    let transport = group.connect_gpus(device, refuses)?;
    match &transport {
        Transport::Nccl { version } => {
            console.detail(&format!("sums travel from GPU to GPU over NCCL {version}"));
        }
        Transport::Gloo { reason } if args.exchange == Exchange::Nccl => {
            return Err(Invalid(format!("--exchange nccl: {reason}")).into());
        }
        Transport::Gloo { reason } if device.is_cuda() && refuses.is_none() => {
            console.line(&format!("sums travel between the hosts, over Gloo: {reason}"));
        }
        Transport::Gloo { .. } => {}
    }
    Ok(Some(transport))
}
