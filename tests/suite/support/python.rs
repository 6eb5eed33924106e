//! Runs the Python programs of tests/fixtures with the packages that `make test` fetches.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::run::repository;

/// Python in `dir`, with the packages that the tests need.
pub fn python_command(dir: &Path) -> Command {
    // The packages are those of the Python that .ci/setup was run with.
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let mut command = Command::new(python);
    command
        .current_dir(dir)
        .env("PYTHONPATH", packages())
        .env_remove("LD_LIBRARY_PATH")
        .env("OMP_NUM_THREADS", "1")
        // Without compiled files transformers takes seconds to import, each time.
        .env_remove("PYTHONDONTWRITEBYTECODE");
    command
}

/// The folder that a package is installed in.
pub fn package_folder(name: &str) -> PathBuf {
    let packages = packages();
    let found = std::env::split_paths(&packages).find(|folder| folder.join(name).is_dir());
    found.unwrap_or_else(|| panic!("no {name} in {}", packages.display()))
}

/// The folders of the packages, as PYTHONPATH has them.
fn packages() -> OsString {
    // A test that is skipped proves nothing.
    std::env::var_os("METABERT_PYTHONPATH").unwrap_or_else(|| {
        panic!(
            "METABERT_PYTHONPATH is not set: `make test` sets up the packages, and runs this test"
        )
    })
}

/// What `tests/fixtures/<script>` prints on stdout, run in `dir`; it has to succeed.
pub fn python(dir: &Path, script: &str, arguments: &[&str]) -> String {
    let mut command = python_command(dir);
    command.arg(repository("tests/fixtures").join(script)).args(arguments);
    let output = command.output().expect("Python starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} {}: {stderr}", arguments.join(" "));
    String::from_utf8(output.stdout).expect("the answer is UTF-8")
}
