//! The processes that share the work of a command.

use std::time::Duration;

use anyhow::Result;

use super::processes;
use crate::cli::RanksArgs;
use crate::machine::device;
use crate::ranks::{Group, Launch};
use crate::torch_ext::load_cuda_library;

/// Meets the other processes that share the work, if there are any; `None` where this one has only started them, and they have
/// ended. A command that `only_prints_config` needs none.
pub fn join(args: &RanksArgs, only_prints_config: bool) -> Result<Option<Group>> {
    if only_prints_config {
        return Ok(Some(Group::alone()));
    }
    if let Some(plan) = processes::Plan::of(args)? {
        plan.run()?;
        return Ok(None);
    }
    let launch = Launch::from_environment()?;
    if launch.size > 1 {
        // Before the first tensor, which processes send to each other. Without CUDA the device says so.
        let _ = load_cuda_library();
    }
    Ok(Some(Group::join(launch, Duration::from_secs_f64(args.timeout))?))
}

/// Gives this process its share of the cores of its machine, unless the user has said otherwise. torchrun gives one thread to each
/// of several processes.
pub fn share_cores(group: &Group) {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let says = std::env::var("OMP_NUM_THREADS").ok();
    let is_of_launcher = says.as_deref() == Some("1") && is_set("TORCHELASTIC_RUN_ID");
    if group.local_size() > 1 && (says.is_none() || is_of_launcher) {
        device::set_threads((device::cores() / group.local_size()).max(1));
    }
}
