//! The processes of a run as one group.

use std::cell::RefCell;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::{Device, TchError, Tensor};
use thiserror::Error;

use super::heartbeat::{Heartbeat, silent};
use super::launch::Launch;
use crate::torch_ext::{ProcessGroup, Store};

/// The key of the rank that was lost first: when a group falls apart, those who notice late find more of them gone.
const FIRST_LOST: &str = "first_lost";
/// How much longer than a time-out its own report may take.
const GRACE: Duration = Duration::from_secs(2);
/// Long enough for a store to answer that it has no such key.
const AT_ONCE: Duration = Duration::from_millis(10);

/// The processes of a run, one of which this is; or this one by itself.
#[derive(Debug)]
pub struct Group {
    launch: Launch,
    connected: Option<Connected>,
    timeout: Duration,
    /// The processes that are gone, once a call has failed.
    lost: RefCell<Option<Vec<usize>>>,
}

#[derive(Debug)]
struct Connected {
    // In the order in which they end: connections need the store to the last.
    processes: ProcessGroup,
    _heartbeat: Heartbeat,
    store: Store,
}

/// The group is incomplete.
#[derive(Debug, Error)]
pub enum GroupError {
    /// The store cannot be opened or reached.
    #[error("rank {rank}: no store at {place}: {reason}")]
    NoStore {
        /// This process.
        rank: usize,
        /// Host and port.
        place: String,
        /// What went wrong.
        reason: String,
    },
    /// Processes that never came.
    #[error("rank {rank}: {} did not come within {seconds} s", ranks(missing))]
    Missing {
        /// This process.
        rank: usize,
        /// Those that it waited for.
        missing: Vec<usize>,
        /// How long it waited.
        seconds: u64,
    },
    /// Processes that were there and answer no more.
    #[error("rank {rank}: lost {}: {reason}", ranks(lost))]
    Lost {
        /// This process.
        rank: usize,
        /// Those that it lost; empty where all still answer.
        lost: Vec<usize>,
        /// What went wrong.
        reason: String,
    },
}

fn ranks(ranks: &[usize]) -> String {
    match ranks {
        [] => "the connection to other ranks".to_owned(),
        [rank] => format!("rank {rank}"),
        ranks => {
            let names: Vec<String> = ranks.iter().map(usize::to_string).collect();
            format!("ranks {}", names.join(", "))
        }
    }
}

/// What an error of libtorch says, without where in its sources it arose.
fn reason(error: &TchError) -> String {
    let text = error.to_string();
    let text = text.lines().next().unwrap_or_default();
    let text = text.strip_prefix("Internal torch error: ").unwrap_or(text);
    let text = match text.split_once("] ") {
        Some((place, text)) if place.starts_with('[') => text,
        _ => text,
    };
    text.trim_end_matches('.').to_owned()
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

impl Group {
    /// This process by itself.
    pub fn alone() -> Self {
        Self::of(Launch::alone(), None, Duration::ZERO)
    }

    /// Meets the other processes of a launch. They, and every later answer of theirs, are waited for up to `timeout`.
    ///
    /// # Errors
    /// A store that cannot be reached, and processes that do not come.
    pub fn join(launch: Launch, timeout: Duration) -> Result<Self, GroupError> {
        if launch.size == 1 {
            return Ok(Self::of(launch, None, timeout));
        }
        let Launch { rank, size, ref host, port, .. } = launch;
        let no_store = |error| GroupError::NoStore {
            rank,
            place: format!("{host}:{port}"),
            reason: reason(&error),
        };
        let is_host = launch.hosts_store();
        // As torchrun's own programs do: a group that is started anew must not find the keys of the one before.
        let prefix = format!("/metabert/attempt_{}", launch.attempt);
        let deadline = Instant::now() + timeout;
        let store = open_store((host, port), is_host, &prefix, timeout).map_err(no_store)?;
        // Its own: a store is busy while it waits for a key.
        let second = open_store((host, port), false, &prefix, timeout).map_err(no_store)?;
        store.set(&format!("here/{rank}"), 1).map_err(no_store)?;
        let mut missing = Vec::new();
        for other in 0..size {
            let left = deadline.saturating_duration_since(Instant::now());
            let key = format!("here/{other}");
            if store.get(&key, left.max(AT_ONCE)).map_err(no_store)?.is_none() {
                missing.push(other);
            }
        }
        if !missing.is_empty() {
            return Err(GroupError::Missing { rank, missing, seconds: timeout.as_secs() });
        }
        let is_local = launch.local_size == size;
        let address = if is_local { "127.0.0.1" } else { "" };
        let processes = ProcessGroup::join(&store, address, (rank, size), timeout)
            .map_err(|error| GroupError::Lost { rank, lost: Vec::new(), reason: reason(&error) })?;
        let heartbeat = Heartbeat::start(second, rank);
        let connected = Connected { processes, _heartbeat: heartbeat, store };
        Ok(Self::of(launch, Some(connected), timeout))
    }

    fn of(launch: Launch, connected: Option<Connected>, timeout: Duration) -> Self {
        Self { launch, connected, timeout, lost: RefCell::new(None) }
    }

    /// The number of this process.
    pub fn rank(&self) -> usize {
        self.launch.rank
    }

    /// How many processes there are.
    pub fn size(&self) -> usize {
        self.launch.size
    }

    /// The number of this process among those on its machine.
    pub fn local_rank(&self) -> usize {
        self.launch.local_rank
    }

    /// How many of the processes are on this machine.
    pub fn local_size(&self) -> usize {
        self.launch.local_size
    }

    /// Whether this process writes and prints for the group.
    pub fn is_lead(&self) -> bool {
        self.launch.is_lead()
    }

    /// The part of `count` items in a row that is this process's, when each gets as many as the others or one more.
    pub fn share(&self, count: usize) -> std::ops::Range<usize> {
        let edge = |rank: usize| rank * count / self.launch.size;
        edge(self.launch.rank)..edge(self.launch.rank + 1)
    }

    /// The vectors of all ranks, `[size, n]`.
    ///
    /// # Errors
    /// Lost processes.
    pub fn all_gather(&self, vector: &Tensor) -> Result<Tensor, GroupError> {
        match &self.connected {
            None => vector.f_unsqueeze(0).map_err(|error| self.lost(&error)),
            Some(Connected { processes, .. }) => {
                processes.all_gather(vector).map_err(|error| self.lost(&error))
            }
        }
    }

    /// Sends the parts of `vector`, of `sent` elements each, one to each rank, and returns those of `got` elements that they send.
    ///
    /// # Errors
    /// Lost processes.
    pub fn all_to_all(
        &self,
        vector: &Tensor,
        sent: &[i64],
        got: &[i64],
    ) -> Result<Tensor, GroupError> {
        match &self.connected {
            None => Ok(vector.shallow_clone()),
            Some(Connected { processes, .. }) => {
                processes.all_to_all(vector, sent, got).map_err(|error| self.lost(&error))
            }
        }
    }

    /// Replaces the numbers in `tensors` by those of rank `root`.
    ///
    /// # Errors
    /// Lost processes, and any error of libtorch.
    pub fn take_from(&self, root: usize, tensors: &[Tensor]) -> anyhow::Result<()> {
        let Some(Connected { processes, .. }) = &self.connected else { return Ok(()) };
        for tensor in tensors {
            let tensor = tensor.f_detach()?;
            // On a CPU the tensor itself, which then needs no copy.
            let mut row = tensor.f_flatten(0, -1)?.f_to_device(Device::Cpu)?;
            processes.broadcast(&mut row, root).map_err(|error| self.lost(&error))?;
            tch::no_grad(|| tensor.shallow_clone().f_copy_(&row.f_view_as(&tensor)?))?;
        }
        Ok(())
    }

    /// The values of all ranks in order.
    ///
    /// # Errors
    /// Lost processes.
    pub fn all_values<T: Serialize + DeserializeOwned>(
        &self,
        value: &T,
    ) -> Result<Vec<T>, GroupError> {
        // Keeps every number to the bit, those that are not finite too.
        let bytes = rmp_serde::to_vec_named(value).expect("values for other ranks serialise");
        let own = Tensor::from_slice(&[bytes.len() as i64]);
        let lengths = Vec::<i64>::try_from(self.all_gather(&own)?.flatten(0, -1));
        let lengths = lengths.map_err(|error| self.lost(&error))?;
        let longest = lengths.iter().copied().max().unwrap_or(0) as usize;
        let mut padded = bytes;
        padded.resize(longest, 0);
        let all = self.all_gather(&Tensor::from_slice(&padded))?.flatten(0, -1);
        let all = Vec::<u8>::try_from(all).map_err(|error| self.lost(&error))?;
        let parts = all.chunks(longest.max(1)).zip(lengths);
        let read = parts.map(|(part, length)| rmp_serde::from_slice(&part[..length as usize]));
        read.collect::<Result<_, _>>().map_err(|error| GroupError::Lost {
            rank: self.rank(),
            lost: Vec::new(),
            reason: format!("an answer of another version: {error}"),
        })
    }

    /// The value of rank 0.
    ///
    /// # Errors
    /// Lost processes.
    pub fn of_lead<T: Serialize + DeserializeOwned>(&self, value: T) -> Result<T, GroupError> {
        if self.connected.is_none() {
            return Ok(value);
        }
        Ok(self.all_values(&value)?.swap_remove(0))
    }

    /// Which processes are gone, after a call that failed with `error`.
    fn lost(&self, error: &TchError) -> GroupError {
        let (rank, reason) = (self.rank(), reason(error));
        let Some(Connected { store, .. }) = &self.connected else {
            return GroupError::Lost { rank, lost: Vec::new(), reason };
        };
        let lost = self.first_lost(store).unwrap_or_else(|_| {
            // The store is gone with the process that hosted it.
            if self.launch.launcher_hosts_store { Vec::new() } else { vec![0] }
        });
        self.lost.replace(Some(lost.clone()));
        GroupError::Lost { rank, lost, reason }
    }

    fn first_lost(&self, store: &Store) -> Result<Vec<usize>, TchError> {
        let lost = match store.get(FIRST_LOST, AT_ONCE)? {
            Some(first) => vec![first as usize],
            None => silent(store, (0..self.size()).filter(|&other| other != self.rank()))?,
        };
        if let Some(&first) = lost.first() {
            store.set(FIRST_LOST, first as i64)?;
        }
        store.set(&knows(self.rank()), 1)?;
        Ok(lost)
    }
}

/// The key of a process that knows which one was lost.
fn knows(rank: usize) -> String {
    format!("knows/{rank}")
}

impl Drop for Group {
    /// The process that hosts the store keeps it until the others have read there which one was lost: some are still busy with
    /// their episodes when the first ones notice.
    fn drop(&mut self) {
        let (Some(Connected { store, .. }), Some(lost)) = (&self.connected, self.lost.get_mut())
        else {
            return;
        };
        if !self.launch.hosts_store() {
            return;
        }
        let deadline = Instant::now() + self.timeout;
        for other in (1..self.launch.size).filter(|other| !lost.contains(other)) {
            let left = deadline.saturating_duration_since(Instant::now());
            // Without an answer there is nobody left to wait for.
            let _ = store.get(&knows(other), left.max(AT_ONCE));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ranks::threads::with_groups;

    #[test]
    fn items_are_dealt_out_evenly_and_in_order() {
        for size in 1..6 {
            for count in 0..14 {
                let shares = (0..size).map(|rank| {
                    let launch = Launch { rank, size, ..Launch::alone() };
                    Group::of(launch, None, Duration::ZERO).share(count)
                });
                let shares: Vec<_> = shares.collect();
                assert_eq!(shares[0].start, 0);
                assert_eq!(shares[size - 1].end, count);
                assert!(shares.windows(2).all(|pair| pair[0].end == pair[1].start));
                let lengths = shares.iter().map(ExactSizeIterator::len);
                assert!(lengths.clone().max().unwrap() - lengths.min().unwrap() <= 1);
            }
        }
    }

    #[test]
    fn those_who_notice_late_name_the_same_rank() {
        let found = with_groups(3, |group| {
            match group.rank() {
                1 => return None,
                // Still busy when the first one has noticed, and would like to leave with its store.
                2 => std::thread::sleep(Duration::from_secs(7)),
                _ => {}
            }
            Some(group.all_values(&0).unwrap_err())
        });
        for error in found.into_iter().flatten() {
            assert!(matches!(&error, GroupError::Lost { lost, .. } if *lost == [1]), "{error}");
        }
    }

    #[test]
    fn a_process_by_itself_hears_itself() {
        let group = Group::alone();
        assert_eq!(group.all_values(&"word".to_owned()).unwrap(), ["word"]);
        assert_eq!(group.of_lead(3.5).unwrap(), 3.5);
        let vector = Tensor::from_slice(&[1.0_f32, 2.0]);
        let all = group.all_gather(&vector).unwrap();
        assert_eq!(all.size(), [1, 2]);
    }
}
