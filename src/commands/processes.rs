//! `--processes N` and `--gpus N`: starts itself N times, as the ranks of one command on this machine.

use std::env;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use super::error::RankFailed;
use crate::checks::{self, Invalid};
use crate::cli::{NumGpus, RanksArgs};
use crate::machine::device::{cores, num_gpus};
use crate::ranks::Launch;

/// The most processes for each core: more of them wait for one another, and each takes memory.
const MAX_PER_CORE: usize = 8;
/// Set in the processes that this one starts.
const MARK: &str = "METABERT_PROCESS_OF";
/// How much longer than its time-out a process has to notice that another one is gone, beyond which it is ended.
const GRACE: Duration = Duration::from_secs(30);

/// The processes to start.
pub struct Plan {
    count: usize,
    /// How long the others have to notice that one is gone.
    patience: Duration,
}

impl Plan {
    /// The plan that the arguments ask for, if they do, and if this is no process that such a plan has started.
    ///
    /// # Errors
    /// A number of processes that is none or too large, `--gpus` without GPUs, and a launcher, which says itself how many
    /// processes there are.
    pub fn of(args: &RanksArgs) -> Result<Option<Self>> {
        if env::var_os(MARK).is_some() {
            return Ok(None);
        }
        let (flag, count, most) = match (args.processes, args.gpus) {
            (Some(count), _) => ("--processes", count, MAX_PER_CORE * cores()),
            (None, Some(asked)) => {
                let found = num_gpus().map_err(|reason| Invalid(format!("--gpus: {reason}")))?;
                let count = match asked {
                    NumGpus::All => found,
                    NumGpus::Count(count) => count,
                };
                ("--gpus", count, found)
            }
            (None, None) => return Ok(None),
        };
        checks::within(flag, count as u64, 1..=most as u64)?;
        let size = Launch::from_environment()?.size;
        let expected = "to be left out where a launcher starts the processes";
        checks::require(size == 1, flag, expected, format!("{size} processes"))?;
        Ok(Some(Self { count, patience: Duration::from_secs_f64(args.timeout) + GRACE }))
    }

    /// Starts the processes with the arguments of this one, passes signals on to them, and waits for their end.
    ///
    /// # Errors
    /// [`RankFailed`] for the first one in order that failed.
    pub fn run(&self) -> Result<()> {
        let statuses = wait(start(self.count)?, self.patience)?;
        let failed = statuses.iter().enumerate().find(|(_, status)| !status.success());
        match failed {
            None => Ok(()),
            Some((rank, status)) => {
                let by_signal = status.signal().map(|signal| 128 + signal);
                let code = status.code().or(by_signal).unwrap_or(1) as u8;
                Err(RankFailed { rank, code }.into())
            }
        }
    }
}

/// Starts processes with the arguments of this one, and passes signals on to them.
fn start(count: usize) -> Result<Vec<Child>> {
    let program = env::current_exe().context("the program's own file")?;
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    // Before the first child: a signal in between would end this process alone.
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGUSR1])?;
    let mut children = Vec::new();
    for rank in 0..count {
        let mut command = Command::new(&program);
        command.args(env::args_os().skip(1)).env(MARK, std::process::id().to_string());
        let place =
            Launch { rank, size: count, local_rank: rank, local_size: count, ..Launch::alone() };
        command.envs(Launch { port, ..place }.variables());
        command.env_remove("TORCHELASTIC_USE_AGENT_STORE");
        match command.spawn() {
            Ok(child) => children.push(child),
            Err(error) => {
                end(&mut children);
                return Err(error).context(format!("rank {rank} cannot be started"));
            }
        }
    }
    let ids: Vec<Pid> = children.iter().map(Pid::from_child).collect();
    thread::spawn(move || {
        for number in signals.forever() {
            let signal = Signal::from_named_raw(number).expect("one of those above");
            for &id in &ids {
                // One that has ended needs no signal.
                let _ = kill_process(id, signal);
            }
        }
    });
    Ok(children)
}

/// Waits for all children. Once one has failed the others have a while to notice.
fn wait(mut children: Vec<Child>, patience: Duration) -> Result<Vec<ExitStatus>> {
    let mut deadline: Option<Instant> = None;
    loop {
        let mut statuses = Vec::new();
        for child in &mut children {
            statuses.push(child.try_wait()?);
        }
        let has_failed = statuses.iter().flatten().any(|status| !status.success());
        if let Some(statuses) = statuses.into_iter().collect::<Option<Vec<_>>>() {
            return Ok(statuses);
        }
        if has_failed {
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + patience);
            if Instant::now() > deadline {
                end(&mut children);
            }
        }
        sleep(Duration::from_millis(50));
    }
}

fn end(children: &mut [Child]) {
    children.iter_mut().for_each(|child| {
        let _ = child.kill();
    });
}
