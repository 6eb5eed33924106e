//! Whether CUDA can be used here, and loading libtorch's CUDA half at run time.

use std::ffi::{CStr, c_char, c_int};
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use thiserror::Error;

use super::TORCH_VERSION;

/// Why CUDA cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoCuda {
    /// The machine has no GPU, or no driver for one.
    #[error("no NVIDIA GPU found")]
    NoGpu {
        /// The words of the driver or of the dynamic loader.
        detail: String,
    },
    /// There is a GPU, but something else is missing.
    #[error("{0}")]
    Unusable(String),
}

/// Makes CUDA usable by loading `libtorch_cuda.so` where a GPU is.
///
/// Nothing in the binary refers to that library, so the linker leaves it out: one binary serves machines with and
/// without a GPU, and this call, before the first tensor is made, decides. The library is searched where the binary's
/// run path and `LD_LIBRARY_PATH` point.
///
/// # Errors
/// A machine without a GPU; a driver that does not start; a library that cannot be loaded, in the dynamic loader's own
/// words, such as `libcublas.so.13: cannot open shared object file`.
pub fn load_cuda_library() -> Result<(), NoCuda> {
    static LOADED: OnceLock<Result<(), NoCuda>> = OnceLock::new();
    LOADED
        .get_or_init(|| {
            driver()?;
            // SAFETY: loading runs the initialisers of libtorch's own CUDA library, which only register kernels; it
            // is never unloaded, so no pointer into it can dangle.
            let library =
                unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) };
            std::mem::forget(library.map_err(|error| {
                NoCuda::Unusable(format!(
                    "libtorch's CUDA library cannot be loaded: {error}; `make setup` fetches it, and so does `pip install \
                     torch=={TORCH_VERSION}`"
                ))
            })?);
            Ok(())
        })
        .clone()
}

/// The compute capability of GPU number `index`, from its driver; `None` where there is none to ask.
pub(super) fn compute_capability(index: usize) -> Option<(c_int, c_int)> {
    const MAJOR: c_int = 75;
    const MINOR: c_int = 76;
    let (driver, index) = (driver().ok()?, c_int::try_from(index).ok()?);
    let (mut device, mut major, mut minor) = (0, 0, 0);
    // SAFETY: the driver is initialised, and each function writes one int where it returns 0.
    let has_answered = unsafe {
        (driver.get_device)(&mut device, index) == SUCCESS
            && (driver.get_attribute)(&mut major, MAJOR, device) == SUCCESS
            && (driver.get_attribute)(&mut minor, MINOR, device) == SUCCESS
    };
    has_answered.then_some((major, minor))
}

/// The place of GPU number `index` in its machine, from its driver; `None` where there is none to ask.
pub(super) fn pci_address(index: usize) -> Option<String> {
    let (driver, index) = (driver().ok()?, c_int::try_from(index).ok()?);
    let (mut device, mut text) = (0, [0 as c_char; 32]);
    // SAFETY: the driver is initialised. The first function writes one int, the second a text of at most the length given, NUL
    // included, where they return 0.
    unsafe {
        let has_answered = (driver.get_device)(&mut device, index) == SUCCESS
            && (driver.get_pci_bus_id)(text.as_mut_ptr(), text.len() as c_int, device) == SUCCESS;
        has_answered.then(|| CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned())
    }
}

const SUCCESS: c_int = 0;
/// The answer of `cuInit` where the driver finds no GPU.
const NO_DEVICE: c_int = 100;

/// Functions of the CUDA driver, by the signatures that they have had since CUDA 5.
#[derive(Clone, Copy)]
struct Driver {
    get_device: unsafe extern "C" fn(*mut c_int, c_int) -> c_int,
    get_attribute: unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int,
    get_pci_bus_id: unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int,
}

/// The initialised driver of at least one GPU.
fn driver() -> Result<Driver, NoCuda> {
    static DRIVER: OnceLock<Result<Driver, NoCuda>> = OnceLock::new();
    DRIVER.get_or_init(start_driver).clone()
}

fn start_driver() -> Result<Driver, NoCuda> {
    let no_gpu = |error: libloading::Error| NoCuda::NoGpu { detail: error.to_string() };
    type Init = unsafe extern "C" fn(u32) -> c_int;
    // SAFETY: the functions of these names have these signatures. The library is never unloaded, so they stay valid.
    let (status, driver) = unsafe {
        let library = Library::open(Some("libcuda.so.1"), RTLD_NOW).map_err(no_gpu)?;
        let init = *library.get::<Init>(b"cuInit").map_err(no_gpu)?;
        let driver = Driver {
            get_device: *library.get(b"cuDeviceGet").map_err(no_gpu)?,
            get_attribute: *library.get(b"cuDeviceGetAttribute").map_err(no_gpu)?,
            get_pci_bus_id: *library.get(b"cuDeviceGetPCIBusId").map_err(no_gpu)?,
        };
        std::mem::forget(library);
        (init(0), driver)
    };
    match status {
        SUCCESS => Ok(driver),
        NO_DEVICE => Err(NoCuda::NoGpu { detail: "the CUDA driver finds none".to_owned() }),
        _ => Err(NoCuda::Unusable(format!(
            "the CUDA driver cannot start: cuInit returned error {status}"
        ))),
    }
}
