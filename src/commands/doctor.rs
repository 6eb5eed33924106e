//! `metabert doctor`.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::time::Instant;

use anyhow::Result;
use rustix::system::uname;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::group;
use super::loading::precision;
use super::output::{print_json, print_result};
use super::session::Session;
use crate::cli::DoctorArgs;
use crate::machine::device::{available_memory_mib, cores, num_gpus};
use crate::model::Precision;
use crate::ranks::Group;
use crate::table::{Align, Table};
use crate::torch_ext::{NoCuda, TORCH_VERSION, kernels, synchronize};

/// Environment variables that change what is computed on, or with whom.
const VARIABLES: [&str; 20] = [
    "CUDA_VISIBLE_DEVICES",
    "GLOO_SOCKET_IFNAME",
    "LD_LIBRARY_PATH",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "METABERT_ISA",
    "OMPI_COMM_WORLD_RANK",
    "OMPI_COMM_WORLD_SIZE",
    "OMP_NUM_THREADS",
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
/// The side of the matrices of which a product is timed.
const SIDE: i64 = 2_048;
/// The numbers, float32, that all processes together send to each of them.
const EXCHANGED: i64 = 32 << 20;

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
    /// Those of [`VARIABLES`] that are set, as the first process has them.
    variables: BTreeMap<&'static str, String>,
    processes: Vec<Process>,
    /// What a process gets from the others, in MiB a second; absent for one process.
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
    let exchange_mib_per_s = exchange_speed(&session.group)?;
    if !session.group.is_lead() {
        return Ok(());
    }
    let set = VARIABLES.into_iter().filter_map(|name| Some((name, env::var(name).ok()?)));
    let diagnosis = Diagnosis {
        metabert: env!("CARGO_PKG_VERSION"),
        torch: TORCH_VERSION,
        library: library(),
        no_gpu: gpus.as_ref().err().map(in_full),
        gpus: gpus.unwrap_or(0),
        variables: set.collect(),
        processes,
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

/// The speed of a product of matrices, in 10^9 operations a second: the best of three, after one that warms up.
fn product_speed(precision: Precision, device: Device) -> Result<f64> {
    let _no_graph = tch::no_grad_guard();
    let matrix = Tensor::f_ones([SIDE, SIDE], (Kind::Float, device))?;
    let bias = Tensor::f_zeros([SIDE], (Kind::Float, device))?;
    let mut best = f64::INFINITY;
    for attempt in 0..4 {
        synchronize(device)?;
        let started = Instant::now();
        let _product = precision.linear(&matrix, &matrix, &bias)?;
        synchronize(device)?;
        if attempt > 0 {
            best = best.min(started.elapsed().as_secs_f64());
        }
    }
    Ok(2.0 * (SIDE as f64).powi(3) / best / 1e9)
}

fn exchange_speed(group: &Group) -> Result<Option<f64>> {
    let num_others = group.size() - 1;
    if num_others == 0 {
        return Ok(None);
    }
    let count = EXCHANGED / group.size() as i64;
    let vector = Tensor::f_zeros([count], (Kind::Float, Device::Cpu))?;
    // The first one warms up.
    drop(group.all_gather(&vector)?);
    let started = Instant::now();
    drop(group.all_gather(&vector)?);
    let mib = (num_others as i64 * count * 4) as f64 / f64::from(1 << 20);
    Ok(Some(mib / started.elapsed().as_secs_f64()))
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
        text += &format!("GPUs       {gpus}\n");
        let variables: Vec<String> =
            self.variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let variables = match variables.is_empty() {
            true => "none that matter here".to_owned(),
            false => variables.join(" "),
        };
        text += &format!("variables  {variables}\n");
        if let Some(speed) = self.exchange_mib_per_s {
            text += &format!(
                "exchange   {speed:.0} MiB/s from the others to each, over Gloo; NCCL is not used\n"
            );
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
