//! A process that a search waits for, and the signals that reach the search meanwhile.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, sleep};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

/// Passes SIGINT, SIGTERM and SIGUSR1 on to the child that runs; without one, they end the process.
pub struct Children {
    running: Arc<Mutex<Option<Child>>>,
}

impl Children {
    /// From here on signals are passed on.
    ///
    /// # Errors
    /// Any error of the system.
    pub fn new() -> io::Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGUSR1])?;
        let running: Arc<Mutex<Option<Child>>> = Arc::default();
        let shared = Arc::clone(&running);
        thread::spawn(move || {
            for number in signals.forever() {
                match &*lock(&shared) {
                    // One that has ended just now needs no signal.
                    Some(child) => {
                        let signal = Signal::from_named_raw(number).expect("one of those above");
                        let _ = kill_process(Pid::from_child(child), signal);
                    }
                    None => std::process::exit(128 + number),
                }
            }
        });
        Ok(Self { running })
    }

    /// Runs `command` to its end.
    ///
    /// # Errors
    /// Any error of the system.
    pub fn run(&self, command: &mut Command) -> io::Result<ExitStatus> {
        {
            // A signal in between would end this process alone.
            let mut running = lock(&self.running);
            *running = Some(command.spawn()?);
        }
        loop {
            let mut running = lock(&self.running);
            let child = running.as_mut().expect("nothing else takes it");
            // With the lock: the number of a process that was waited for can become that of another one.
            if let Some(status) = child.try_wait()? {
                *running = None;
                return Ok(status);
            }
            drop(running);
            sleep(Duration::from_millis(50));
        }
    }
}

fn lock(running: &Mutex<Option<Child>>) -> MutexGuard<'_, Option<Child>> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}
