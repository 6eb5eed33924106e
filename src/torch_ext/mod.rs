//! What `tch` lacks of libtorch; all `unsafe` and all C++ of the crate live here.
//!
//! Knows tensors only: no parameter sets, no model, no files.

mod attention;
mod autograd;
mod cuda;
mod device;
mod dropout;
mod fused_adam;
mod fused_attention;
mod layer_norm;

pub use attention::packed_attention;
pub use autograd::gradients;
pub use cuda::{NoCuda, load_cuda_library};
pub use device::{multiplies_bf16, peak_device_bytes, synchronize, use_stream_of_own};
pub use dropout::{DropoutMask, dropout};
pub use fused_adam::{AdamHyper, fused_adam};
pub use fused_attention::fused_attention;
pub use layer_norm::{NormWeights, dropout_add_layer_norm};

/// The release of libtorch that `tch` binds.
pub const TORCH_VERSION: &str = "2.11.0";

use std::ffi::{CStr, c_char};
use tch::{TchError, Tensor};
use torch_sys::C_tensor;

unsafe extern "C" {
    fn metabert_free_message(message: *mut c_char);
}

/// Turns the message of a shim call into a `Result`, and frees it.
fn shim_result(message: *mut c_char) -> Result<(), TchError> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: a non-null message is a NUL-terminated string that the shim made with strdup; it is
    // copied before it is freed, once.
    let text = unsafe {
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        metabert_free_message(message);
        text
    };
    Err(TchError::Torch(text))
}

/// The tensor that a shim call makes: `call` is given the place for it, and returns the call's message.
fn new_tensor(call: impl FnOnce(&mut *mut C_tensor) -> *mut c_char) -> Result<Tensor, TchError> {
    let mut out = std::ptr::null_mut();
    shim_result(call(&mut out))?;
    // SAFETY: a call that succeeds has made this tensor with `new`, and nobody else holds the pointer.
    Ok(unsafe { Tensor::from_ptr(out) })
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};
    use tch::{Device, Kind, Tensor};

    /// Held by whoever draws from libtorch's default generator, which tests that run at once share.
    pub(super) static DEFAULT_GENERATOR: Mutex<()> = Mutex::new(());

    /// Normal numbers, the same for the same seed: float64 on the CPU.
    pub(super) fn normal(size: &[i64], seed: i64) -> Tensor {
        let _held = DEFAULT_GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
        tch::manual_seed(seed);
        Tensor::randn(size, (Kind::Double, Device::Cpu))
    }

    /// What `run` returns with each of these numbers of threads.
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
