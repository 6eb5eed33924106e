//! Parts of libtorch that `tch` lacks; all `unsafe` and all C++ of the crate live here.
//!
//! Knows tensors only: no parameter sets, no model, no files. Every function is safe for every tensor and number: it
//! returns an error for shapes, dtypes, devices and memory layouts that its C++ does not handle.

mod attention;
mod autograd;
pub mod composed;
mod cuda;
mod device;
mod dropout;
mod fused_adam;
mod fused_attention;
mod instruction_set;
mod layer_norm;
mod nccl;
mod process_group;
mod products;
#[cfg(test)]
mod soundness;

pub use attention::packed_attention;
pub use autograd::gradients;
pub use cuda::{NoCuda, load_cuda_library};
pub use device::{
    multiplies_bf16, pci_bus_id, peak_device_bytes, synchronize, use_stream_of_worker,
};
pub use dropout::{DropoutMask, dropout};
pub use fused_adam::{AdamHyper, fused_adam};
pub use fused_attention::fused_attention;
pub use instruction_set::kernels;
pub use layer_norm::{NormWeights, dropout_add_layer_norm};
pub use nccl::{Communicator, Nccl};
#[cfg(test)]
pub(crate) use process_group::GROUPS;
pub use process_group::{ProcessGroup, Store};
pub use products::{linear, matmul};

/// The release of libtorch that `tch` binds.
pub const TORCH_VERSION: &str = "2.11.0";

use std::ffi::{CStr, c_char};
use tch::{TchError, Tensor};
use torch_sys::C_tensor;

/// Turns the message of a shim call, null where the call succeeded, into a `Result`.
///
/// # Safety
/// The shim has returned `message` to this thread, which has not called the shim since.
unsafe fn shim_result(message: *const c_char) -> Result<(), TchError> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: the shim keeps the NUL-terminated text of a failed call until the thread's next call.
    let text = unsafe { CStr::from_ptr(message) };
    Err(TchError::Torch(text.to_string_lossy().into_owned()))
}

/// The tensor that a shim call makes: `call` gets the place for it, and returns the call's message.
///
/// # Safety
/// `call` returns the message of a call that fills the place with a tensor made by `new` where it succeeds.
unsafe fn new_tensor(
    call: impl FnOnce(&mut *mut C_tensor) -> *const c_char,
) -> Result<Tensor, TchError> {
    let mut out = std::ptr::null_mut();
    // SAFETY: the message is that of the call just made; where it succeeded, the tensor is there and nobody else holds
    // the pointer.
    unsafe {
        shim_result(call(&mut out))?;
        Ok(Tensor::from_ptr(out))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};
    use tch::{Device, Kind, TchError, Tensor};

    /// Held by whoever draws from libtorch's default generator, which tests that run at once share.
    pub(super) static DEFAULT_GENERATOR: Mutex<()> = Mutex::new(());

    /// Normal numbers, the same for the same seed: float64 on the CPU.
    pub(super) fn normal(size: &[i64], seed: i64) -> Tensor {
        let _held = DEFAULT_GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
        tch::manual_seed(seed);
        Tensor::randn(size, (Kind::Double, Device::Cpu))
    }

    /// Checks that a call fails with `expected` in its message.
    pub(super) fn fails<T>(found: Result<T, TchError>, expected: &str) {
        let message = found.err().expect("the call must fail").to_string();
        assert!(message.contains(expected), "expected \"{expected}\", found \"{message}\"");
    }

    /// Checks that no element differs by more than `tolerance`, absolutely and relative to its size.
    pub(super) fn assert_near(found: &Tensor, expected: &Tensor, tolerance: f64) {
        assert_eq!((found.size(), found.kind()), (expected.size(), expected.kind()));
        let (found, expected) = (found.detach(), expected.detach());
        let is_near = found.allclose(&expected, tolerance, tolerance, true);
        assert!(
            is_near,
            "differs by up to {:e}",
            (&found - &expected).abs().max().double_value(&[])
        );
    }

    /// The results of `run` with each of these numbers of threads.
    pub(super) fn with_threads<T, const N: usize>(counts: [i32; N], run: impl Fn() -> T) -> [T; N] {
        let before = tch::get_num_threads();
        let results = counts.map(|count| {
            tch::set_num_threads(count);
            run()
        });
        tch::set_num_threads(before);
        results
    }
}
