//! Who of a group is there, and who is gone: the processes agree on it in their store.

use std::cell::RefCell;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tch::TchError;

use super::error::{GroupError, reason};
use super::heartbeat::{Heartbeat, silent};
use super::launch::Launch;
use crate::torch_ext::Store;

/// The key of the rank that was lost first: when a group falls apart, those who notice late find more of them gone.
const FIRST_LOST: &str = "first_lost";
/// How much longer than a time-out its own report may take.
const GRACE: Duration = Duration::from_secs(2);
/// Long enough for a store to answer on a busy machine; without the key, it answers after this time.
const AT_ONCE: Duration = Duration::from_secs(1);

/// The processes that have met in a store.
#[derive(Debug)]
pub(super) struct Roll {
    launch: Launch,
    timeout: Duration,
    /// The processes that are gone, once one has noticed.
    gone: RefCell<Option<Vec<usize>>>,
    _heartbeat: Heartbeat,
    store: Store,
}

impl Roll {
    /// Meets the other processes of a launch, which are waited for up to `timeout`.
    ///
    /// # Errors
    /// A store that cannot be reached, and processes that do not come.
    pub fn call(launch: Launch, timeout: Duration) -> Result<Self, GroupError> {
        let Launch { rank, size, port, .. } = launch;
        let host = launch.host.as_str();
        let no_store = |error| GroupError::NoStore {
            rank,
            place: format!("{host}:{port}"),
            reason: reason(&error),
        };
        // As torchrun's own programs do: a group that is started anew must not find the keys of the one before.
        let prefix = format!("/metabert/attempt_{}", launch.attempt);
        let deadline = Instant::now() + timeout;
        let is_host = launch.hosts_store();
        let store = open_store((host, port), is_host, &prefix, timeout).map_err(no_store)?;
        // Its own: a store is busy while it waits for a key.
        let second = open_store((host, port), false, &prefix, timeout).map_err(no_store)?;
        let heartbeat = Heartbeat::start(second, rank);
        store.set(&format!("here/{rank}"), 1).map_err(no_store)?;
        let mut missing = Vec::new();
        for other in 0..size {
            let left = deadline.saturating_duration_since(Instant::now());
            let key = format!("here/{other}");
            if store.get(&key, left.max(AT_ONCE)).map_err(no_store)?.is_none() {
                missing.push(other);
            }
        }
        let gone = RefCell::new(None);
        let roll = Self { launch, timeout, gone, _heartbeat: heartbeat, store };
        if missing.is_empty() {
            return Ok(roll);
        }
        roll.note(&missing);
        Err(GroupError::Missing { rank, missing, seconds: timeout.as_secs() })
    }

    /// Where the processes have met.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Which processes are gone, after a call between them that failed with `error`.
    pub fn lost(&self, error: &TchError) -> GroupError {
        let lost = self.first_lost().unwrap_or_else(|_| {
            // The store is gone with the process that hosted it.
            if self.launch.launcher_hosts_store { Vec::new() } else { vec![0] }
        });
        self.note(&lost);
        GroupError::Lost { rank: self.launch.rank, lost, reason: reason(error) }
    }

    fn first_lost(&self) -> Result<Vec<usize>, TchError> {
        let lost = match self.store.get(FIRST_LOST, AT_ONCE)? {
            Some(first) => vec![first as usize],
            None => self.silent_ones()?,
        };
        if let Some(&first) = lost.first() {
            self.store.set(FIRST_LOST, first as i64)?;
        }
        Ok(lost)
    }

    /// The others that give no sign of life.
    ///
    /// # Errors
    /// A store that is gone.
    pub fn silent_ones(&self) -> Result<Vec<usize>, TchError> {
        let Launch { rank, size, .. } = self.launch;
        silent(&self.store, (0..size).filter(|&other| other != rank))
    }

    /// Says that this process knows who is gone.
    fn note(&self, gone: &[usize]) {
        self.gone.replace(Some(gone.to_vec()));
        // Without a store nobody is left to care.
        let _ = self.store.set(&knows(self.launch.rank), 1);
    }
}

/// The key of a process that knows who is gone.
fn knows(rank: usize) -> String {
    format!("knows/{rank}")
}

impl Drop for Roll {
    /// The process that hosts the store keeps it until the others have read there who is gone: some are still busy with
    /// their episodes when the first ones notice.
    fn drop(&mut self) {
        let Some(gone) = self.gone.get_mut() else { return };
        if !self.launch.hosts_store() {
            return;
        }
        let deadline = Instant::now() + self.timeout;
        for other in (1..self.launch.size).filter(|other| !gone.contains(other)) {
            let is_awaited = || {
                Instant::now() < deadline
                    && matches!(self.store.get(&knows(other), AT_ONCE), Ok(None))
                    && silent(&self.store, std::iter::once(other)).is_ok_and(|it| it.is_empty())
            };
            while is_awaited() {}
        }
    }
}

/// Opens a store on a thread of its own: where another program listens, libtorch waits for its answer for ever.
fn open_store(
    (host, port): (&str, u16),
    is_host: bool,
    prefix: &str,
    timeout: Duration,
) -> Result<Store, TchError> {
    let (sender, receiver) = mpsc::channel();
    let (host, prefix) = (host.to_owned(), prefix.to_owned());
    std::thread::spawn(move || {
        let _ = sender.send(Store::open((&host, port), is_host, &prefix, timeout));
    });
    let no_answer = "what listens there does not answer as a store does";
    let opened = receiver.recv_timeout(timeout + GRACE);
    opened.unwrap_or_else(|_| Err(TchError::Torch(no_answer.to_owned())))
}
