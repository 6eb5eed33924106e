//! However many processes share the work of a command, it ends in the same bytes.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::python::{package_folder, python_command};
use crate::support::ranks::{free_port, run_ranks};
use crate::support::run::{
    SMALL, assert_same_bytes, assert_same_state, checkpoint, events, run, timeless_events, tiny,
    tiny_records, work_dir,
};

fn train(algo: &str, meta_batch: u64, steps: u64, run: &str) -> String {
    let more = match algo {
        "maml++" => "--inner-steps 2",
        _ => "",
    };
    let small = match algo {
        "maml++" => SMALL.replace("--inner-epochs 1", ""),
        _ => SMALL.to_owned(),
    };
    // Steps so large that everything they depend on shows in the parameters.
    format!(
        "train --algo {algo} --model @tiny --meta-batch {meta_batch} --steps {steps} --outer-lr 1e-2 --eval-every 2 \
         --set data.meta_dev_count=1 --set outer.clip_norm=0.2 --set outer.average=0.9 {more} --run-dir {run} {small}"
    )
}

#[test]
fn any_number_of_ranks_trains_the_same() {
    let dir = work_dir();
    let path = dir.path();
    run(path, &train("fomaml", 5, 3, "one")).success();
    for size in [2, 3, 4, 6] {
        let name = format!("of-{size}");
        let answers = run_ranks(path, &train("fomaml", 5, 3, &name), size);
        for (rank, answer) in answers.iter().enumerate() {
            assert_eq!(answer.code, Some(0), "rank {rank}: {}", answer.stderr);
            let speaks = !answer.stderr.is_empty() || !answer.stdout.is_empty();
            assert_eq!(speaks, rank == 0, "rank {rank} of {size}: {}", answer.stderr);
        }
        let warns = answers[0].stderr.contains("1 have none; raise --meta-batch");
        assert_eq!(warns, size == 6, "{}", answers[0].stderr);
        assert_same_state(&checkpoint(path, "one", 3), &checkpoint(path, &name, 3));
        assert_eq!(timeless_events(&path.join(&name)), timeless_events(&path.join("one")));
        assert_eq!(events(&path.join(&name), "started")[0]["machine"]["processes"], size);
    }
}

#[test]
fn the_program_starts_ranks_itself() {
    let dir = work_dir();
    let path = dir.path();
    run(path, &train("fomaml", 3, 2, "one")).success();
    run(path, &format!("{} --processes 3", train("fomaml", 3, 2, "of-3"))).success();
    assert_same_state(&checkpoint(path, "one", 2), &checkpoint(path, "of-3", 2));
    // Each says itself what is wrong; the first one's exit code is that of all.
    let wrong = train("fomaml", 3, 2, "wrong").replace("--threads 1", "--threads 1 --max-length 2");
    let answer = run(path, &format!("{wrong} --processes 2").replacen("--max-length 32 ", "", 1));
    assert_eq!(answer.code, Some(2), "{}", answer.stderr);
    assert!(answer.stderr.contains("data.max_length: expected"), "{}", answer.stderr);
    for arguments in ["--processes 0", "--processes 9999"] {
        let answer = run(path, &format!("{} {arguments}", train("fomaml", 3, 2, "none")));
        assert_eq!(answer.code, Some(2), "{}", answer.stderr);
        assert!(answer.stderr.contains("--processes: expected"), "{}", answer.stderr);
    }
}

#[test]
fn every_algorithm_trains_the_same_on_ranks() {
    let dir = work_dir();
    let path = dir.path();
    let algorithms =
        ["maml", "anil", "meta-sgd", "maml++", "proto-maml", "protonet", "reptile", "transfer"];
    for algo in algorithms {
        run(path, &train(algo, 3, 2, algo)).success();
        let name = format!("{algo}-on-ranks");
        for answer in run_ranks(path, &train(algo, 3, 2, &name), 2) {
            assert_eq!(answer.code, Some(0), "{algo}: {}", answer.stderr);
        }
        assert_same_state(&checkpoint(path, algo, 2), &checkpoint(path, &name, 2));
    }
}

#[test]
fn a_run_goes_on_with_another_number_of_ranks() {
    let dir = work_dir();
    let path = dir.path();
    run(path, &train("fomaml", 4, 5, "whole")).success();
    for (size, steps) in [(2, 2), (3, 3), (1, 5)] {
        let arguments = format!("{} --resume auto", train("fomaml", 4, steps, "parts"));
        for answer in run_ranks(path, &arguments, size) {
            assert_eq!(answer.code, Some(0), "{}", answer.stderr);
        }
    }
    assert_same_state(&checkpoint(path, "whole", 5), &checkpoint(path, "parts", 5));
}

/// Checks that a command prints the same in one process as it does as 2 and as 3 ranks.
fn assert_prints_the_same(dir: &Path, arguments: &str) {
    let expected = run(dir, arguments).success();
    for size in [2, 3] {
        let answers = run_ranks(dir, arguments, size);
        for (rank, answer) in answers.into_iter().enumerate() {
            let printed = answer.success();
            assert_eq!(
                printed,
                if rank == 0 { expected.as_str() } else { "" },
                "rank {rank} of {size}"
            );
        }
    }
}

#[test]
fn ranks_share_the_draws_of_an_evaluation() {
    let dir = work_dir();
    let mut records = tiny_records();
    for record in &mut records {
        record["text"] = format!("{} again", record["text"].as_str().unwrap()).into();
    }
    std::fs::write(dir.path().join("test.json"), Value::from(records).to_string()).unwrap();
    let small = SMALL.replace("--support 8", "--support 6,8").replace("--query 4", "");
    for more in
        ["--query 4 --folds 3", "--query all --folds 3 --scope head", "--test-data test.json"]
    {
        let arguments = format!("eval --checkpoint @tiny --episodes 5 --json {more} {small}");
        assert_prints_the_same(dir.path(), &arguments);
    }
}

#[test]
fn ranks_share_the_folds_of_an_adaptation() {
    let dir = work_dir();
    let path = dir.path();
    let small = SMALL.replace("--low-resource-max 16", "").replace("--query 4", "");
    let arguments = |out: &str| {
        format!(
            "finetune --checkpoint @tiny --domain boots --folds 4 --set safeguard.average_folds=true --inner-lr 1e-2 \
             --out {out} {small}"
        )
    };
    let expected = run(path, &arguments("one")).success();
    for size in [2, 3] {
        let out = format!("of-{size}");
        let mut answers = run_ranks(path, &arguments(&out), size).into_iter();
        let printed = answers.next().unwrap().success();
        assert_eq!(printed, expected.replace("one", &out));
        answers.for_each(|answer| assert_eq!(answer.success(), ""));
        assert_same_bytes(
            &path.join("one/model.safetensors"),
            &path.join(out).join("model.safetensors"),
        );
    }
}

#[test]
fn ranks_share_the_texts_of_a_prediction() {
    let dir = work_dir();
    let text =
        |number: usize| format!("text {number} {}\n", "is longer than most ".repeat(number % 70));
    let texts: String = (0..600).map(text).collect();
    std::fs::write(dir.path().join("texts.txt"), texts).unwrap();
    let arguments = "predict --checkpoint @adapted --input texts.txt --threads 1 --device cpu";
    assert_prints_the_same(dir.path(), arguments);
    for answer in run_ranks(dir.path(), &format!("{arguments} --output out.jsonl"), 2) {
        assert_eq!(answer.success(), "");
    }
    let written = std::fs::read_to_string(dir.path().join("out.jsonl")).unwrap();
    assert_eq!(written, run(dir.path(), arguments).success());
    let started = run(dir.path(), &format!("{arguments} --processes 2"));
    assert_eq!(started.success(), written);
}

/// Has `launcher`, given its own arguments, train as one process does.
fn check_launcher(path: &Path, mut launcher: Command) {
    run(path, &train("fomaml", 3, 2, "one")).success();
    let arguments = train("fomaml", 3, 2, "launched")
        .replace("@tiny", tiny().to_str().unwrap())
        .replace("@data", concat!(env!("CARGO_MANIFEST_DIR"), "/data/tiny.json"));
    launcher.arg(env!("CARGO_BIN_EXE_metabert")).args(arguments.split_whitespace());
    let output = launcher.output().expect("the launcher starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_same_state(&checkpoint(path, "one", 2), &checkpoint(path, "launched", 2));
    assert_eq!(events(&path.join("launched"), "started")[0]["machine"]["processes"], 2);
}

#[test]
fn torchrun_starts_ranks() {
    let dir = work_dir();
    let mut torchrun = python_command(dir.path());
    torchrun.args(["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]);
    torchrun.arg("--no-python");
    check_launcher(dir.path(), torchrun);
}

#[test]
fn open_mpi_starts_ranks() {
    let dir = work_dir();
    let mut mpirun = Command::new(package_folder("openmpi").join("openmpi/bin/mpirun"));
    // On a machine of one core, or as root in a container, it asks for a word.
    mpirun.args(["--oversubscribe", "--allow-run-as-root", "-n", "2"]);
    mpirun.current_dir(dir.path()).env("MASTER_PORT", free_port().to_string());
    check_launcher(dir.path(), mpirun);
}
