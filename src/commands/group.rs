//! The processes that share the work of a command.

use std::fs;
use std::time::Duration;

use anyhow::Result;
use rustix::system::uname;
use serde::{Deserialize, Serialize};

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

/// Gives this process its share of the cores that it may use, unless `asked` threads or the environment say otherwise. Processes
/// that `srun` or `mpirun` have bound to cores of their own share them with nobody. torchrun gives one thread to each of several
/// processes.
pub fn share_cores(group: &Group, asked: usize) -> Result<()> {
    if group.size() == 1 {
        return Ok(());
    }
    // All processes take part, whatever their environments say.
    let own =
        Place { host: uname().nodename().to_string_lossy().into_owned(), cores: allowed_cores() };
    let share = own.share_of(device::cores(), &group.all_values(&own)?);
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let says = std::env::var("OMP_NUM_THREADS").ok();
    let is_of_launcher = says.as_deref() == Some("1") && is_set("TORCHELASTIC_RUN_ID");
    if asked == 0 && (says.is_none() || is_of_launcher) {
        device::set_threads(share);
    }
    Ok(())
}

/// Where a process computes.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    host: String,
    /// As the system lists them.
    cores: Option<String>,
}

impl Place {
    /// This place's share of its `num_cores`, which the processes at `all` places may use.
    fn share_of(&self, num_cores: usize, all: &[Self]) -> usize {
        let num_sharing = all.iter().filter(|place| *place == self).count();
        (num_cores / num_sharing).max(1)
    }
}

/// The cores that this process may use, as the system lists them.
fn allowed_cores() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find(|line| line.starts_with("Cpus_allowed_list:")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_share_the_cores_that_they_have_in_common() {
        let place =
            |host: &str, cores: &str| Place { host: host.into(), cores: Some(cores.into()) };
        let free = [place("a", "0-7"), place("a", "0-7"), place("b", "0-7"), place("b", "0-7")];
        assert!(free.iter().all(|it| it.share_of(8, &free) == 4));
        let bound = [place("a", "0-3"), place("a", "4-7"), place("b", "0-3"), place("b", "4-7")];
        assert!(bound.iter().all(|it| it.share_of(4, &bound) == 4));
        let crowd: Vec<Place> = (0..5).map(|_| place("a", "0-1")).collect();
        assert_eq!(crowd[0].share_of(2, &crowd), 1);
    }
}
