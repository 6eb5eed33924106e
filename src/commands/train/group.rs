//! The processes of a training: they meet before anything is read, and compare what they are about to train.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;

use crate::checks::Invalid;
use crate::config::RunConfig;
use crate::machine::device;
use crate::ranks::{Group, Launch};
use crate::run::Environment;
use crate::run::console::Console;
use crate::torch_ext::load_cuda_library;

/// Settings that may differ from one process to another.
const OWN: [&str; 5] = ["data.path", "device", "model.path", "threads", "workers"];

/// Meets the other processes that the launcher has started, if it has.
pub fn join(timeout_s: f64) -> Result<Group> {
    let launch = Launch::from_environment()?;
    if launch.size > 1 {
        // Before the first tensor, which processes send to each other. Without CUDA the device says so.
        let _ = load_cuda_library();
    }
    Ok(Group::join(launch, Duration::from_secs_f64(timeout_s))?)
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

/// Refuses processes that are about to train something else, and says on request what each computes on.
///
/// # Errors
/// What differs from the first process, by rank; lost processes.
pub fn ensure_alike(
    group: &Group,
    config: &RunConfig,
    environment: &Environment,
    console: &Console,
) -> Result<()> {
    if group.size() == 1 {
        return Ok(());
    }
    let mut mine: BTreeMap<String, String> =
        config.entries().into_iter().map(|(key, value)| (key, value.to_string())).collect();
    mine.retain(|key, _| !OWN.contains(&key.as_str()));
    let provenance = &environment.provenance;
    mine.insert("the version of metabert".to_owned(), provenance.metabert.clone());
    mine.insert("the SHA-256 of the data".to_owned(), provenance.dataset_sha256.clone());
    for (file, sha256) in &environment.model_sha256 {
        mine.insert(format!("the SHA-256 of the model's {file}"), sha256.clone());
    }
    let all = group.all_values(&mine)?;
    let nothing = String::from("nothing");
    for (rank, theirs) in all.iter().enumerate() {
        for key in all[0].keys().chain(theirs.keys()) {
            let [first, other] = [&all[0], theirs].map(|it| it.get(key).unwrap_or(&nothing));
            if first != other {
                let problem = format!("{key}: expected {first}, as rank 0 has it, found {other}");
                return Err(Invalid(format!("rank {rank}: {problem}")).into());
            }
        }
    }
    let machine = &environment.machine;
    let device = format!("{}, {} CPU threads", machine.device, machine.threads);
    for (rank, device) in group.all_values(&device)?.iter().enumerate() {
        console.detail(&format!("rank {rank}: device {device}"));
    }
    let num_idle = group.size().saturating_sub(config.train.meta_batch as usize);
    if num_idle > 0 {
        let (size, count) = (group.size(), config.train.meta_batch);
        console.line(&format!(
            "warning: {size} processes share the {count} episodes of an outer step: {num_idle} have none; raise --meta-batch"
        ));
    }
    Ok(())
}
