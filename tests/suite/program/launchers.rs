//! The launchers that README names, as far as they run without a cluster.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::run::{
    Answer, SMALL, assert_same_state, checkpoint, events, finish, repository, run, tiny, work_dir,
};
use crate::survival::resume::wait_until;

/// Starts two processes of what it is given as SLURM's does, keeps their ids, and ends with the highest of their exit codes.
const SRUN: &str = r#"#!/bin/bash
while [ "${1#--}" != "$1" ]; do shift; done
for rank in 0 1; do
    SLURM_PROCID=$rank SLURM_LOCALID=$rank SLURM_STEP_NUM_TASKS=2 SLURM_STEP_TASKS_PER_NODE=2 "$@" &
    echo $! >>"$STUBS/ids"
done
code=0
for id in $(jobs -p); do
    wait "$id"; ended=$?
    if [ "$ended" -gt "$code" ]; then code=$ended; fi
done
exit "$code"
"#;
/// Knows the machines of a job, and notes what it is asked for.
const SCONTROL: &str = r#"#!/bin/bash
if [ "$1 $2" = "show hostnames" ]; then echo 127.0.0.1; echo 127.0.0.2; fi
echo "$*" >>"$STUBS/asked"
"#;

/// A folder with programs for the search path: ours, and some in the place of SLURM's.
fn write_stubs(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    for (name, text) in [("srun", SRUN), ("scontrol", SCONTROL)] {
        fs::write(dir.join(name), text).unwrap();
        fs::set_permissions(dir.join(name), PermissionsExt::from_mode(0o755)).unwrap();
    }
    symlink(env!("CARGO_BIN_EXE_metabert"), dir.join("metabert")).unwrap();
}

/// The script as job of a number that makes a free port its port.
fn slurm(dir: &Path, arguments: &str) -> Command {
    let stubs = dir.join("stubs");
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let first = 20_000 + std::process::id() as u16 % 19_000;
    let port = (first..40_000).find(is_free).expect("a free port");
    let mut command = Command::new("bash");
    command.arg(repository("configs/slurm.sh"));
    let data = repository("data/tiny.json");
    let arguments = arguments.replace("@tiny", tiny().to_str().unwrap());
    command.args(arguments.replace("@data", data.to_str().unwrap()).split_whitespace());
    let path = format!("{}:{}", stubs.display(), std::env::var("PATH").unwrap());
    command.current_dir(dir).env("PATH", path).env("STUBS", &stubs);
    command
        .env("SLURM_CPUS_PER_TASK", "1")
        .env("SLURM_JOB_ID", (port - 20_000).to_string())
        .env("SLURM_JOB_NODELIST", "n[1-2]");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env("OMP_WAIT_POLICY", "passive");
    command
}

#[test]
fn the_slurm_script_trains_and_puts_a_stopped_job_back_into_the_queue() {
    let dir = work_dir();
    let path = dir.path();
    write_stubs(&path.join("stubs"));
    let train = |run: &str, steps: u64| {
        format!(
            "--algo fomaml --model @tiny --meta-batch 2 --steps {steps} --eval-every 0 --run-dir {run} {SMALL}"
        )
    };
    let mut child = slurm(path, &train("r", 100_000)).spawn().expect("bash starts");
    let has_begun = || !events(&path.join("r"), "outer_step").is_empty();
    wait_until(&mut child, "a step", has_begun);
    let ids = fs::read_to_string(path.join("stubs/ids")).unwrap();
    for id in ids.split_whitespace() {
        assert!(Command::new("kill").args(["-USR1", id]).status().unwrap().success());
    }
    assert_eq!(child.wait().unwrap().code(), Some(138));
    let asked = fs::read_to_string(path.join("stubs/asked")).unwrap();
    assert!(asked.lines().last().unwrap().starts_with("requeue "), "{asked}");

    // The job starts anew, with all that it had.
    let taken = events(&path.join("r"), "outer_step").len() as u64;
    let answer = finish(&mut slurm(path, &train("r", taken + 2)), b"");
    assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    run(path, &format!("train {}", train("one", taken + 2))).success();
    assert_same_state(&checkpoint(path, "one", taken + 2), &checkpoint(path, "r", taken + 2));
}

#[test]
fn the_doctor_says_what_each_process_computes_on() {
    let dir = work_dir();
    let text = run(dir.path(), "doctor --device cpu --threads 1").success();
    for expected in [
        "metabert   0.1.0",
        "libtorch   2.11.0, /",
        "GPUs       ",
        "NCCL       ",
        "models     ",
        "   0  ",
        "1/",
    ] {
        assert!(text.contains(expected), "{text}");
    }
    assert!(!text.contains("exchange "), "{text}");
    let diagnosis = |answer: Answer| -> Value { serde_json::from_str(&answer.success()).unwrap() };
    let found = diagnosis(run(dir.path(), "doctor --json --device cpu --processes 2"));
    assert_eq!(found["processes"][1]["rank"], 1);
    assert_eq!(found["processes"][1]["device"], "Cpu");
    assert_eq!(found["variables"]["WORLD_SIZE"], "2");
    assert_eq!(found["exchange"], "Gloo");
    for speed in [&found["exchange_mib_per_s"], &found["processes"][0]["gflop_per_s"]] {
        assert!(speed.as_f64().is_some_and(|speed| speed > 1.0), "{found}");
    }
    let answer = run(dir.path(), "doctor --device cpu --processes 2 --exchange nccl");
    assert_eq!(answer.code, Some(2), "{}", answer.stderr);
    let expected = "error: --exchange nccl: rank 0 computes on the CPU\n";
    assert!(answer.stderr.contains(expected), "{}", answer.stderr);
    let answer = run(dir.path(), "doctor --device cpu --exchange nccl");
    let expected =
        "error: --exchange nccl: expected several processes, each with a GPU, found one process\n";
    assert_eq!((answer.code, answer.stderr.as_str()), (Some(2), expected));
    let answer = run(dir.path(), "doctor --gpus all");
    if found["gpus"] == 0 {
        assert_eq!(answer.code, Some(2), "{}", answer.stderr);
        assert!(answer.stderr.starts_with("error: --gpus: "), "{}", answer.stderr);
    }
}
