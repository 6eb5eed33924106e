//! Runs of several processes of which one is killed, hangs, never comes, or is about to train something else.

use std::path::Path;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::ranks::{end_of, free_port, rank_command, run_ranks, start_ranks};
use crate::support::run::{SMALL, command, events, finish, repository, work_dir};

/// A training that is far from its end when anything happens to it.
fn long(run: &str) -> String {
    let small = SMALL.replace("--inner-epochs 1", "--inner-steps 20");
    format!(
        "train --algo fomaml --model @tiny --run-dir {run} --meta-batch 6 --steps 100000 --eval-every 0 \
         --checkpoint-every 0 --timeout 10s {small}"
    )
}

/// Waits until a run has taken a step.
fn wait_for_steps(run: &Path) {
    let end = Instant::now() + Duration::from_secs(60);
    while !run.join("events.jsonl").exists() || events(run, "outer_step").is_empty() {
        assert!(Instant::now() < end, "no step within a minute");
        sleep(Duration::from_millis(50));
    }
}

fn signal(rank: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &rank.id().to_string()]).status();
    assert!(sent.expect("kill starts").success());
}

#[test]
fn survivors_name_the_rank_that_was_killed() {
    for victim in [0, 1] {
        let dir = work_dir();
        let ranks = start_ranks(dir.path(), &long("r"), 3, |_, _| {});
        wait_for_steps(&dir.path().join("r"));
        signal(&ranks[victim], "-KILL");
        for (rank, answer) in end_of(ranks).iter().enumerate().filter(|(rank, _)| *rank != victim) {
            assert_eq!(answer.code, Some(1), "rank {rank}: {}", answer.stderr);
            let expected = format!("error: rank {rank}: lost rank {victim}: ");
            assert!(answer.stderr.contains(&expected), "{}", answer.stderr);
        }
        // The first rank saves what it has.
        assert_eq!(dir.path().join("r/latest.json").exists(), victim != 0);
    }
}

#[test]
fn survivors_name_the_rank_that_hangs() {
    let dir = work_dir();
    let mut ranks = start_ranks(dir.path(), &long("r"), 2, |_, _| {});
    wait_for_steps(&dir.path().join("r"));
    signal(&ranks[1], "-STOP");
    let hangs = ranks.pop().unwrap();
    let answer = end_of(ranks).remove(0);
    signal(&hangs, "-KILL");
    end_of(vec![hangs]);
    assert_eq!(answer.code, Some(1), "{}", answer.stderr);
    assert!(answer.stderr.contains("error: rank 0: lost rank 1: Timed out"), "{}", answer.stderr);
}

#[test]
fn a_signal_to_one_rank_stops_all_after_the_same_step() {
    let dir = work_dir();
    let ranks = start_ranks(dir.path(), &long("r"), 3, |_, _| {});
    wait_for_steps(&dir.path().join("r"));
    signal(&ranks[2], "-TERM");
    let answers = end_of(ranks);
    for answer in &answers {
        assert_eq!(answer.code, Some(143), "{}", answer.stderr);
    }
    let expected = "interrupted; resume with: metabert train --run-dir r --resume";
    assert!(answers[0].stderr.contains(expected), "{}", answers[0].stderr);
    for answer in &answers[1..] {
        assert_eq!(answer.stderr, "", "only the first rank speaks");
    }
    let run = dir.path().join("r");
    let (steps, saved) = (events(&run, "outer_step"), events(&run, "checkpointed"));
    assert_eq!(saved.last().unwrap()["step"], steps.last().unwrap()["step"]);
}

#[test]
fn a_signal_to_one_rank_stops_an_evaluation_of_all() {
    let dir = work_dir();
    let evaluates =
        "--eval-every 1 --set evaluate.dev_episodes=1000000 --set data.meta_dev_count=1";
    let arguments = long("r").replace("--eval-every 0", evaluates);
    let ranks = start_ranks(dir.path(), &arguments, 2, |_, _| {});
    wait_for_steps(&dir.path().join("r"));
    sleep(Duration::from_millis(500));
    signal(&ranks[1], "-TERM");
    for answer in end_of(ranks) {
        assert_eq!(answer.code, Some(143), "{}", answer.stderr);
    }
    let run = dir.path().join("r");
    assert_eq!(events(&run, "outer_step").len(), 1);
    assert_eq!(events(&run, "checkpointed").last().unwrap()["step"], 1);
    assert!(events(&run, "evaluated").is_empty());
}

#[test]
fn ranks_do_not_share_one_stream_of_texts() {
    let dir = work_dir();
    for answer in run_ranks(dir.path(), "predict --checkpoint @adapted", 2) {
        assert_eq!(answer.code, Some(2), "{}", answer.stderr);
        let expected = "error: --input: expected a file, which every process can read, found -";
        assert!(answer.stderr.contains(expected), "{}", answer.stderr);
    }
}

#[test]
fn a_signal_to_the_starter_of_processes_reaches_them() {
    let dir = work_dir();
    let mut starter = command(dir.path(), &format!("{} --processes 2", long("r")));
    let starter = starter.env("OMP_WAIT_POLICY", "passive").spawn().unwrap();
    wait_for_steps(&dir.path().join("r"));
    signal(&starter, "-TERM");
    let answer = end_of(vec![starter]).remove(0);
    assert_eq!(answer.code, Some(143), "{}", answer.stderr);
    assert!(answer.stderr.contains("resume with: metabert train --run-dir r"), "{}", answer.stderr);
    assert!(dir.path().join("r/latest.json").exists());
}

#[test]
fn a_rank_that_does_not_come_is_named() {
    let dir = work_dir();
    let arguments = long("r").replace("--timeout 10s", "--timeout 2s");
    let alone = |rank| {
        let mut command = rank_command(dir.path(), &arguments, (rank, 2), free_port());
        finish(&mut command, b"")
    };
    for (rank, expected) in [
        (0, "error: rank 0: rank 1 did not come within 2 s"),
        (1, "error: rank 1: no store at 127.0.0.1:"),
    ] {
        let answer = alone(rank);
        assert_eq!(answer.code, Some(1), "{}", answer.stderr);
        assert!(answer.stderr.starts_with(expected), "{}", answer.stderr);
    }
    assert!(!dir.path().join("r").exists());
}

#[test]
fn commands_of_one_process_refuse_to_be_ranks() {
    let dir = work_dir();
    for arguments in [
        "tune --data @data --model @tiny --run-dir out",
        "model align --model @tiny --data @data --out out",
    ] {
        let answer = finish(&mut rank_command(dir.path(), arguments, (1, 2), free_port()), b"");
        assert_eq!(answer.code, Some(2), "{}", answer.stderr);
        let expected = "expected one process: only train, finetune, eval, predict and doctor run as several, found 2";
        assert!(answer.stderr.contains(expected), "{}", answer.stderr);
    }
}

#[test]
fn another_program_on_the_port_is_no_store() {
    let dir = work_dir();
    let arguments = long("r").replace("--timeout 10s", "--timeout 2s");
    // It accepts connections, and says nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for (rank, expected) in [(0, "address already in use"), (1, "does not answer as a store does")]
    {
        let answer = finish(&mut rank_command(dir.path(), &arguments, (rank, 2), port), b"");
        assert_eq!(answer.code, Some(1), "{}", answer.stderr);
        let place = format!("error: rank {rank}: no store at 127.0.0.1:{port}: ");
        assert!(answer.stderr.starts_with(&place), "{}", answer.stderr);
        assert!(answer.stderr.contains(expected), "{}", answer.stderr);
    }
}

#[test]
fn ranks_that_would_train_something_else_are_refused() {
    let dir = work_dir();
    let data = std::fs::read_to_string(repository("data/tiny.json")).unwrap();
    std::fs::write(dir.path().join("other.json"), format!("{data}\n")).unwrap();
    for (more, expected) in [
        (["--data", "other.json"], "rank 1: the SHA-256 of the data: expected "),
        (["--outer-lr", "0.5"], "rank 1: outer.lr: expected 0.00005, as rank 0 has it, found 0.5"),
    ] {
        let arguments = long("r").replace("--data @data ", "");
        let ranks = start_ranks(dir.path(), &arguments, 2, |rank, command| {
            let data = repository("data/tiny.json");
            match (more[0], rank) {
                ("--data", 1) => command.args(more),
                (_, 1) => command.arg("--data").arg(data).args(more),
                _ => command.arg("--data").arg(data),
            };
        });
        for answer in end_of(ranks) {
            assert_eq!(answer.code, Some(2), "{}", answer.stderr);
            assert!(answer.stderr.contains(expected), "{}", answer.stderr);
        }
        assert!(!dir.path().join("r").exists());
    }
}

#[test]
fn ranks_that_would_adapt_to_another_domain_are_refused() {
    let dir = work_dir();
    let finetune =
        "finetune --checkpoint @tiny --data @data --max-length 32 --device cpu --out model";
    let ranks = start_ranks(dir.path(), finetune, 2, |rank, command| {
        command.args(["--domain", ["boots", "gardening"][rank]]);
    });
    for answer in end_of(ranks) {
        assert_eq!(answer.code, Some(2), "{}", answer.stderr);
        let expected = "rank 1: --domain: expected boots, as rank 0 has it, found gardening";
        assert!(answer.stderr.contains(expected), "{}", answer.stderr);
    }
    assert!(!dir.path().join("model").exists());
}
