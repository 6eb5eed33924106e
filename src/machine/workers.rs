//! Independent jobs, several at once, each with its share of the threads.
//!
//! Knows nothing of what a job does. Results are handed over in the order of the jobs, whichever finished first, so that
//! everything computed from them is the same for every number of workers.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use anyhow::{Error, Result, anyhow};
use tch::Device;

use super::device::available_memory_mib;
use crate::torch_ext;

/// How many jobs run at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workers {
    count: usize,
    device: Device,
}

/// What the workers of one series share.
struct Progress {
    /// The next job that nobody has begun.
    next: usize,
    /// Jobs whose results were taken.
    taken: usize,
    /// Whether the series is to end early.
    is_over: bool,
}

struct Shared {
    progress: Mutex<Progress>,
    changed: Condvar,
}

impl Workers {
    /// At most `count` at once, and at least one, with tensors on `device`.
    pub fn new(count: usize, device: Device) -> Self {
        Self { count: count.max(1), device }
    }

    /// As many as are fastest for adaptations of a model of `num_parameters` on `device`, whose backward passes reach through
    /// `num_traced_steps` gradient steps.
    ///
    /// On a CPU small products on one thread each beat large ones on all of them, as far as memory goes; a GPU is filled by one.
    pub fn fastest(device: Device, num_parameters: i64, num_traced_steps: usize) -> Self {
        if device != Device::Cpu {
            return Self::new(1, device);
        }
        let num_threads = tch::get_num_threads().max(1) as u64;
        // Weights, gradients and two moments, with as much again for what a backward pass keeps; a step that is traced keeps that
        // and its own weights.
        let num_copies = 8 + 5 * num_traced_steps as u64;
        let needed_mib = (num_copies * 4 * num_parameters as u64) >> 20;
        let fitting = available_memory_mib().map_or(num_threads, |mib| mib / 2 / needed_mib.max(1));
        Self::new(num_threads.min(fitting) as usize, device)
    }

    /// One after the other.
    pub fn one() -> Self {
        Self::new(1, Device::Cpu)
    }

    /// How many of `num_jobs` jobs run at once.
    pub fn at_once(self, num_jobs: usize) -> usize {
        self.count.min(num_jobs).max(1)
    }

    /// Calls `work` for the jobs 0 to `num_jobs`, several at once, and `take` with their results in order on this thread.
    /// Each worker gets a value of its own from `context`, and an even share of the threads of libtorch, or on a GPU a stream
    /// of its own. A worker runs ahead of `take` by a bounded number of jobs.
    ///
    /// # Errors
    /// The error of the first job (in order) that failed, or that of `take`; jobs not begun are left out then.
    pub fn run<C: Send, T: Send>(
        self,
        num_jobs: usize,
        mut context: impl FnMut() -> Result<C>,
        work: impl Fn(&C, usize) -> Result<T> + Sync,
        mut take: impl FnMut(usize, T) -> Result<()>,
    ) -> Result<()> {
        let at_once = self.at_once(num_jobs);
        if at_once == 1 {
            let context = context()?;
            return (0..num_jobs).try_for_each(|job| take(job, work(&context, job)?));
        }
        let contexts = (0..at_once).map(|_| context()).collect::<Result<Vec<C>>>()?;
        // Streams know nothing of each other: whatever passes from one thread to another has to be finished.
        let finish = || torch_ext::synchronize(self.device);
        finish()?;
        let num_threads = tch::get_num_threads();
        let share = (num_threads / at_once as i32).max(1);
        let shared = Shared {
            progress: Mutex::new(Progress { next: 0, taken: 0, is_over: false }),
            changed: Condvar::new(),
        };
        let outcome = thread::scope(|scope| {
            let (sender, results) = mpsc::channel();
            let (shared, work) = (&shared, &work);
            let caller = tracing::Span::current();
            for (worker, context) in contexts.into_iter().enumerate() {
                let sender = sender.clone();
                let span = tracing::trace_span!(parent: &caller, "worker", at_once);
                scope.spawn(move || {
                    let _span = span.entered();
                    // A worker that panics must not leave the others waiting for it.
                    let _ends_series = EndOnPanic(shared);
                    tch::set_num_threads(share);
                    let stream = match self.device {
                        Device::Cuda(index) => torch_ext::use_stream_of_worker(index, worker),
                        _ => Ok(()),
                    };
                    while let Some(job) = shared.begin(num_jobs, 2 * at_once) {
                        let ready = stream.as_ref().map_err(|error| anyhow!("{error}"));
                        let result = ready.and_then(|()| work(&context, job));
                        let result = finish().map_err(Error::from).and(result);
                        // Nobody listens any more once the series has failed.
                        let _ = sender.send((job, result));
                    }
                });
            }
            drop(sender);
            let mut take_finished = |job, result| {
                take(job, result)?;
                Ok(finish()?)
            };
            let outcome = shared.take_in_order(num_jobs, &results, &mut take_finished);
            shared.end();
            outcome
        });
        // The share was also that of libraries that know only one number for the whole process.
        tch::set_num_threads(num_threads);
        outcome
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job to work on, once it is at most `ahead` jobs ahead of the results taken.
    fn begin(&self, num_jobs: usize, ahead: usize) -> Option<usize> {
        let must_wait = |progress: &mut Progress| {
            !progress.is_over && progress.next < num_jobs && progress.next >= progress.taken + ahead
        };
        let waited = self.changed.wait_while(self.lock(), must_wait);
        let mut progress = waited.unwrap_or_else(PoisonError::into_inner);
        if progress.is_over || progress.next >= num_jobs {
            return None;
        }
        progress.next += 1;
        Some(progress.next - 1)
    }

    fn take_in_order<T>(
        &self,
        num_jobs: usize,
        results: &mpsc::Receiver<(usize, Result<T>)>,
        take: &mut impl FnMut(usize, T) -> Result<()>,
    ) -> Result<()> {
        let mut early = BTreeMap::new();
        for job in 0..num_jobs {
            let result = loop {
                if let Some(result) = early.remove(&job) {
                    break result;
                }
                match results.recv() {
                    Ok((finished, result)) => early.insert(finished, result),
                    // Every worker is gone: one has panicked, which the scope passes on.
                    Err(mpsc::RecvError) => return Ok(()),
                };
            };
            take(job, result?)?;
            self.lock().taken = job + 1;
            self.changed.notify_all();
        }
        Ok(())
    }

    fn end(&self) {
        self.lock().is_over = true;
        self.changed.notify_all();
    }
}

struct EndOnPanic<'a>(&'a Shared);

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    fn squares(workers: usize, num_jobs: usize) -> Vec<(usize, usize)> {
        let mut taken = Vec::new();
        let work = |_: &(), job: usize| {
            // Later jobs finish first.
            thread::sleep(Duration::from_micros(300 * (num_jobs - job) as u64));
            Ok(job * job)
        };
        let take = |job, square| {
            taken.push((job, square));
            Ok(())
        };
        Workers::new(workers, Device::Cpu).run(num_jobs, || Ok(()), work, take).unwrap();
        taken
    }

    #[test]
    fn results_come_in_order_whoever_finishes_first() {
        let expected: Vec<_> = (0..9).map(|job| (job, job * job)).collect();
        for workers in [0, 1, 2, 3, 20] {
            assert_eq!(squares(workers, 9), expected, "{workers} workers");
        }
        assert_eq!(squares(4, 0), []);
    }

    #[test]
    fn the_first_error_in_order_is_told_and_ends_the_series() {
        let begun = AtomicUsize::new(0);
        for workers in [1, 3] {
            let work = |_: &(), job: usize| {
                begun.fetch_add(1, Ordering::Relaxed);
                if job == 2 {
                    thread::sleep(Duration::from_millis(20));
                }
                if job >= 2 { anyhow::bail!("job {job}") } else { Ok(job) }
            };
            let found =
                Workers::new(workers, Device::Cpu).run(1_000, || Ok(()), work, |_, _| Ok(()));
            assert_eq!(found.unwrap_err().to_string(), "job 2", "{workers} workers");
        }
        assert!(begun.load(Ordering::Relaxed) < 30, "the series continued after its error");
    }

    #[test]
    fn workers_do_not_run_far_ahead_of_what_is_taken() {
        let (begun, mut most) = (AtomicUsize::new(0), 0);
        let work = |_: &(), _| Ok(begun.fetch_add(1, Ordering::SeqCst));
        let take = |job, _| {
            thread::sleep(Duration::from_millis(1));
            most = most.max(begun.load(Ordering::SeqCst) - job);
            Ok(())
        };
        Workers::new(2, Device::Cpu).run(50, || Ok(()), work, take).unwrap();
        assert!(most <= 5, "{most} jobs begun and not taken");
    }

    #[test]
    #[should_panic]
    fn a_panic_in_a_worker_reaches_the_caller() {
        let work = |_: &(), job: usize| if job == 3 { panic!("a bug") } else { Ok(()) };
        let _ = Workers::new(2, Device::Cpu).run(100, || Ok(()), work, |_, ()| Ok(()));
    }
}
