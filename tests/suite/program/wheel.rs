//! The Python wheel in fresh virtual environments: .ci/wheel packs the binary of these tests.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::python::{package_folder, python, python_command};
use crate::support::run::{Answer, SMALL, adapted, finish, repository, shared, work_dir};

/// The wheel, made once for all tests.
fn wheel() -> &'static Path {
    static WHEEL: OnceLock<PathBuf> = OnceLock::new();
    WHEEL.get_or_init(|| {
        let mut build = python_command(shared());
        build.arg(repository(".ci/wheel/build.py"));
        build.args([Path::new(env!("CARGO_BIN_EXE_metabert")), Path::new("wheel")]);
        shared().join(finish(&mut build, b"").success().trim_end())
    })
}

/// A virtual environment with the wheel and nothing else.
struct Environment {
    dir: TempDir,
    site_packages: PathBuf,
}

impl Environment {
    fn new() -> Self {
        let dir = work_dir();
        let host = || {
            let mut host = python_command(dir.path());
            host.env_remove("PYTHONPATH");
            host
        };
        finish(host().args(["-m", "venv", "--without-pip", "."]), b"").success();
        // That of the Python outside, since not every system's Python can put one into the environment.
        let code = "import pathlib, pip; print(pathlib.Path(pip.__file__).parents[1])";
        let pip = finish(host().args(["-c", code]), b"").success();
        let mut install = Command::new(dir.path().join("bin/python"));
        install.env("PYTHONPATH", pip.trim_end()).args(["-m", "pip", "install", "--quiet"]);
        install.args(["--no-index", "--no-deps", "--ignore-installed", "--no-compile"]);
        install.arg("--disable-pip-version-check").arg(wheel());
        finish(&mut install, b"").success();
        let lib = fs::read_dir(dir.path().join("lib")).unwrap().next().expect("a Python").unwrap();
        Self { site_packages: lib.path().join("site-packages"), dir }
    }

    /// One with the torch of the other tests beside the wheel.
    fn with_torch() -> Self {
        let environment = Self::new();
        for name in ["torch", "torch-2.11.0.dist-info", "nvidia"] {
            let found = package_folder("torch").join(name);
            if found.exists() {
                symlink(found, environment.site_packages.join(name)).unwrap();
            }
        }
        environment
    }

    /// One of the environment's programs.
    fn command(&self, program: &str, arguments: &str) -> Command {
        let mut command = Command::new(self.dir.path().join("bin").join(program));
        command.args(arguments.split_whitespace()).current_dir(self.dir.path());
        // The environment has to suffice.
        command.env_remove("PYTHONPATH").env_remove("LD_LIBRARY_PATH");
        command
    }

    fn run(&self, program: &str, arguments: &str) -> Answer {
        finish(&mut self.command(program, arguments), b"")
    }

    /// Lays down the metadata of a torch in the place of any other, and nothing of the torch itself.
    fn claim_torch(&self, version: &str) {
        let metadata = self.site_packages.join("torch-claimed.dist-info");
        fs::create_dir_all(&metadata).unwrap();
        let text = format!("Metadata-Version: 2.1\nName: torch\nVersion: {version}\n");
        fs::write(metadata.join("METADATA"), text).unwrap();
    }

    fn libtorch(&self) -> PathBuf {
        self.site_packages.join("torch/lib/libtorch_cpu.so")
    }
}

/// The file of libtorch that `metabert doctor` names.
fn loaded(doctor: &mut Command) -> PathBuf {
    let diagnosis = finish(doctor.args(["--threads", "1", "--json"]), b"").success();
    let diagnosis: Value = serde_json::from_str(&diagnosis).unwrap();
    PathBuf::from(diagnosis["library"].as_str().expect("Linux names it"))
}

#[test]
fn the_wheel_says_what_its_binary_needs() {
    python(Path::new("."), "check_wheel.py", &[wheel().to_str().expect("a path in UTF-8")]);
}

#[test]
fn an_installed_wheel_trains_with_the_torch_beside_it() {
    let environment = Environment::with_torch();
    let version = format!("metabert {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(environment.run("metabert", "--version").success(), version);
    assert_eq!(environment.run("python", "-m metabert --version").success(), version);

    // A library path that would win over a run path of the newer kind.
    let broken = environment.dir.path().join("elsewhere");
    fs::create_dir(&broken).unwrap();
    fs::write(broken.join("libtorch_cpu.so"), "").unwrap();
    let mut doctor = environment.command("metabert", "doctor");
    let found = loaded(doctor.env("LD_LIBRARY_PATH", broken));
    assert_eq!(found, environment.libtorch().canonicalize().unwrap());

    let (model, data) = (adapted().display(), repository("data/tiny.json"));
    let small = SMALL.replace("@data", data.to_str().expect("a path in UTF-8"));
    let train = format!("train --model {model} --run-dir r --steps 2 {small}");
    let checkpoint = environment.run("metabert", &train).success();
    assert!(checkpoint.ends_with("step-000002\n"), "{checkpoint}");
    let wrong = environment.run("metabert", "train --steps none");
    assert_eq!(wrong.code, Some(2), "the program's own exit code: {}", wrong.stderr);
}

/// A driver that claims a GPU, and has none.
const DRIVER: &str = "
int cuInit(unsigned flags) { return 0; }
int cuDeviceGet(int *device, int index) { *device = index; return index == 0 ? 0 : 101; }
int cuDeviceGetAttribute(int *value, int attribute, int device) { *value = 9; return 0; }
int cuDeviceGetPCIBusId(char *text, int length, int device) { *text = 0; return 0; }
";

#[test]
fn where_a_driver_is_an_installed_wheel_loads_the_cuda_half_of_torch() {
    let environment = Environment::with_torch();
    let driver = work_dir();
    fs::write(driver.path().join("driver.c"), DRIVER).unwrap();
    let mut compile = Command::new("cc");
    compile.current_dir(&driver).args(["-shared", "-fPIC", "-o", "libcuda.so.1", "driver.c"]);
    finish(&mut compile, b"").success();
    let mut doctor = environment.command("metabert", "doctor --json --device cpu");
    doctor.env("LD_LIBRARY_PATH", driver.path());
    let found: Value = serde_json::from_str(&finish(&mut doctor, b"").success()).unwrap();
    // All that it depends on was found; only libtorch itself sees that there is no GPU.
    assert_eq!(found["no_gpu"], "libtorch cannot use the GPU here; update its driver", "{found}");
}

#[test]
fn an_installed_wheel_finds_a_torch_in_another_folder() {
    let environment = Environment::new();
    let packages = package_folder("torch");
    let mut doctor = environment.command("metabert", "doctor");
    let found = loaded(doctor.env("PYTHONPATH", &packages));
    assert_eq!(found, packages.join("torch/lib/libtorch_cpu.so").canonicalize().unwrap());
}

#[test]
fn without_its_torch_an_installed_wheel_names_the_one_to_install() {
    let environment = Environment::new();
    let refuses = |expected: &str| {
        let Answer { code, stdout, stderr } = environment.run("metabert", "--version");
        assert_eq!((code, stdout.as_str(), stderr.lines().count()), (Some(1), "", 1), "{stderr}");
        let advice = "/bin/python -m pip install torch==2.11.0\n";
        assert!(stderr.contains(expected) && stderr.ends_with(advice), "{stderr}");
    };
    refuses("error: expected torch 2.11.0 beside metabert, found none; install it: ");
    // Nor does the binary find the libtorch that it was compiled against.
    let mut binary = Command::new(environment.site_packages.join("metabert/bin/metabert"));
    let alone = finish(binary.env_remove("LD_LIBRARY_PATH").arg("--version"), b"");
    assert!(alone.code != Some(0) && alone.stderr.contains("libtorch_cpu.so"), "{}", alone.stderr);

    for version in ["2.11.1", "2.10.0+cpu"] {
        environment.claim_torch(version);
        refuses(&format!("error: expected torch 2.11.0 beside metabert, found {version}; "));
    }
    for version in ["2.11.0", "2.11.0+cpu", "2.11.0+cu130"] {
        environment.claim_torch(version);
        refuses("torch/lib: expected libtorch_cpu.so of torch 2.11.0, found none; install it: ");
    }
}
