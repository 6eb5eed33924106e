//! Several processes as one group: libtorch's c10d with a TCP store, and Gloo between CPUs.

use std::ffi::{CString, c_char, c_void};
use std::time::Duration;

use tch::{Device, TchError, Tensor};
use torch_sys::C_tensor;

unsafe extern "C" {
    fn metabert_store_open(
        out: *mut *mut c_void,
        host: *const c_char,
        port: u16,
        hosts_store: bool,
        prefix: *const c_char,
        timeout_ms: i64,
    ) -> *const c_char;
    fn metabert_store_close(store: *mut c_void);
    fn metabert_store_set(store: *mut c_void, key: *const c_char, number: i64) -> *const c_char;
    fn metabert_store_get(
        store: *mut c_void,
        key: *const c_char,
        timeout_ms: i64,
        found: *mut bool,
        number: *mut i64,
    ) -> *const c_char;
    fn metabert_group_join(
        out: *mut *mut c_void,
        store: *mut c_void,
        address: *const c_char,
        rank: i32,
        size: i32,
        timeout_ms: i64,
    ) -> *const c_char;
    fn metabert_group_leave(group: *mut c_void);
    fn metabert_group_all_gather(
        group: *mut c_void,
        input: *const C_tensor,
        output: *const C_tensor,
    ) -> *const c_char;
    fn metabert_group_all_to_all(
        group: *mut c_void,
        input: *const C_tensor,
        input_sizes: *const i64,
        output: *const C_tensor,
        output_sizes: *const i64,
    ) -> *const c_char;
    fn metabert_group_broadcast(
        group: *mut c_void,
        tensor: *const C_tensor,
        root: i32,
    ) -> *const c_char;
}

fn c_string(text: &str) -> Result<CString, TchError> {
    CString::new(text)
        .map_err(|_| TchError::Torch(format!("expected a text without NUL, found {text:?}")))
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// A place where processes leave numbers for each other: one of them hosts it, or their launcher.
#[derive(Debug)]
pub struct Store(*mut c_void);

impl Store {
    /// Opens the store at `host` and `port`, or connects to it within `timeout`. `prefix` keeps its keys apart from those of
    /// others.
    ///
    /// # Errors
    /// A port that is taken, or where nobody answers as a store does.
    pub fn open(
        (host, port): (&str, u16),
        is_host: bool,
        prefix: &str,
        timeout: Duration,
    ) -> Result<Self, TchError> {
        let (host, prefix) = (c_string(host)?, c_string(prefix)?);
        let (mut store, timeout) = (std::ptr::null_mut(), milliseconds(timeout));
        // SAFETY: the texts outlive the call, which fills the place where it succeeds.
        unsafe {
            super::shim_result(metabert_store_open(
                &mut store,
                host.as_ptr(),
                port,
                is_host,
                prefix.as_ptr(),
                timeout,
            ))?;
        }
        Ok(Self(store))
    }

    /// Leaves a number under a key.
    ///
    /// # Errors
    /// A store that is gone.
    pub fn set(&self, key: &str, number: i64) -> Result<(), TchError> {
        let key = c_string(key)?;
        // SAFETY: the store is open, and the text outlives the call.
        unsafe { super::shim_result(metabert_store_set(self.0, key.as_ptr(), number)) }
    }

    /// The number under a key, if somebody leaves one within `timeout`.
    ///
    /// # Errors
    /// A store that is gone.
    pub fn get(&self, key: &str, timeout: Duration) -> Result<Option<i64>, TchError> {
        let (key, timeout) = (c_string(key)?, milliseconds(timeout));
        let (mut found, mut number) = (false, 0);
        // SAFETY: as above, and the places for the answer outlive the call.
        unsafe {
            super::shim_result(metabert_store_get(
                self.0,
                key.as_ptr(),
                timeout,
                &mut found,
                &mut number,
            ))?;
        }
        Ok(found.then_some(number))
    }
}

// SAFETY: libtorch's store has a lock of its own around every call.
unsafe impl Send for Store {}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: made by `open`, and closed once.
        unsafe { metabert_store_close(self.0) }
    }
}

/// Connections between all processes of a group, one of which this is. All of them make the same calls in the same order.
#[derive(Debug)]
pub struct ProcessGroup {
    group: *mut c_void,
    size: usize,
}

impl ProcessGroup {
    /// Connects process `rank` to the other `size - 1`, which meet at `store`. `address` is that of this machine to bind to; empty
    /// for that of the interface GLOO_SOCKET_IFNAME, or else for the one that its name resolves to. A call that the others do not
    /// answer within `timeout` fails.
    ///
    /// # Errors
    /// A rank that is none; processes that cannot be reached.
    pub fn join(
        store: &Store,
        address: &str,
        (rank, size): (usize, usize),
        timeout: Duration,
    ) -> Result<Self, TchError> {
        let number = |number: usize| {
            i32::try_from(number).map_err(|_| TchError::Torch(format!("{number}: too large")))
        };
        let (address, rank, count) = (c_string(address)?, number(rank)?, number(size)?);
        let (mut group, timeout) = (std::ptr::null_mut(), milliseconds(timeout));
        // SAFETY: the store is open; the text outlives the call, which fills the place where it succeeds.
        unsafe {
            super::shim_result(metabert_group_join(
                &mut group,
                store.0,
                address.as_ptr(),
                rank,
                count,
                timeout,
            ))?;
        }
        Ok(Self { group, size })
    }

    /// The vectors `[n]` of all ranks in order, `[size, n]`; all have the same length and dtype.
    ///
    /// # Errors
    /// A tensor that is no contiguous vector on the CPU; processes that do not answer.
    pub fn all_gather(&self, vector: &Tensor) -> Result<Tensor, TchError> {
        let count = vector.numel() as i64;
        let gathered = Tensor::f_empty([self.size as i64 * count], (vector.kind(), Device::Cpu))?;
        // SAFETY: the tensors outlive the call, and nobody else knows the one that it writes to.
        unsafe {
            super::shim_result(metabert_group_all_gather(
                self.group,
                vector.as_ptr(),
                gathered.as_ptr(),
            ))?;
        }
        gathered.f_view([self.size as i64, count])
    }

    /// Sends the parts of `vector`, of `sent` elements each, one to each rank, and returns what they send here: parts of `got`
    /// elements.
    ///
    /// # Errors
    /// As for [`all_gather`](Self::all_gather), and sizes that do not fit.
    pub fn all_to_all(
        &self,
        vector: &Tensor,
        sent: &[i64],
        got: &[i64],
    ) -> Result<Tensor, TchError> {
        if sent.len() != self.size || got.len() != self.size {
            return Err(TchError::Torch(format!("expected {} sizes of parts", self.size)));
        }
        let received = Tensor::f_empty([got.iter().sum::<i64>()], (vector.kind(), Device::Cpu))?;
        // SAFETY: as above; there are as many sizes as ranks.
        unsafe {
            super::shim_result(metabert_group_all_to_all(
                self.group,
                vector.as_ptr(),
                sent.as_ptr(),
                received.as_ptr(),
                got.as_ptr(),
            ))?;
        }
        Ok(received)
    }

    /// Replaces `vector` by that of rank `root`; all have the same length and dtype.
    ///
    /// # Errors
    /// As for [`all_gather`](Self::all_gather).
    pub fn broadcast(&self, vector: &mut Tensor, root: usize) -> Result<(), TchError> {
        // SAFETY: the tensor outlives the call, and is borrowed for writing.
        unsafe {
            super::shim_result(metabert_group_broadcast(self.group, vector.as_ptr(), root as i32))
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        // SAFETY: made by `join`, and left once.
        unsafe { metabert_group_leave(self.group) }
    }
}

/// Held while a test has a group: all of a process share their port numbers.
#[cfg(test)]
pub(crate) static GROUPS: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::PoisonError;

    use tch::Kind;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(20);

    fn free_port() -> u16 {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    /// Runs `body` as each of `size` ranks, on a thread of its own.
    fn as_ranks<T: Send>(size: usize, body: impl Fn(&ProcessGroup, usize) -> T + Sync) -> Vec<T> {
        let _held = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
        let port = free_port();
        std::thread::scope(|scope| {
            let body = &body;
            let ranks = (0..size).map(|rank| {
                scope.spawn(move || {
                    let store =
                        Store::open(("127.0.0.1", port), rank == 0, "test", TIMEOUT).unwrap();
                    let group =
                        ProcessGroup::join(&store, "127.0.0.1", (rank, size), TIMEOUT).unwrap();
                    let found = body(&group, rank);
                    // The store must outlive the others' use of it.
                    let _ = group.all_gather(&Tensor::from_slice(&[0_i64])).unwrap();
                    found
                })
            });
            let ranks: Vec<_> = ranks.collect();
            ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
        })
    }

    #[test]
    fn vectors_travel_between_all_ranks() {
        for size in [1, 2, 3] {
            as_ranks(size, |group, rank| {
                let mine = Tensor::from_slice(&[rank as f32, 10.0]);
                let all: Vec<f32> =
                    group.all_gather(&mine).unwrap().flatten(0, -1).try_into().unwrap();
                let expected: Vec<f32> = (0..size).flat_map(|rank| [rank as f32, 10.0]).collect();
                assert_eq!(all, expected);

                // Rank r sends r + 1 numbers to each, none to itself.
                let count = |from: usize, to: usize| if from == to { 0 } else { from as i64 + 1 };
                let sent: Vec<i64> = (0..size).map(|to| count(rank, to)).collect();
                let got: Vec<i64> = (0..size).map(|from| count(from, rank)).collect();
                let parts = (0..size).flat_map(|to| {
                    std::iter::repeat_n((10 * rank + to) as f32, count(rank, to) as usize)
                });
                let parts = Tensor::from_slice(&parts.collect::<Vec<f32>>());
                let received: Vec<f32> =
                    group.all_to_all(&parts, &sent, &got).unwrap().try_into().unwrap();
                let expected: Vec<f32> = (0..size)
                    .flat_map(|from| {
                        std::iter::repeat_n((10 * from + rank) as f32, count(from, rank) as usize)
                    })
                    .collect();
                assert_eq!(received, expected);

                let mut vector = Tensor::from_slice(&[rank as i64; 3]);
                group.broadcast(&mut vector, size - 1).unwrap();
                assert_eq!(Vec::<i64>::try_from(vector).unwrap(), [size as i64 - 1; 3]);
            });
        }
    }

    #[test]
    fn what_is_no_vector_is_refused() {
        as_ranks(1, |group, _| {
            let matrix = Tensor::zeros([2, 2], (Kind::Float, Device::Cpu));
            super::super::tests::fails(group.all_gather(&matrix), "a contiguous vector on the CPU");
            let vector = matrix.flatten(0, -1);
            super::super::tests::fails(
                group.all_to_all(&vector, &[3], &[4]),
                "buffers of the sizes of their parts",
            );
        });
    }

    #[test]
    fn a_number_is_found_once_it_has_been_left() {
        let _held = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
        let port = free_port();
        let store = Store::open(("127.0.0.1", port), true, "numbers", TIMEOUT).unwrap();
        let short = Duration::from_millis(100);
        assert_eq!(store.get("count", short).unwrap(), None);
        for number in [-7, 3] {
            store.set("count", number).unwrap();
            assert_eq!(store.get("count", short).unwrap(), Some(number));
        }
    }
}
