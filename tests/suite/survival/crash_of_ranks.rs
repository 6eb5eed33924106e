//! A run of several processes, one of which is killed again and again, ends exactly where one process does.
//!
//! `METABERT_RANK_KILLS` sets how many kills there are; `make soak` asks for 50.

use std::process::Child;
use std::thread::sleep;
use std::time::Duration;

use metabert::seed;

use crate::support::ranks::{end_of, start_ranks};
use crate::support::run::{SMALL, assert_same_state, checkpoint, logged_steps, run, work_dir};

const STEPS: u64 = 2_000;
const DEFAULT_KILLS: usize = 2;

fn num_kills() -> usize {
    match std::env::var("METABERT_RANK_KILLS") {
        Ok(count) => count.parse().expect("METABERT_RANK_KILLS is a number"),
        Err(_) => DEFAULT_KILLS,
    }
}

/// Checks that every survivor names the rank that was killed, whenever that was: on the way to its group, or in it.
fn assert_survivors_name(victim: usize, ranks: Vec<Child>) {
    for (rank, answer) in end_of(ranks).iter().enumerate().filter(|(rank, _)| *rank != victim) {
        assert_eq!(
            answer.code,
            Some(1),
            "rank {rank} of those that lost {victim}: {}",
            answer.stderr
        );
        let names = [
            format!("error: rank {rank}: lost rank {victim}: "),
            format!("error: rank {rank}: rank {victim} did not come"),
            // That of rank 0.
            format!("error: rank {rank}: no store at "),
        ];
        let names = if victim == 0 { &names[..] } else { &names[..2] };
        assert!(
            names.iter().any(|name| answer.stderr.contains(name)),
            "{victim}: {}",
            answer.stderr
        );
    }
}

#[test]
fn a_run_of_ranks_survives_being_killed_again_and_again() {
    let dir = work_dir();
    let path = dir.path();
    let train = |run: &str, steps: u64| {
        format!(
            "train --algo fomaml --model @tiny --run-dir {run} --steps {steps} --meta-batch 3 --checkpoint-every 1 \
             --eval-every 9 --set data.meta_dev_count=1 --set evaluate.dev_episodes=3 --outer-lr 1e-2 {SMALL}"
        )
    };
    let mut rng = seed::rng(1, "ranks", 0);
    for _ in 0..num_kills() {
        let size = 2 + seed::below(&mut rng, 2);
        let arguments = format!("{} --resume auto --timeout 15s", train("killed", STEPS));
        let mut ranks = start_ranks(path, &arguments, size, |_, _| {});
        sleep(Duration::from_millis(seed::below(&mut rng, 3_000) as u64));
        let victim = seed::below(&mut rng, size);
        ranks[victim].kill().expect("a rank can be killed");
        assert_survivors_name(victim, ranks);
    }
    // Whatever number of steps the kills have left.
    let taken = logged_steps(&path.join("killed")).last().copied().unwrap_or(0);
    let steps = taken + 3;
    let arguments = format!("{} --resume auto", train("killed", steps));
    for answer in end_of(start_ranks(path, &arguments, 2, |_, _| {})) {
        assert_eq!(answer.code, Some(0), "{}", answer.stderr);
    }
    run(path, &train("whole", steps)).success();
    assert_same_state(&checkpoint(path, "whole", steps), &checkpoint(path, "killed", steps));
    println!("{} kills, {taken} steps before the last start", num_kills());
}
