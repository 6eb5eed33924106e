//! Where the time of a training run goes.

use std::cell::Cell;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tch::Device;

use crate::machine::device;
use crate::torch_ext;

/// What time is spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Turning the dataset into token ids, once.
    Tokenise,
    /// Packing token ids into batches, and gathering the embedding rows of an episode.
    Collate,
    /// Forward passes.
    Forward,
    /// Backward passes.
    Backward,
    /// Inner and outer optimizer steps.
    Optimizer,
    /// Evaluations on the meta-dev domains, all their passes included.
    Evaluate,
    /// Writing checkpoints.
    Checkpoint,
}

const PHASES: [(Phase, &str); 7] = [
    (Phase::Tokenise, "tokenise"),
    (Phase::Collate, "collate"),
    (Phase::Forward, "forward"),
    (Phase::Backward, "backward"),
    (Phase::Optimizer, "optimizer"),
    (Phase::Evaluate, "evaluate"),
    (Phase::Checkpoint, "checkpoint"),
];

/// Adds up time by phase; workers add to it at once.
#[derive(Debug)]
pub struct Profile {
    device: Device,
    began: Instant,
    nanos: [AtomicU64; PHASES.len()],
    outer_steps_nanos: AtomicU64,
    tokens: AtomicU64,
}

impl Profile {
    /// A profile of work on `device`, from now on.
    pub fn new(device: Device) -> Self {
        Self {
            device,
            began: Instant::now(),
            nanos: Default::default(),
            outer_steps_nanos: AtomicU64::new(0),
            tokens: AtomicU64::new(0),
        }
    }

    /// Adds time to a phase. Where `workers` add at once, each adds its share of the clock's.
    pub fn add(&self, phase: Phase, elapsed: Duration, workers: usize) {
        let nanos = elapsed.as_nanos() as u64 / workers as u64;
        self.nanos[phase as usize].fetch_add(nanos, Ordering::Relaxed);
    }

    /// Adds the time of an outer step, all its phases together.
    pub fn add_outer_step(&self, elapsed: Duration) {
        self.outer_steps_nanos.fetch_add(elapsed.as_nanos() as u64, Ordering::Relaxed);
    }

    /// The table: seconds and share of each phase, wordpieces a second in outer steps, peak memory.
    pub fn table(&self) -> String {
        let total_s = self.began.elapsed().as_secs_f64();
        let seconds = |nanos: &AtomicU64| nanos.load(Ordering::Relaxed) as f64 * 1e-9;
        let mut rest_s = total_s;
        let mut table = format!("profile of {total_s:.1} s\n");
        let mut row = |name: &str, phase_s: f64| {
            let share = 100.0 * phase_s / total_s;
            writeln!(table, "  {name:<10} {phase_s:>9.2} s {share:>5.1} %")
                .expect("a string takes every line");
        };
        for (phase, name) in PHASES {
            let phase_s = seconds(&self.nanos[phase as usize]);
            rest_s -= phase_s;
            row(name, phase_s);
        }
        row("other", rest_s.max(0.0));
        let tokens = self.tokens.load(Ordering::Relaxed) as f64;
        let speed = tokens / seconds(&self.outer_steps_nanos).max(1e-9);
        write!(table, "  {speed:.0} wordpieces/s in outer steps").expect("a string takes it");
        if let Some(peak_mib) = device::peak_memory_mib() {
            write!(table, ", peak memory {peak_mib} MiB").expect("a string takes it");
        }
        if let Some(peak_mib) = device::peak_device_memory_mib(self.device) {
            write!(table, ", on the GPU {peak_mib} MiB").expect("a string takes it");
        }
        table
    }
}

/// Follows one thread of work from phase to phase.
#[derive(Debug)]
pub struct Stopwatch<'a> {
    profile: &'a Profile,
    workers: usize,
    current: Cell<Option<(Phase, Instant)>>,
}

impl<'a> Stopwatch<'a> {
    /// A stopwatch that stands; one of `workers` that run at once.
    pub fn new(profile: &'a Profile, workers: usize) -> Self {
        Self { profile, workers, current: Cell::new(None) }
    }

    /// A stopwatch for one of `workers`.
    pub fn for_worker(&self, workers: usize) -> Self {
        Self::new(self.profile, workers)
    }

    /// Ends the phase that runs, and begins another; `None` stops. Waits for the device first, so that work which a GPU
    /// still does is not taken for that of a later phase.
    pub fn turn_to(&self, phase: Option<Phase>) {
        // What went wrong there is told by the next operation that needs the result.
        let _ = torch_ext::synchronize(self.profile.device);
        let now = Instant::now();
        let next = phase.map(|phase| (phase, now));
        if let Some((phase, since)) = self.current.replace(next) {
            self.profile.add(phase, now - since, self.workers);
        }
    }

    /// Counts wordpieces that were computed on.
    pub fn count_tokens(&self, tokens: i64) {
        self.profile.tokens.fetch_add(tokens as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_keep_their_places_in_the_table() {
        for (index, (phase, _)) in PHASES.iter().enumerate() {
            assert_eq!(*phase as usize, index);
        }
    }

    #[test]
    fn time_goes_to_the_phase_that_ran_and_is_shared_among_workers() {
        let profile = Profile::new(Device::Cpu);
        let watch = Stopwatch::new(&profile, 2);
        watch.turn_to(Some(Phase::Forward));
        std::thread::sleep(Duration::from_millis(40));
        watch.turn_to(None);
        std::thread::sleep(Duration::from_millis(5));
        let nanos = |phase: Phase| profile.nanos[phase as usize].load(Ordering::Relaxed);
        assert!(nanos(Phase::Forward) >= 20_000_000, "{}", nanos(Phase::Forward));
        assert_eq!(nanos(Phase::Backward), 0);
        assert!(profile.table().contains("forward"));
    }
}
