//! Abilities of a processor or a GPU, and the memory that its tensors take.

use std::ffi::{c_char, c_void};
use std::sync::OnceLock;

use tch::{Device, TchError};

use super::cuda::{compute_capability, pci_address};

unsafe extern "C" {
    fn metabert_cpu_multiplies_bf16(out: *mut bool) -> *const c_char;
    fn metabert_use_stream_of_worker(index: usize, worker: usize) -> *const c_char;
    fn metabert_make_current(index: usize) -> *const c_char;
    fn metabert_current_stream(index: usize, out: *mut *mut c_void) -> *const c_char;
    fn metabert_is_idle(index: usize, out: *mut bool) -> *const c_char;
    fn metabert_synchronize(index: usize) -> *const c_char;
    fn metabert_peak_device_bytes(index: usize, out: *mut i64) -> *const c_char;
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
                let asked =
                    unsafe { super::shim_result(metabert_cpu_multiplies_bf16(&mut answer)) };
                asked.is_ok() && answer
            })
        }
        _ => false,
    }
}

/// The place of a GPU in its machine, such as `0000:3b:00.0`: the same in every process, whatever numbers they know it by. `None`
/// for a CPU.
pub fn pci_bus_id(device: Device) -> Option<String> {
    let Device::Cuda(index) = device else { return None };
    pci_address(index)
}

/// Gives the calling thread the stream of worker number `worker` on GPU number `index`, so that its work overlaps with that of
/// other workers.
///
/// # Errors
/// Any error of libtorch, and a number that no GPU has.
pub fn use_stream_of_worker(index: usize, worker: usize) -> Result<(), TchError> {
    // SAFETY: the shim takes numbers, locks what threads share, and changes state of the calling thread.
    unsafe { super::shim_result(metabert_use_stream_of_worker(index, worker)) }
}

/// Makes GPU number `index` the calling thread's current one, which libraries of CUDA go by.
///
/// # Errors
/// Any error of libtorch, and a number that no GPU has.
pub(super) fn make_current(index: usize) -> Result<(), TchError> {
    // SAFETY: the shim takes a number, and changes state of the calling thread.
    unsafe { super::shim_result(metabert_make_current(index)) }
}

/// The stream that the calling thread's work on GPU number `index` goes to, as CUDA's own handle.
///
/// # Errors
/// As for [`make_current`].
pub(super) fn current_stream(index: usize) -> Result<*mut c_void, TchError> {
    let mut stream = std::ptr::null_mut();
    // SAFETY: the shim writes one pointer before it returns.
    unsafe { super::shim_result(metabert_current_stream(index, &mut stream))? };
    Ok(stream)
}

/// Whether that stream has nothing left to do.
///
/// # Errors
/// As for [`make_current`], and an error of its work.
pub(super) fn is_idle(index: usize) -> Result<bool, TchError> {
    let mut is_idle = false;
    // SAFETY: the shim writes one bool before it returns.
    unsafe { super::shim_result(metabert_is_idle(index, &mut is_idle))? };
    Ok(is_idle)
}

/// Waits until `device` has finished its work; a CPU always has.
///
/// # Errors
/// An error of that work, and a GPU that is not there.
pub fn synchronize(device: Device) -> Result<(), TchError> {
    match device {
        // SAFETY: the shim takes a number and waits.
        Device::Cuda(index) => unsafe { super::shim_result(metabert_synchronize(index)) },
        _ => Ok(()),
    }
}

/// The most bytes that tensors took on GPU number `index` so far.
///
/// # Errors
/// Any error of libtorch, and a number that no GPU has.
pub fn peak_device_bytes(index: usize) -> Result<i64, TchError> {
    let mut bytes = 0;
    // SAFETY: the shim writes one number before it returns.
    unsafe { super::shim_result(metabert_peak_device_bytes(index, &mut bytes))? };
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
    fn a_gpu_that_is_not_there_is_an_error() {
        // Beyond every machine; the last three wrap to 0 in the narrower types of libtorch and the driver.
        for index in [999, 1 << 8, 1 << 32, usize::MAX] {
            assert!(use_stream_of_worker(index, 0).is_err(), "{index}");
            assert!(make_current(index).is_err(), "{index}");
            assert!(current_stream(index).is_err(), "{index}");
            assert!(is_idle(index).is_err(), "{index}");
            assert!(pci_bus_id(Device::Cuda(index)).is_none(), "{index}");
            assert!(synchronize(Device::Cuda(index)).is_err(), "{index}");
            assert!(peak_device_bytes(index).is_err(), "{index}");
            assert!(!multiplies_bf16(Device::Cuda(index)), "{index}");
        }
        assert!(synchronize(Device::Cpu).is_ok());
    }
}
