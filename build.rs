//! Compiles the C++ shim of `src/torch_ext` against the libtorch that `torch-sys` found, and writes
//! that libtorch's folder into the binaries' run path, so that they start without `LD_LIBRARY_PATH`.

use std::env;
use std::path::PathBuf;

const SOURCES: &str = "src/torch_ext/cpp";

/// The instruction sets that the kernels are compiled for; the first serves every processor, the others x86-64.
/// `tests/sanitize/run` repeats these flags.
const KERNELS: [(&str, &[&str]); 3] = [
    ("generic", &[]),
    ("avx2", &["-mavx2", "-mfma"]),
    ("avx512", &["-mavx512f", "-mavx512dq", "-mavx2", "-mfma"]),
];

/// With these, loops with conditions and marked reductions vectorise. They change no result but the order of those sums.
const VECTORISING: [&str; 3] = ["-fopenmp-simd", "-fno-math-errno", "-fno-trapping-math"];

fn main() {
    println!("cargo:rerun-if-changed={SOURCES}");
    println!("cargo:rerun-if-env-changed=LIBTORCH_INCLUDE");
    println!("cargo:rerun-if-env-changed=LIBTORCH_CXX11_ABI");
    let lib_dir = PathBuf::from(
        env::var_os("DEP_TCH_LIBTORCH_LIB").expect("torch-sys announces its library folder"),
    );
    let include_dir = env::var_os("LIBTORCH_INCLUDE")
        .map(|root| PathBuf::from(root).join("include"))
        .unwrap_or_else(|| lib_dir.with_file_name("include"));
    let build = |file: &str| {
        let mut build = cc::Build::new();
        build.cpp(true).std("c++17").warnings(false).opt_level(3);
        build.file(format!("{SOURCES}/{file}")).to_owned()
    };
    let is_x86 = env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64");
    for (isa, flags) in KERNELS.iter().take(if is_x86 { KERNELS.len() } else { 1 }) {
        let mut kernels = build("kernels.cpp");
        for flag in VECTORISING.iter().chain(*flags) {
            kernels.flag(flag);
        }
        kernels.define("METABERT_ISA", *isa).compile(&format!("metabert_kernels_{isa}"));
    }
    let mut dispatch = build("kernels_dispatch.cpp");
    if is_x86 {
        dispatch.define("METABERT_X86", None);
    }
    dispatch.compile("metabert_kernels");
    let abi = env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_owned());
    // Two translation units: c10d's headers are as large as all others.
    for (file, archive) in
        [("shim.cpp", "metabert_torch_ext"), ("process_group.cpp", "metabert_process_group")]
    {
        build(file)
            .define("_GLIBCXX_USE_CXX11_ABI", abi.as_str())
            .include(SOURCES)
            .include(&include_dir)
            .include(include_dir.join("torch/csrc/api/include"))
            .compile(archive);
    }
    // After the archives that refer to them.
    println!("cargo:rustc-link-lib=static=metabert_kernels");
    for (isa, _) in KERNELS.iter().take(if is_x86 { KERNELS.len() } else { 1 }) {
        println!("cargo:rustc-link-lib=static=metabert_kernels_{isa}");
    }
    println!("cargo:rustc-link-search=native={}", lib_dir.display());
    println!("cargo:rustc-link-lib=torch_cpu");
    println!("cargo:rustc-link-lib=c10");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib_dir.display());
}
