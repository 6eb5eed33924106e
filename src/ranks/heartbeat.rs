//! Signs of life that do not depend on what a process computes.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tch::TchError;

use crate::torch_ext::Store;

/// Time from one sign to the next.
const BEAT: Duration = Duration::from_millis(500);
/// Without a sign for so long a process is taken to be gone.
const SILENCE: Duration = Duration::from_secs(4);
/// Long enough for the store to answer on a busy machine.
const READ: Duration = Duration::from_secs(1);

/// Counts in the store for as long as its process lives.
#[derive(Debug)]
pub struct Heartbeat {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
    /// Begins to count for process `rank`.
    pub fn start(store: Store, rank: usize) -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            for count in 0.. {
                // Without a store nobody listens.
                if store.set(&key(rank), count).is_err()
                    || stopped.recv_timeout(BEAT) != Err(RecvTimeoutError::Timeout)
                {
                    break;
                }
            }
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn key(rank: usize) -> String {
    format!("beat/{rank}")
}

/// Those of `ranks` that give no sign of life any more.
///
/// # Errors
/// A store that is gone.
pub fn silent(
    store: &Store,
    ranks: impl Iterator<Item = usize> + Clone,
) -> Result<Vec<usize>, TchError> {
    let counts = || {
        let counts = ranks.clone().map(|rank| store.get(&key(rank), READ));
        counts.collect::<Result<Vec<_>, TchError>>()
    };
    let before = counts()?;
    thread::sleep(SILENCE);
    let after = counts()?;
    let pairs = ranks.zip(before.iter().zip(&after));
    Ok(pairs.filter(|(_, (before, after))| before == after).map(|(rank, _)| rank).collect())
}
