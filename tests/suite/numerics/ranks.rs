//! However many processes share a training, it ends in the same bytes.

use crate::support::python::python_command;
use crate::support::ranks::run_ranks;
use crate::support::run::{SMALL, assert_same_state, checkpoint, run, tiny, work_dir};

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

#[test]
fn torchrun_starts_ranks() {
    let dir = work_dir();
    let path = dir.path();
    run(path, &train("fomaml", 3, 2, "one")).success();
    let arguments = train("fomaml", 3, 2, "of-torchrun")
        .replace("@tiny", tiny().to_str().unwrap())
        .replace("@data", concat!(env!("CARGO_MANIFEST_DIR"), "/data/tiny.json"));
    let mut torchrun = python_command(path);
    torchrun.args(["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]);
    torchrun.args(["--no-python", env!("CARGO_BIN_EXE_metabert")]);
    let output = torchrun.args(arguments.split_whitespace()).output().expect("torchrun starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_same_state(&checkpoint(path, "one", 2), &checkpoint(path, "of-torchrun", 2));
}
