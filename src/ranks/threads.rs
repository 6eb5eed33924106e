//! Ranks that are threads of a test.

use std::net::TcpListener;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{Group, Launch};
use crate::torch_ext::GROUPS;

/// Runs `body` as each of `size` ranks, on a thread of its own.
pub fn as_ranks<T: Send>(size: usize, body: impl Fn(&Group) -> T + Sync) -> Vec<T> {
    with_groups(size, |group| {
        let found = body(&group);
        // The first one hosts the store for the others.
        group.of_lead(0).unwrap();
        found
    })
}

/// The same for a `body` that decides when it leaves its group.
pub fn with_groups<T: Send>(size: usize, body: impl Fn(Group) -> T + Sync) -> Vec<T> {
    static ATTEMPTS: AtomicUsize = AtomicUsize::new(0);
    let _held = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
    let attempt = ATTEMPTS.fetch_add(1, Ordering::Relaxed);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    std::thread::scope(|scope| {
        let body = &body;
        let ranks = (0..size).map(|rank| {
            let place =
                Launch { rank, size, local_rank: rank, local_size: size, ..Launch::alone() };
            let launch = Launch { port, attempt, ..place };
            scope.spawn(move || body(Group::join(launch, Duration::from_secs(30)).unwrap()))
        });
        let ranks: Vec<_> = ranks.collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}
