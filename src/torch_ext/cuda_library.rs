//! Loads libtorch's CUDA half at run time.

use std::sync::OnceLock;

/// Makes CUDA usable by loading `libtorch_cuda.so`, and returns why it can't be where it can't.
///
/// Nothing in the binary refers to that library, so the linker leaves it out: one binary serves
/// machines with and without a GPU, and this call, before the first tensor is made, decides. The
/// library is searched where the binary's run path and `LD_LIBRARY_PATH` point.
///
/// # Errors
/// The dynamic loader's own words, such as `libcublas.so.13: cannot open shared object file`.
pub fn load_cuda_library() -> Result<(), String> {
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    LOADED
        .get_or_init(|| {
            use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
            // SAFETY: loading runs the initialisers of libtorch's own CUDA library, which only
            // register kernels; it is never unloaded, so no pointer into it can dangle.
            let library =
                unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) };
            match library {
                Ok(library) => {
                    std::mem::forget(library);
                    Ok(())
                }
                Err(error) => Err(error.to_string()),
            }
        })
        .clone()
}
