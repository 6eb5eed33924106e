//! Stopping by signal: the first one finishes the outer step and saves, a second one ends at once.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use signal_hook::low_level;

/// Signals this close to the first one count as the same request: `timeout` and terminals send
/// theirs to the process and to its group, so that one request arrives twice.
const SAME_REQUEST: Duration = Duration::from_secs(1);

/// A number that becomes that of the first SIGINT or SIGTERM, or SIGUSR1, by which batch systems warn before they end a job.
///
/// # Errors
/// The system's, where handlers can't be installed.
pub fn stop_on_signals(speaks: bool) -> io::Result<Arc<AtomicUsize>> {
    let stop = Arc::new(AtomicUsize::new(0));
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGUSR1])?;
    let flag = stop.clone();
    std::thread::spawn(move || {
        let mut first = None;
        for signal in signals.forever() {
            match first {
                None => {
                    first = Some(Instant::now());
                    flag.store(signal as usize, Ordering::Relaxed);
                    if speaks {
                        // Training stops even where nobody reads stderr any more.
                        let _ = writeln!(
                            io::stderr(),
                            "stopping after this outer step; interrupt again to stop immediately"
                        );
                    }
                }
                Some(at) if at.elapsed() < SAME_REQUEST => {}
                Some(_) => low_level::exit(128 + signal),
            }
        }
    });
    Ok(stop)
}
