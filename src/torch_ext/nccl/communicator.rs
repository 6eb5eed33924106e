//! This process among those that sum tensors of their GPUs.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr::null_mut;
use std::sync::mpsc;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use tch::{Device, Kind, TchError, Tensor};

use super::super::device::{current_stream, is_idle, make_current};
use super::library::{
    Comm, Config, FLOAT32, FLOAT64, IN_PROGRESS, Nccl, SUCCESS, SUM, UniqueId, failed,
};

/// Time between two looks at work that has begun.
const POLL: Duration = Duration::from_micros(50);
/// Work that has begun is short: after so long it is asked whether all others are still there.
const LONG: Duration = Duration::from_secs(30);
/// An abort waits for the GPU, and in some releases for ever. After this time the process does not wait for it.
const ABORT: Duration = Duration::from_secs(30);

/// This process among those that sum tensors of their GPUs. All of them make the same calls in the same order. After an error it is
/// of no use any more: instead of waiting for ever for processes that are gone, its work on the GPU is aborted.
#[derive(Debug)]
pub struct Communicator {
    nccl: &'static Nccl,
    /// Null once it has been aborted.
    comm: Cell<Comm>,
    device: usize,
    timeout: Duration,
}

impl Communicator {
    /// Joins the group of an id as process `rank` of `size`, with GPU number `device`, which no other of them may have. A call
    /// that the others do not answer within `timeout` fails, and sooner where `others_are_there` says that they are not.
    ///
    /// # Errors
    /// A GPU that is not there; processes that cannot be reached; an id of another length.
    pub fn join(
        nccl: &'static Nccl,
        id: &[u8],
        (rank, size): (usize, usize),
        device: usize,
        timeout: Duration,
        others_are_there: impl Fn() -> bool,
    ) -> Result<Self, TchError> {
        let id = id.try_into().map_err(|_| failed("expected an id of 128 bytes"))?;
        let number = |number: usize| c_int::try_from(number).map_err(|_| failed("too many"));
        let (rank, size) = (number(rank)?, number(size)?);
        make_current(device)?;
        let (mut config, mut comm) = (Config::without_blocking(), null_mut());
        // SAFETY: the configuration says its own size, and outlives the call, which writes one pointer.
        let status = unsafe { (nccl.init_rank)(&mut comm, size, UniqueId(id), rank, &mut config) };
        let joined = Self { nccl, comm: Cell::new(comm), device, timeout };
        joined.or_abort(|| {
            joined.begun("ncclCommInitRankConfig", status)?;
            joined.settle("ncclCommInitRankConfig", || Ok(true), others_are_there)
        })?;
        Ok(joined)
    }

    /// The same with another time-out.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Replaces each of `tensors`, contiguous and of dtype float32 or float64 on this process's GPU, by its sum over all
    /// processes, and waits for it. One launch on the current stream sums all of them, bucket by bucket as NCCL cuts them.
    ///
    /// # Errors
    /// Other tensors; processes that do not answer in time, or are gone as `others_are_there` says.
    pub fn all_reduce(
        &self,
        tensors: &[Tensor],
        others_are_there: impl Fn() -> bool,
    ) -> Result<(), TchError> {
        let parts = tensors.iter().map(|tensor| self.buffer(tensor));
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        if self.comm.get().is_null() {
            return Err(failed("the group of GPUs has ended with an earlier error"));
        }
        make_current(self.device)?;
        let stream = current_stream(self.device)?;
        self.or_abort(|| {
            let comm = self.comm.get();
            // SAFETY: the communicator is there. The tensors outlive the work on them: this function waits for it, or
            // aborts it.
            unsafe {
                self.begun("ncclGroupStart", (self.nccl.group_start)())?;
                let mut begun = Ok(());
                for (at, count, kind) in parts {
                    let status = (self.nccl.all_reduce)(at, at, count, kind, SUM, comm, stream);
                    begun = begun.and(self.begun("ncclAllReduce", status));
                }
                // What has been started is ended in any case.
                let ended = self.begun("ncclGroupEnd", (self.nccl.group_end)());
                begun.and(ended)?;
            }
            self.settle("ncclAllReduce", || is_idle(self.device), others_are_there)
        })
    }

    /// Address, length and dtype of a tensor's numbers.
    fn buffer(&self, tensor: &Tensor) -> Result<(*mut c_void, usize, c_int), TchError> {
        let kind = match tensor.kind() {
            Kind::Float => FLOAT32,
            Kind::Double => FLOAT64,
            kind => return Err(failed(&format!("expected float32 or float64, found {kind:?}"))),
        };
        match tensor.device() {
            Device::Cuda(index) if index == self.device && tensor.is_contiguous() => {
                Ok((tensor.data_ptr(), tensor.numel(), kind))
            }
            device => {
                let expected = self.device;
                Err(failed(&format!(
                    "expected a contiguous tensor on GPU {expected}, found one on {device:?}"
                )))
            }
        }
    }

    /// Whether a call has done its work, or begun with it.
    fn begun(&self, call: &str, status: c_int) -> Result<(), TchError> {
        match status {
            IN_PROGRESS => Ok(()),
            _ => self.nccl.check(call, status, self.comm.get()),
        }
    }

    /// Waits until what has begun is done, and `and` says so too.
    fn settle(
        &self,
        call: &str,
        and: impl Fn() -> Result<bool, TchError>,
        others_are_there: impl Fn() -> bool,
    ) -> Result<(), TchError> {
        let started = Instant::now();
        let mut asked_at = started;
        loop {
            let mut state = SUCCESS;
            // SAFETY: the communicator is there; the call writes one int.
            let asked = unsafe { (self.nccl.get_async_error)(self.comm.get(), &mut state) };
            self.nccl.check("ncclCommGetAsyncError", asked, self.comm.get())?;
            self.begun(call, state)?;
            if state == SUCCESS && and()? {
                return Ok(());
            }
            if started.elapsed() > self.timeout {
                let seconds = self.timeout.as_secs();
                return Err(failed(&format!("{call}: no answer of the others within {seconds} s")));
            }
            if asked_at.elapsed() > LONG {
                if !others_are_there() {
                    return Err(failed(&format!("{call}: others are gone")));
                }
                asked_at = Instant::now();
            }
            sleep(POLL);
        }
    }

    fn or_abort<T>(&self, work: impl FnOnce() -> Result<T, TchError>) -> Result<T, TchError> {
        let found = work();
        if found.is_err() {
            self.end();
        }
        found
    }

    fn end(&self) {
        let comm = self.comm.replace(null_mut());
        if comm.is_null() {
            return;
        }
        let (abort, comm, device) = (self.nccl.abort, comm as usize, self.device);
        let (sender, ended) = mpsc::channel();
        thread::spawn(move || {
            let _ = make_current(device);
            // SAFETY: the communicator is there, and nobody uses it from here on.
            unsafe { abort(comm as Comm) };
            let _ = sender.send(());
        });
        let _ = ended.recv_timeout(ABORT);
    }
}

impl Drop for Communicator {
    /// Aborts too: all work has been waited for, and an orderly end would wait for the others.
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::super::{load_cuda_library, tests::fails};
    use super::super::library::tests::library;
    use super::*;

    /// Counts at the address given as a communicator.
    unsafe extern "C" fn count_abort(comm: Comm) -> c_int {
        // SAFETY: the tests below make no other communicators.
        unsafe { &*comm.cast::<AtomicUsize>() }.fetch_add(1, Ordering::Relaxed);
        SUCCESS
    }

    unsafe extern "C" fn say<const STATE: c_int>(_: Comm, state: *mut c_int) -> c_int {
        // SAFETY: the caller's place for the answer.
        unsafe { *state = STATE };
        SUCCESS
    }

    /// A group whose work is in a state for ever, and how often it has been aborted.
    fn in_state(
        get_async_error: unsafe extern "C" fn(Comm, *mut c_int) -> c_int,
    ) -> (Communicator, &'static AtomicUsize) {
        let mut nccl = *library();
        (nccl.get_async_error, nccl.abort) = (get_async_error, count_abort);
        let aborts: &AtomicUsize = Box::leak(Box::default());
        let comm = Cell::new(std::ptr::from_ref(aborts).cast_mut().cast());
        let timeout = Duration::from_millis(20);
        (Communicator { nccl: Box::leak(Box::new(nccl)), comm, device: 0, timeout }, aborts)
    }

    #[test]
    fn work_that_does_not_end_is_aborted_once() {
        let last_error = "the group of GPUs has ended with an earlier error";
        for ((group, aborts), expected) in [
            (in_state(say::<IN_PROGRESS>), "NCCL: work: no answer of the others within 0 s"),
            (in_state(say::<6>), "NCCL: work: remote process exited or there was a network error"),
        ] {
            fails(group.or_abort(|| group.settle("work", || Ok(true), || true)), expected);
            assert_eq!(aborts.load(Ordering::Relaxed), 1);
            fails(group.all_reduce(&[], || true), last_error);
            drop(group);
            assert_eq!(aborts.load(Ordering::Relaxed), 1);
        }
        // Begun by NCCL, and not done by the GPU.
        let (group, _) = in_state(say::<SUCCESS>);
        fails(group.settle("work", || Ok(false), || true), "no answer of the others");
        let (group, aborts) = in_state(say::<SUCCESS>);
        group.settle("work", || Ok(true), || true).unwrap();
        assert_eq!(aborts.load(Ordering::Relaxed), 0);
        drop(group);
        assert_eq!(aborts.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_gpu_that_is_not_there_is_an_error() {
        let nccl = library();
        let id = nccl.new_id().unwrap();
        let join = |id: &[u8], device| Communicator::join(nccl, id, (0, 1), device, POLL, || true);
        assert!(join(&id, 999).is_err());
        fails(join(&id[1..], 0), "an id of 128 bytes");
    }

    #[test]
    #[ignore = "needs a GPU: make test-cuda"]
    fn cuda_one_process_sums_its_own_tensors() {
        load_cuda_library().unwrap();
        let nccl = Nccl::loaded().unwrap();
        println!("NCCL {}", nccl.version());
        let id = nccl.new_id().unwrap();
        let minute = Duration::from_secs(60);
        let group = Communicator::join(nccl, &id, (0, 1), 0, minute, || true).unwrap();
        let tensors = [Kind::Float, Kind::Double]
            .map(|kind| Tensor::from_slice(&[0.25, -3.0]).to_kind(kind).to_device(Device::Cuda(0)));
        group.all_reduce(&tensors, || true).unwrap();
        for tensor in &tensors {
            assert_eq!(Vec::<f64>::try_from(tensor.to_kind(Kind::Double)).unwrap(), [0.25, -3.0]);
        }
        for (tensor, expected) in [
            (tensors[0].to_kind(Kind::Half), "expected float32 or float64"),
            (tensors[0].to_device(Device::Cpu), "on GPU 0"),
        ] {
            fails(group.all_reduce(&[tensor], || true), expected);
        }
    }
}
