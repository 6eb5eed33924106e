//! `metabert doctor`.

mod speed;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use rustix::system::uname;
use serde::{Deserialize, Serialize};
use tch::Device;

use self::speed::{exchange_speed, product_speed};
use super::exchange::connect_gpus;
use super::group;
use super::loading::precision;
use super::output::{print_json, print_result};
use super::session::Session;
use crate::cli::DoctorArgs;
use crate::hub::{Cache, offline_variable};
use crate::machine::device::{available_memory_mib, cores, num_gpus};
use crate::model::Precision;
use crate::ranks::Transport;
use crate::table::{Align, Table};
use crate::torch_ext::{Nccl, NoCuda, TORCH_VERSION, kernels};

/// Environment variables that change what is computed on, with whom, or where models are found.
const VARIABLES: [&str; 32] = [
    "CUDA_VISIBLE_DEVICES",
    "GLOO_SOCKET_IFNAME",
    "HF_ENDPOINT",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "LD_LIBRARY_PATH",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "METABERT_ISA",
    "MPI_LOCALNRANKS",
    "MPI_LOCALRANKID",
    "NCCL_COMM_BLOCKING",
    "NCCL_DEBUG",
    "NCCL_P2P_DISABLE",
    "NCCL_SOCKET_IFNAME",
    "OMPI_COMM_WORLD_RANK",
    "OMPI_COMM_WORLD_SIZE",
    "OMP_NUM_THREADS",
    "PMI_RANK",
    "PMI_SIZE",
    "RANK",
    "SLURM_LAUNCH_NODE_IPADDR",
    "SLURM_LOCALID",
    "SLURM_PROCID",
    "SLURM_STEP_NUM_TASKS",
    "SLURM_STEP_TASKS_PER_NODE",
    "TORCHELASTIC_RESTART_COUNT",
    "TORCHELASTIC_USE_AGENT_STORE",
    "WORLD_SIZE",
];
/// What the program runs on.
#[derive(Serialize)]
struct Diagnosis {
    metabert: &'static str,
    torch: &'static str,
    /// The file that libtorch was loaded from, where the system says.
    library: Option<String>,
    gpus: usize,
    /// Why there is no GPU.
    no_gpu: Option<String>,
    /// The release of NCCL, or why there is none.
    nccl: String,
    /// Where models of the Hugging Face Hub are found by their names.
    models: PathBuf,
    /// Those of [`VARIABLES`] that are set, as the first process has them.
    variables: BTreeMap<&'static str, String>,
    processes: Vec<Process>,
    /// What moves sums between the processes; absent for one process.
    exchange: Option<String>,
    /// What a process gets from the others, in MiB a second, or adds up over NCCL.
    exchange_mib_per_s: Option<f64>,
}

/// What one of the processes computes on.
#[derive(Serialize, Deserialize)]
struct Process {
    rank: usize,
    host: String,
    device: String,
    precision: Precision,
    /// The instruction set of the kernels of a CPU.
    kernels: String,
    cores: usize,
    threads: i32,
    available_memory_mib: Option<u64>,
    /// Of a product of two large matrices.
    gflop_per_s: f64,
}

/// Runs the command.
pub fn run(args: &DoctorArgs) -> Result<()> {
    let Some(group) = group::join(&args.ranks, args.shared.print_config)? else { return Ok(()) };
    let Some(session) = Session::begin(&args.shared, None)? else { return Ok(()) };
    let session = session.of_group(group, &args.ranks);
    // Before the first tensor, which a CPU may be asked for.
    let gpus = num_gpus();
    let device = session.select_device()?;
    let processes = session.group.all_values(&this_process(&session, device)?)?;
    let transport = connect_gpus(&session, device, args.exchange)?;
    let speed = || exchange_speed(&session.group, device);
    let exchange_mib_per_s = transport.is_some().then(speed).transpose()?;
    if !session.group.is_lead() {
        return Ok(());
    }
    let set = VARIABLES.into_iter().filter_map(|name| Some((name, env::var(name).ok()?)));
    let diagnosis = Diagnosis {
        metabert: env!("CARGO_PKG_VERSION"),
        torch: TORCH_VERSION,
        library: library(),
        no_gpu: gpus.as_ref().err().map(in_full),
        nccl: match &gpus {
            Ok(_) => Nccl::loaded().map_or_else(|reason| reason, Nccl::version),
            Err(_) => "not loaded without a GPU".to_owned(),
        },
        gpus: gpus.unwrap_or(0),
        models: Cache::from_environment().root().to_owned(),
        variables: set.collect(),
        processes,
        exchange: transport.map(|transport| match transport {
            Transport::Nccl { version } => format!("NCCL {version}"),
            Transport::Gloo { .. } => "Gloo".to_owned(),
        }),
        exchange_mib_per_s,
    };
    match args.json {
        true => print_json(&diagnosis),
        false => print_result(&diagnosis.in_words()),
    }
}

fn this_process(session: &Session, device: Device) -> Result<Process> {
    let precision = precision(&session.config, device);
    Ok(Process {
        rank: session.group.rank(),
        host: uname().nodename().to_string_lossy().into_owned(),
        device: format!("{device:?}"),
        precision,
        kernels: kernels()?.to_owned(),
        cores: cores(),
        threads: tch::get_num_threads(),
        available_memory_mib: available_memory_mib(),
        gflop_per_s: product_speed(precision, device)?,
    })
}

fn in_full(reason: &NoCuda) -> String {
    match reason {
        NoCuda::NoGpu { detail } => format!("{reason}: {detail}"),
        NoCuda::Unusable(_) => reason.to_string(),
    }
}

/// The file of libtorch in this process.
fn library() -> Option<String> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.ends_with("/libtorch_cpu.so"))?;
    Some(line[line.find('/')?..].to_owned())
}

impl Diagnosis {
    fn in_words(&self) -> String {
        let library = self.library.as_ref().map_or_else(String::new, |path| format!(", {path}"));
        let gpus = self.no_gpu.clone().unwrap_or_else(|| self.gpus.to_string());
        let mut text =
            format!("metabert   {}\nlibtorch   {}{library}\n", self.metabert, self.torch);
        text += &format!("GPUs       {gpus}\nNCCL       {}\n", self.nccl);
        let offline = if offline_variable().is_some() { ", offline" } else { "" };
        text += &format!("models     {}{offline}\n", self.models.display());
        let variables: Vec<String> =
            self.variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let variables = match variables.is_empty() {
            true => "none that matter here".to_owned(),
            false => variables.join(" "),
        };
        text += &format!("variables  {variables}\n");
        if let (Some(by), Some(speed)) = (&self.exchange, self.exchange_mib_per_s) {
            text += &format!("exchange   {speed:.0} MiB/s over {by}\n");
        }
        let mut table = Table::new([
            (Align::Right, "rank"),
            (Align::Left, "host"),
            (Align::Left, "device"),
            (Align::Left, "precision"),
            (Align::Left, "kernels"),
            (Align::Right, "threads/cores"),
            (Align::Right, "free MiB"),
            (Align::Right, "GFLOP/s"),
        ]);
        for process in &self.processes {
            table.push(vec![
                process.rank.to_string(),
                process.host.clone(),
                process.device.clone(),
                format!("{:?}", process.precision).to_lowercase(),
                process.kernels.clone(),
                format!("{}/{}", process.threads, process.cores),
                process.available_memory_mib.map_or_else(|| "-".to_owned(), |mib| mib.to_string()),
                format!("{:.0}", process.gflop_per_s),
            ]);
        }
        format!("{text}\n{table}")
    }
}
