//! What a processor or a GPU can do, and what its tensors take.

use std::ffi::{c_char, c_int};
use std::sync::OnceLock;

use tch::{Device, TchError};

use super::cuda::compute_capability;

unsafe extern "C" {
    fn metabert_cpu_multiplies_bf16(out: *mut bool) -> *mut c_char;
    fn metabert_use_stream_of_own(device_index: c_int) -> *mut c_char;
    fn metabert_synchronize(device_index: c_int) -> *mut c_char;
    fn metabert_peak_device_bytes(device_index: c_int, out: *mut i64) -> *mut c_char;
}

/// Whether `device` multiplies bfloat16 matrices in hardware: a CPU with AMX or AVX512-BF16, a GPU of compute capability 8.0
/// or more.
pub fn multiplies_bf16(device: Device) -> bool {
    match device {
        Device::Cuda(index) => compute_capability(index).is_some_and(|(major, _)| major >= 8),
        Device::Cpu => {
            static ANSWER: OnceLock<bool> = OnceLock::new();
            *ANSWER.get_or_init(|| {
                let mut answer = false;
                // SAFETY: the shim writes one bool before it returns.
                let message = unsafe { metabert_cpu_multiplies_bf16(&mut answer) };
                super::shim_result(message).is_ok() && answer
            })
        }
        _ => false,
    }
}

/// Gives the calling thread a stream of its own on GPU number `index`, so that its work overlaps with that of other threads.
///
/// # Errors
/// Any error of libtorch; there is none to have without CUDA.
pub fn use_stream_of_own(index: usize) -> Result<(), TchError> {
    // SAFETY: the shim takes a number and changes state of the calling thread only.
    super::shim_result(unsafe { metabert_use_stream_of_own(index as c_int) })
}

/// Waits until `device` has done all that it was given; a CPU always has.
///
/// # Errors
/// What went wrong in that work.
pub fn synchronize(device: Device) -> Result<(), TchError> {
    match device {
        // SAFETY: the shim takes a number and waits.
        Device::Cuda(index) => super::shim_result(unsafe { metabert_synchronize(index as c_int) }),
        _ => Ok(()),
    }
}

/// The most bytes that tensors took on GPU number `index` so far.
///
/// # Errors
/// Any error of libtorch; there is no answer without CUDA.
pub fn peak_device_bytes(index: usize) -> Result<i64, TchError> {
    let mut bytes = 0;
    // SAFETY: the shim writes one number before it returns.
    super::shim_result(unsafe { metabert_peak_device_bytes(index as c_int, &mut bytes) })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_answers_as_the_kernel_does() {
        let Ok(cpuinfo) = std::fs::read_to_string("/proc/cpuinfo") else { return };
        let has = |flag: &str| cpuinfo.split_whitespace().any(|word| word == flag);
        assert_eq!(multiplies_bf16(Device::Cpu), has("amx_bf16") || has("avx512_bf16"));
    }

    #[test]
    fn without_cuda_its_questions_are_errors_and_not_crashes() {
        if super::super::load_cuda_library().is_ok() {
            return;
        }
        assert!(use_stream_of_own(0).is_err());
        assert!(synchronize(Device::Cuda(0)).is_err());
        assert!(synchronize(Device::Cpu).is_ok());
        assert!(peak_device_bytes(0).is_err());
        assert!(!multiplies_bf16(Device::Cuda(999)));
    }
}
