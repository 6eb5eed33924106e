//! Compiles the C++ shim of `src/torch_ext` against the libtorch that `torch-sys` found, and writes
//! that libtorch's folder into the binaries' run path, so that they start without `LD_LIBRARY_PATH`.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=src/torch_ext/shim.cpp");
    println!("cargo:rerun-if-env-changed=LIBTORCH_INCLUDE");
    println!("cargo:rerun-if-env-changed=LIBTORCH_CXX11_ABI");
    let lib_dir = PathBuf::from(
        env::var_os("DEP_TCH_LIBTORCH_LIB").expect("torch-sys announces its library folder"),
    );
    let include_dir = env::var_os("LIBTORCH_INCLUDE")
        .map(|root| PathBuf::from(root).join("include"))
        .unwrap_or_else(|| lib_dir.with_file_name("include"));
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .warnings(false)
        .opt_level(3)
        .define("_GLIBCXX_USE_CXX11_ABI", env::var("LIBTORCH_CXX11_ABI").as_deref().unwrap_or("1"))
        .include(&include_dir)
        .include(include_dir.join("torch/csrc/api/include"))
        .file("src/torch_ext/shim.cpp")
        .compile("metabert_torch_ext");
    println!("cargo:rustc-link-search=native={}", lib_dir.display());
    println!("cargo:rustc-link-lib=torch_cpu");
    println!("cargo:rustc-link-lib=c10");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib_dir.display());
}
