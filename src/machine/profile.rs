//! Where the time of a run goes: adds up the spans that the work announces.
//!
//! The work enters spans of the `tracing` crate, and knows no clock.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tch::Device;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry, SpanRef};

use super::device;
use crate::torch_ext;

/// The spans that count, each a phase of the work. They do not lie in one another, except in an outer step.
const PHASES: [&str; 9] = [
    // Turning the dataset into token ids, once.
    "tokenise",
    // Packing token ids into batches.
    "collate",
    "forward",
    "backward",
    // Inner and outer optimizer steps.
    "optimizer",
    // Between the processes of a run, waiting for the slowest included.
    EXCHANGE,
    // Evaluations on the meta-dev domains, all their passes included.
    EVALUATE,
    "checkpoint",
    OUTER_STEP,
];
const EXCHANGE: &str = "exchange";
const EVALUATE: &str = "evaluate";
const OUTER_STEP: &str = "outer_step";

/// Time and wordpieces added up by phase; workers add at once.
#[derive(Debug)]
pub struct Profile {
    device: Device,
    began: Instant,
    nanos: [AtomicU64; PHASES.len()],
    tokens: AtomicU64,
}

impl Profile {
    /// A profile of work on `device`, from now on.
    pub fn new(device: Device) -> Self {
        Self { device, began: Instant::now(), nanos: Default::default(), tokens: 0.into() }
    }

    fn seconds(&self, phase: &str) -> f64 {
        let phase = PHASES.iter().position(|name| *name == phase).expect("a phase of the table");
        self.nanos[phase].load(Ordering::Relaxed) as f64 * 1e-9
    }

    /// Seconds of each phase so far, and of all that is in none.
    pub fn phases_s(&self) -> BTreeMap<String, f64> {
        self.rows_s(self.began.elapsed().as_secs_f64())
            .into_iter()
            .map(|(name, phase_s)| (name.to_owned(), phase_s))
            .collect()
    }

    /// The same out of `total_s`, in the order of the table.
    fn rows_s(&self, total_s: f64) -> Vec<(&'static str, f64)> {
        let is_shown = |phase: &&str| match *phase {
            OUTER_STEP => false,
            EXCHANGE => self.seconds(EXCHANGE) > 0.0,
            _ => true,
        };
        let shown = PHASES.into_iter().filter(is_shown);
        let mut rows: Vec<(&str, f64)> = shown.map(|phase| (phase, self.seconds(phase))).collect();
        let in_phases_s: f64 = rows.iter().map(|(_, phase_s)| phase_s).sum();
        rows.push(("other", (total_s - in_phases_s).max(0.0)));
        rows
    }

    /// The table: seconds and share of each phase, wordpieces a second in outer steps, peak memory.
    pub fn table(&self) -> String {
        let total_s = self.began.elapsed().as_secs_f64();
        let mut table = format!("profile of {total_s:.1} s\n");
        for (name, phase_s) in self.rows_s(total_s) {
            let share = 100.0 * phase_s / total_s;
            writeln!(table, "  {name:<10} {phase_s:>9.2} s {share:>5.1} %")
                .expect("a string takes every line");
        }
        let tokens = self.tokens.load(Ordering::Relaxed) as f64;
        let speed = tokens / self.seconds(OUTER_STEP).max(1e-9);
        write!(table, "  {speed:.0} wordpieces/s in outer steps").expect("a string takes it");
        if let Some(peak_mib) = device::peak_memory_mib() {
            write!(table, ", peak memory {peak_mib} MiB").expect("a string takes it");
        }
        if let Some(peak_mib) = device::peak_device_memory_mib(self.device) {
            write!(table, ", on the GPU {peak_mib} MiB").expect("a string takes it");
        }
        table
    }

    /// Waits for the device, so that the time of work which a GPU still does is not taken for that of a later phase.
    fn now(&self) -> Instant {
        // The next operation that needs the result reports its error.
        let _ = torch_ext::synchronize(self.device);
        Instant::now()
    }
}

/// Listens to the spans from now on, for the life of the process: adds them to `profile`, and calls `on_forward` at the end of
/// every forward pass. Only the first call that has something to do has an effect.
pub fn observe(
    profile: Option<Arc<Profile>>,
    on_forward: Option<impl Fn() + Send + Sync + 'static>,
) {
    if profile.is_some() || on_forward.is_some() {
        let subscriber = Registry::default().with(Observer { profile, on_forward });
        let _ = tracing::subscriber::set_global_default(subscriber);
    }
}

/// The layer that [`observe`] installs.
struct Observer<F> {
    profile: Option<Arc<Profile>>,
    on_forward: Option<F>,
}

/// The state of a span that is open.
struct Open {
    /// Its place in [`PHASES`]; `None` for one that does not count, such as all within an evaluation, which counts itself.
    phase: Option<usize>,
    /// Whether the span is an evaluation or lies in one.
    is_evaluation: bool,
    /// Workers at once: each adds its share of the clock's time.
    at_once: u64,
    entered: Option<Instant>,
}

impl<F: Fn() + Send + Sync + 'static, S: Subscriber + for<'a> LookupSpan<'a>> Layer<S>
    for Observer<F>
{
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.is_span() && metadata.target().starts_with(env!("CARGO_CRATE_NAME"))
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(profile) = &self.profile else { return };
        let span = context.span(id).expect("the registry holds a span from its start");
        let mut numbers = Numbers::default();
        attributes.record(&mut numbers);
        let open = Open::new(&span, numbers.at_once.unwrap_or(1));
        if open.phase.is_some() {
            profile.tokens.fetch_add(numbers.tokens, Ordering::Relaxed);
        }
        span.extensions_mut().insert(open);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        let Some(profile) = &self.profile else { return };
        let span = context.span(id).expect("a span is held while it is entered");
        if let Some(open) = span.extensions_mut().get_mut::<Open>()
            && open.phase.is_some()
        {
            open.entered = Some(profile.now());
        }
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        let span = context.span(id).expect("a span is held while it is entered");
        if let Some(on_forward) = self.on_forward.as_ref().filter(|_| span.name() == "forward") {
            on_forward();
        }
        let Some(profile) = &self.profile else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>()
            && let (Some(phase), Some(entered)) = (open.phase, open.entered.take())
        {
            let elapsed: Duration = profile.now() - entered;
            let nanos = elapsed.as_nanos() as u64 / open.at_once;
            profile.nanos[phase].fetch_add(nanos, Ordering::Relaxed);
        }
    }
}

impl Open {
    fn new<'a, S: LookupSpan<'a>>(span: &SpanRef<'a, S>, at_once: u64) -> Self {
        let parent = span.parent();
        let parent = parent.as_ref().map(SpanRef::extensions);
        let outer = parent.as_ref().and_then(|extensions| extensions.get::<Self>());
        let is_inside = outer.is_some_and(|outer| outer.is_evaluation);
        Self {
            phase: PHASES.iter().position(|name| *name == span.name() && !is_inside),
            is_evaluation: is_inside || span.name() == EVALUATE,
            at_once: at_once * outer.map_or(1, |outer| outer.at_once),
            entered: None,
        }
    }
}

/// The numbers that spans carry.
#[derive(Default)]
struct Numbers {
    tokens: u64,
    at_once: Option<u64>,
}

impl Visit for Numbers {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let number = format!("{value:?}").parse().unwrap_or(0);
        match field.name() {
            "at_once" => self.at_once = Some(number),
            _ => self.tokens = number,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use tracing::trace_span;

    /// What a profile has counted of `work`, and the forward passes that it heard of.
    fn profiled(work: impl FnOnce()) -> (Arc<Profile>, usize) {
        let profile = Arc::new(Profile::new(Device::Cpu));
        let passes = Arc::new(AtomicUsize::new(0));
        let counted = passes.clone();
        let on_forward = move || {
            counted.fetch_add(1, Ordering::Relaxed);
        };
        let layer = Observer { profile: Some(profile.clone()), on_forward: Some(on_forward) };
        tracing::subscriber::with_default(Registry::default().with(layer), work);
        (profile, passes.load(Ordering::Relaxed))
    }

    fn sleep(milliseconds: u64) {
        std::thread::sleep(Duration::from_millis(milliseconds));
    }

    #[test]
    fn time_goes_to_the_span_that_was_entered_and_is_shared_among_workers() {
        let (profile, passes) = profiled(|| {
            let _step = trace_span!("outer_step").entered();
            trace_span!("worker", at_once = 2).in_scope(|| {
                trace_span!("forward", tokens = 7_i64).in_scope(|| sleep(40));
                sleep(5);
            });
        });
        let forward_s = profile.seconds("forward");
        assert!(forward_s >= 0.020, "{forward_s}");
        assert!(forward_s * 2.0 <= profile.seconds(OUTER_STEP) - 0.005, "{forward_s}");
        assert_eq!(profile.seconds("backward"), 0.0);
        assert_eq!((passes, profile.tokens.load(Ordering::Relaxed)), (1, 7));
        assert!(profile.table().contains("forward"));
    }

    #[test]
    fn everything_within_an_evaluation_counts_as_evaluation() {
        let (profile, passes) = profiled(|| {
            let evaluation = trace_span!("evaluate").entered();
            let worker = trace_span!(parent: &evaluation.clone(), "worker", at_once = 2);
            worker.in_scope(|| trace_span!("forward", tokens = 7_i64).in_scope(|| sleep(5)));
        });
        assert!(profile.seconds(EVALUATE) >= 0.005);
        assert_eq!(profile.seconds("forward"), 0.0);
        assert_eq!((passes, profile.tokens.load(Ordering::Relaxed)), (1, 0));
    }
}
