//! The processes of a run as one group.

use std::cell::OnceCell;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tch::{Device, TchError, Tensor};

use super::error::{GroupError, reason};
use super::launch::Launch;
use super::roll::Roll;
use crate::torch_ext::{Communicator, ProcessGroup};

/// The processes of a run, one of which this is; or this one by itself.
#[derive(Debug)]
pub struct Group {
    launch: Launch,
    connected: Option<Connected>,
}

#[derive(Debug)]
struct Connected {
    // In the order in which they end: without its connections others notice, and read in the store what has happened.
    gpus: OnceCell<Communicator>,
    processes: ProcessGroup,
    timeout: Duration,
    roll: Roll,
}

impl Group {
    /// This process by itself.
    pub fn alone() -> Self {
        Self { launch: Launch::alone(), connected: None }
    }

    /// Meets the other processes of a launch. They, and every later answer of theirs, are waited for up to `timeout`.
    ///
    /// # Errors
    /// A store that cannot be reached, and processes that do not come.
    pub fn join(launch: Launch, timeout: Duration) -> Result<Self, GroupError> {
        if launch.size == 1 {
            return Ok(Self { launch, connected: None });
        }
        let (rank, size) = (launch.rank, launch.size);
        let is_local = launch.local_size == size;
        let address = if is_local { "127.0.0.1" } else { "" };
        let roll = Roll::call(launch.clone(), timeout)?;
        let processes = ProcessGroup::join(roll.store(), address, (rank, size), timeout);
        let processes = processes.map_err(|error| roll.lost(&error))?;
        let connected = Connected { gpus: OnceCell::new(), processes, timeout, roll };
        Ok(Self { launch, connected: Some(connected) })
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

    /// How long it waits for an answer.
    pub(super) fn timeout(&self) -> Duration {
        self.connected.as_ref().map_or(Duration::ZERO, |connected| connected.timeout)
    }

    /// Gives this process of several its place among the GPUs that sum tensors.
    pub(super) fn set_gpus(&self, gpus: Communicator) {
        if let Some(connected) = &self.connected {
            connected.gpus.get_or_init(|| gpus);
        }
    }

    /// Whether the GPUs of all processes are connected.
    pub fn has_gpus(&self) -> bool {
        self.gpus().is_some()
    }

    fn gpus(&self) -> Option<&Communicator> {
        self.connected.as_ref()?.gpus.get()
    }

    /// Replaces each of `tensors`, contiguous on this process's GPU, by its sum over all processes, the same to the bit in all of
    /// them, and waits for it. A group without connected GPUs leaves them as they are.
    ///
    /// # Errors
    /// Lost processes.
    pub fn sum_on_gpus(&self, tensors: &[Tensor]) -> Result<(), GroupError> {
        let Some(gpus) = self.gpus() else { return Ok(()) };
        let summed = gpus.all_reduce(tensors, || self.others_are_there());
        summed.map_err(|error| self.lost(&error))
    }

    /// Whether all others give signs of life, which takes seconds to find out.
    pub(super) fn others_are_there(&self) -> bool {
        let gone = self.connected.as_ref().map(|connected| connected.roll.silent_ones());
        gone.is_none_or(|gone| gone.is_ok_and(|gone| gone.is_empty()))
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
        match &self.connected {
            Some(Connected { roll, .. }) => roll.lost(error),
            None => {
                let (rank, lost) = (self.rank(), Vec::new());
                GroupError::Lost { rank, lost, reason: reason(error) }
            }
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
                    Group { launch, connected: None }.share(count)
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
        let found: Vec<GroupError> = found.into_iter().flatten().collect();
        assert_eq!(found.len(), 2);
        for error in found {
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
