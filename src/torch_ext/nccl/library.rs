//! The functions of NCCL's library.
//!
//! Loaded at run time, like libtorch's CUDA half, which depends on it: nothing of CUDA is needed to build the program. Names and
//! numbers are those of `nccl.h`, in NCCL 2.26.2 and later.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::null_mut;
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use tch::TchError;

/// The file that libtorch's CUDA half depends on: where that is loaded, so is this.
const FILE: &str = "libnccl.so.2";
/// The first release that is used, as a number like those of `ncclGetVersion`: an abort may hang before.
const OLDEST: c_int = 22_602;
/// The first release whose calls need not block, that of [`Config`].
const CONFIG: u32 = 21_400;

pub(super) const SUCCESS: c_int = 0;
pub(super) const IN_PROGRESS: c_int = 7;
pub(super) const FLOAT32: c_int = 7;
pub(super) const FLOAT64: c_int = 8;
pub(super) const SUM: c_int = 0;

/// `ncclComm_t`.
pub(super) type Comm = *mut c_void;

/// `ncclUniqueId`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct UniqueId(pub [u8; 128]);

/// `ncclConfig_t` as of release 2.14; later ones are longer, and take their defaults for what is not there.
#[repr(C)]
pub(super) struct Config {
    size: usize,
    magic: u32,
    version: u32,
    blocking: c_int,
}

impl Config {
    /// Calls return before their work is done.
    pub fn without_blocking() -> Self {
        let size = size_of::<Self>();
        Self { size, magic: 0xcafe_beef, version: CONFIG, blocking: 0 }
    }
}

/// The functions of the library, by the signatures of `nccl.h`.
#[derive(Clone, Copy, Debug)]
pub struct Nccl {
    get_version: unsafe extern "C" fn(*mut c_int) -> c_int,
    get_unique_id: unsafe extern "C" fn(*mut UniqueId) -> c_int,
    pub(super) init_rank:
        unsafe extern "C" fn(*mut Comm, c_int, UniqueId, c_int, *mut Config) -> c_int,
    pub(super) get_async_error: unsafe extern "C" fn(Comm, *mut c_int) -> c_int,
    pub(super) abort: unsafe extern "C" fn(Comm) -> c_int,
    pub(super) group_start: unsafe extern "C" fn() -> c_int,
    pub(super) group_end: unsafe extern "C" fn() -> c_int,
    pub(super) all_reduce: AllReduce,
    get_error_string: unsafe extern "C" fn(c_int) -> *const c_char,
    get_last_error: unsafe extern "C" fn(Comm) -> *const c_char,
}

/// From, to, count, dtype, operation, communicator, stream.
pub(super) type AllReduce = unsafe extern "C" fn(
    *const c_void,
    *mut c_void,
    usize,
    c_int,
    c_int,
    Comm,
    *mut c_void,
) -> c_int;

impl Nccl {
    /// The library of this process.
    ///
    /// # Errors
    /// Why it cannot be loaded, in the dynamic loader's words; a release before 2.26.2; an environment that makes its calls block.
    pub fn loaded() -> Result<&'static Self, String> {
        static LOADED: OnceLock<Result<Nccl, String>> = OnceLock::new();
        if std::env::var_os("NCCL_COMM_BLOCKING").is_some_and(|value| value == "1") {
            return Err("NCCL_COMM_BLOCKING=1 would make lost processes hang; unset it".to_owned());
        }
        LOADED.get_or_init(|| Self::load(FILE)).as_ref().map_err(Clone::clone)
    }

    fn load(file: &str) -> Result<Self, String> {
        // SAFETY: the functions of these names have these signatures. The library is never unloaded, so they stay valid.
        let functions = unsafe {
            Library::open(Some(file), RTLD_NOW | RTLD_LOCAL).and_then(|library| {
                let functions = Self {
                    get_version: *library.get(b"ncclGetVersion")?,
                    get_unique_id: *library.get(b"ncclGetUniqueId")?,
                    init_rank: *library.get(b"ncclCommInitRankConfig")?,
                    get_async_error: *library.get(b"ncclCommGetAsyncError")?,
                    abort: *library.get(b"ncclCommAbort")?,
                    group_start: *library.get(b"ncclGroupStart")?,
                    group_end: *library.get(b"ncclGroupEnd")?,
                    all_reduce: *library.get(b"ncclAllReduce")?,
                    get_error_string: *library.get(b"ncclGetErrorString")?,
                    get_last_error: *library.get(b"ncclGetLastError")?,
                };
                std::mem::forget(library);
                Ok(functions)
            })
        };
        let functions = functions.map_err(|error| error.to_string())?;
        match functions.version_code() {
            OLDEST.. => Ok(functions),
            _ => Err(format!("NCCL {} is older than 2.26.2", functions.version())),
        }
    }

    fn version_code(&self) -> c_int {
        let mut code = 0;
        // SAFETY: the call writes one int.
        unsafe { (self.get_version)(&mut code) };
        code
    }

    /// The release, such as 2.28.9.
    pub fn version(&self) -> String {
        let code = self.version_code();
        format!("{}.{}.{}", code / 10_000, code / 100 % 100, code % 100)
    }

    /// An id for a new group of processes, of 128 bytes: one of them makes it, and all join by it.
    ///
    /// # Errors
    /// A machine without a network interface that NCCL can use.
    pub fn new_id(&self) -> Result<Vec<u8>, TchError> {
        let mut id = UniqueId([0; 128]);
        // SAFETY: the call writes one id.
        self.check("ncclGetUniqueId", unsafe { (self.get_unique_id)(&mut id) }, null_mut())?;
        Ok(id.0.to_vec())
    }

    /// An error unless a call has succeeded, with what NCCL says about it.
    pub(super) fn check(&self, call: &str, status: c_int, comm: Comm) -> Result<(), TchError> {
        if status == SUCCESS {
            return Ok(());
        }
        let text = |text: *const c_char| match text.is_null() {
            true => String::new(),
            // SAFETY: NCCL returns texts that end with NUL, and keeps them until the thread's next call.
            false => unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned(),
        };
        // SAFETY: the first takes any number, the second any communicator, or none.
        let (what, last) =
            unsafe { (text((self.get_error_string)(status)), text((self.get_last_error)(comm))) };
        Err(failed(&format!("{call}: {what}{}{last}", if last.is_empty() { "" } else { ": " })))
    }
}

pub(super) fn failed(reason: &str) -> TchError {
    TchError::Torch(format!("NCCL: {reason}"))
}

#[cfg(test)]
pub(super) mod tests {
    use std::env;

    use super::*;

    /// The library that comes with the PyTorch of the tests.
    pub fn library() -> &'static Nccl {
        let packages = env::var_os("METABERT_PYTHONPATH").expect("`make test` sets it");
        let files = env::split_paths(&packages).map(|it| it.join("nvidia/nccl/lib").join(FILE));
        let file = files.into_iter().find(|file| file.exists()).expect("NCCL beside PyTorch");
        Box::leak(Box::new(Nccl::load(file.to_str().unwrap()).unwrap()))
    }

    #[test]
    fn the_library_of_pytorch_has_these_functions() {
        let nccl = library();
        assert!(nccl.version().starts_with("2."), "{}", nccl.version());
        let ids = [nccl.new_id().unwrap(), nccl.new_id().unwrap()];
        assert_ne!(ids[0], ids[1]);
        assert_eq!(
            Nccl::load("libnothing.so").unwrap_err(),
            "libnothing.so: cannot open shared object file: No such file or directory"
        );
    }

    #[test]
    fn what_nccl_says_is_passed_on() {
        let found = library().check("ncclAllReduce", 5, null_mut()).unwrap_err().to_string();
        assert!(found.contains("NCCL: ncclAllReduce: invalid usage"), "{found}");
    }
}
