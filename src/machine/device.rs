//! Where tensors live, and how much memory they took.

use tch::{Device, TchError};
use thiserror::Error;

use crate::torch_ext::{self, NoCuda, load_cuda_library};

/// A `--device` that can't be had.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// Not a device name.
    #[error("--device: expected auto, cpu, cuda or cuda:N, found \"{0}\"")]
    Unknown(String),
    /// CUDA was asked for by name.
    #[error("--device {asked}: {reason}")]
    NoCuda {
        /// The argument.
        asked: String,
        /// Why there is none.
        reason: NoCuda,
    },
}

/// The device that `--device` means, and for `auto` without CUDA the reason. `auto` and `cuda` mean the GPU number `local_rank`,
/// that of a process among those on its machine. Where there are more processes than GPUs, they share them.
///
/// Must be called before the first tensor is made, or [`load_cuda_library`].
///
/// # Errors
/// An unknown name, and CUDA asked for by name where there is none.
pub fn select(asked: &str, local_rank: usize) -> Result<(Device, Option<NoCuda>), DeviceError> {
    let own = |count: usize| local_rank % count;
    let found = match asked {
        "cpu" => return Ok((Device::Cpu, None)),
        "auto" => {
            return Ok(match usable_cuda(own) {
                Ok(device) => (device, None),
                Err(reason) => (Device::Cpu, Some(reason)),
            });
        }
        "cuda" => usable_cuda(own),
        _ => {
            let index = asked.strip_prefix("cuda:").and_then(|index| index.parse().ok());
            let index = index.ok_or_else(|| DeviceError::Unknown(asked.to_owned()))?;
            usable_cuda(|_| index)
        }
    };
    let device = found.map_err(|reason| DeviceError::NoCuda { asked: asked.to_owned(), reason })?;
    Ok((device, None))
}

/// Sets the number of CPU threads to `asked`, or to the number of cores where that is smaller:
/// more only wait for each other, and thousands bring a machine down. Returns the number set.
pub fn set_threads(asked: usize) -> usize {
    let threads = asked.min(cores());
    tch::set_num_threads(threads as i32);
    // The tokenizer's pool; it can only be set once, and this is the only place.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    threads
}

/// Waits until `device` has done what it was given to do.
///
/// # Errors
/// An error of that work.
pub fn wait_for(device: Device) -> Result<(), TchError> {
    torch_ext::synchronize(device)
}

/// The cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The memory that programs can still be given, in MiB; `None` where the system does not say.
pub fn available_memory_mib() -> Option<u64> {
    size_mib("/proc/meminfo", "MemAvailable:")
}

/// The largest resident memory of this process so far, in MiB; `None` where the system does not say.
pub fn peak_memory_mib() -> Option<u64> {
    size_mib("/proc/self/status", "VmHWM:")
}

/// The most memory that tensors took on a GPU so far, in MiB; `None` for a CPU.
pub fn peak_device_memory_mib(device: Device) -> Option<i64> {
    let Device::Cuda(index) = device else { return None };
    torch_ext::peak_device_bytes(index).ok().map(|bytes| bytes >> 20)
}

/// The size that a line `name 123 kB` of a file of the kernel states.
fn size_mib(path: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let size = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(size.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? / 1024)
}

/// How many GPUs this process sees.
///
/// # Errors
/// Why there is none.
pub fn num_gpus() -> Result<usize, NoCuda> {
    load_cuda_library()?;
    match usize::try_from(tch::Cuda::device_count()) {
        Ok(count @ 1..) => Ok(count),
        _ => {
            Err(NoCuda::Unusable("libtorch cannot use the GPU here; update its driver".to_owned()))
        }
    }
}

/// The GPU whose number `choose` takes, of so many.
fn usable_cuda(choose: impl Fn(usize) -> usize) -> Result<Device, NoCuda> {
    let count = num_gpus()?;
    match choose(count) {
        index if index < count => Ok(Device::Cuda(index)),
        _ => Err(NoCuda::Unusable("no GPU has this number; they count from 0".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_kernel_tells_sizes() {
        let (peak, available) = (peak_memory_mib().unwrap(), available_memory_mib().unwrap());
        assert!(peak > 0 && peak < 1 << 20, "{peak} MiB");
        assert!(available > 0, "{available} MiB");
    }

    #[test]
    fn unknown_names_are_refused() {
        for name in ["gpu", "cuda:", "cuda:-1", "cuda:x", ""] {
            assert!(matches!(select(name, 0), Err(DeviceError::Unknown(_))), "{name:?}");
        }
    }

    #[test]
    fn auto_never_fails_and_cuda_fails_with_a_reason() {
        let (device, reason) = select("auto", 0).unwrap();
        match select("cuda", 0) {
            Ok((found, _)) => assert_eq!(found, device),
            Err(error) => {
                assert_eq!(device, Device::Cpu);
                assert_eq!(error.to_string(), format!("--device cuda: {}", reason.unwrap()));
            }
        }
    }
}
