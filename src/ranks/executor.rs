//! Independent jobs, dealt out to the processes of a run and to the workers of each.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, anyhow};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Group, GroupError};
use crate::machine::Workers;

/// Who computes independent jobs: the processes of a group, and several workers in each. Every process gets all results, in the
/// order of the jobs; what is computed from them is the same everywhere, and for every number of processes and workers.
#[derive(Clone, Copy)]
pub struct Executor<'a> {
    /// Absent for one process.
    group: Option<&'a Group>,
    workers: Workers,
    /// The most jobs of a process from one exchange of results to the next; the same number in all of them.
    most_in_a_round: usize,
    stop: Option<&'a AtomicUsize>,
}

/// A signal asked for a stop at one of the processes.
#[derive(Debug, Error)]
#[error("stop requested")]
pub struct StopRequested;

/// Where the part of a result is that does not travel.
pub enum Kept<L> {
    /// In this process.
    Here(L),
    /// In the process with this rank.
    At(usize),
}

/// What a process has to say after a round.
#[derive(Serialize, Deserialize)]
struct Report<T> {
    /// Whether it is to stop.
    stops: bool,
    /// Its results, or why there are none.
    results: Result<Vec<T>, String>,
}

impl<'a> Executor<'a> {
    /// This process by itself.
    pub fn new(workers: Workers) -> Self {
        Self { group: None, workers, most_in_a_round: usize::MAX, stop: None }
    }

    /// All processes of `group`, each of which has `workers` of its own.
    ///
    /// # Errors
    /// Lost processes.
    pub fn over(group: &'a Group, workers: Workers) -> Result<Self, GroupError> {
        if group.size() == 1 {
            return Ok(Self::new(workers));
        }
        let counts = group.all_values(&workers.at_once(usize::MAX))?;
        let most_in_a_round = counts.into_iter().min().unwrap_or(1);
        Ok(Self { group: Some(group), most_in_a_round, ..Self::new(workers) })
    }

    /// The same until `stop` is not 0 any more.
    pub fn until(self, stop: &'a AtomicUsize) -> Self {
        Self { stop: Some(stop), ..self }
    }

    /// The same for jobs so short that all are computed before results are exchanged.
    pub fn in_one_round(self) -> Self {
        Self { most_in_a_round: usize::MAX, ..self }
    }

    /// The group, where there are several processes.
    pub fn group(&self) -> Option<&'a Group> {
        self.group
    }

    /// Calls `work` for the jobs 0 to `num_jobs`, several at once, each with what `context` makes for its thread, and `take` in
    /// every process with all results in order.
    ///
    /// # Errors
    /// An error of either, [`StopRequested`], and lost processes.
    pub fn run<C: Send, T: Serialize + DeserializeOwned + Send>(
        self,
        num_jobs: usize,
        context: impl FnMut() -> Result<C>,
        work: impl Fn(&C, usize) -> Result<T> + Sync,
        mut take: impl FnMut(usize, T) -> Result<()>,
    ) -> Result<()> {
        let work = |context: &C, job: usize| Ok((work(context, job)?, ()));
        self.run_keeping(num_jobs, context, work, |job, result, _| take(job, result))
    }

    /// The same for results of which a part stays in the process that has computed them.
    ///
    /// # Errors
    /// As [`Executor::run`].
    pub fn run_keeping<C: Send, T: Serialize + DeserializeOwned + Send, L: Send>(
        self,
        num_jobs: usize,
        mut context: impl FnMut() -> Result<C>,
        work: impl Fn(&C, usize) -> Result<(T, L)> + Sync,
        mut take: impl FnMut(usize, T, Kept<L>) -> Result<()>,
    ) -> Result<()> {
        let Some(group) = self.group else {
            return self.workers.run(num_jobs, context, work, |job, (result, kept)| {
                take(job, result, Kept::Here(kept))?;
                self.ensure_goes_on()
            });
        };
        let in_a_round = self.most_in_a_round.saturating_mul(group.size());
        for first in (0..num_jobs).step_by(in_a_round) {
            let count = in_a_round.min(num_jobs - first);
            let share = group.share(count);
            let (mut results, mut kept) = (Vec::new(), VecDeque::new());
            let work = |context: &C, job: usize| work(context, first + share.start + job);
            let found = self.workers.run(share.len(), &mut context, work, |_, (result, own)| {
                results.push(result);
                kept.push_back(own);
                self.ensure_goes_on()
            });
            let results = match &found {
                Err(error) => Err(format!("{error:#}")),
                Ok(()) => Ok(results),
            };
            let stops = self.ensure_goes_on().is_err();
            let all = group.all_values(&Report { stops, results })?;
            if all.iter().any(|report| report.stops) {
                return Err(StopRequested.into());
            }
            found?;
            let mut job = first;
            for (rank, Report { results, .. }) in all.into_iter().enumerate() {
                for result in results.map_err(|error| anyhow!("rank {rank}: {error}"))? {
                    let own = if rank == group.rank() { kept.pop_front() } else { None };
                    take(job, result, own.map_or(Kept::At(rank), Kept::Here))?;
                    job += 1;
                }
            }
        }
        Ok(())
    }

    fn ensure_goes_on(&self) -> Result<()> {
        match self.stop.map_or(0, |stop| stop.load(Ordering::Relaxed)) {
            0 => Ok(()),
            _ => Err(StopRequested.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::ranks::threads::as_ranks;

    fn workers(count: usize) -> Workers {
        Workers::new(count, Device::Cpu)
    }

    #[test]
    fn every_process_gets_all_results_in_order_and_knows_where_the_rest_is() {
        for (size, num_jobs) in [(1, 5), (2, 5), (3, 2), (3, 11)] {
            let found = as_ranks(size, |group| {
                let executor = Executor::over(group, workers(1 + group.rank())).unwrap();
                let (mut results, mut places) = (Vec::new(), Vec::new());
                let work = |(): &(), job: usize| Ok(((job, f32::INFINITY / job as f32), job));
                let take = |job, result, kept| {
                    results.push((job, result));
                    places.push(match kept {
                        Kept::Here(own) => {
                            assert_eq!(own, job);
                            group.rank()
                        }
                        Kept::At(rank) => rank,
                    });
                    Ok(())
                };
                executor.run_keeping(num_jobs, || Ok(()), work, take).unwrap();
                (results, places)
            });
            let expected = (0..num_jobs).map(|job| (job, (job, f32::INFINITY)));
            assert_eq!(found[0].0, expected.collect::<Vec<_>>());
            assert!(found.iter().all(|rank| *rank == found[0]), "{found:?}");
        }
    }

    #[test]
    fn an_error_or_a_stop_at_one_process_ends_the_series_in_all() {
        let stop = AtomicUsize::new(15);
        let ends = |fails: bool| {
            as_ranks(3, |group| {
                let executor = Executor::over(group, workers(1)).unwrap();
                let executor = match group.rank() {
                    1 if !fails => executor.until(&stop),
                    _ => executor,
                };
                let work = |(): &(), job: usize| match job {
                    4 if fails => anyhow::bail!("too little of something"),
                    job => Ok(job),
                };
                let mut taken = 0;
                let take = |_, _| {
                    taken += 1;
                    Ok(())
                };
                let ended = executor.run(100, || Ok(()), work, take).unwrap_err();
                (taken, ended.is::<StopRequested>(), ended.to_string())
            })
        };
        for (rank, (taken, is_stop, message)) in ends(true).into_iter().enumerate() {
            let whose = if rank == 1 { "" } else { "rank 1: " };
            assert_eq!(message, format!("{whose}too little of something"));
            assert!(!is_stop && taken == if rank == 1 { 3 } else { 4 }, "{taken}");
        }
        assert!(ends(false).iter().all(|(taken, is_stop, _)| *is_stop && *taken == 0));
    }
}
