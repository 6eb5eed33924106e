//! One process at a time trains in a run directory; one that was killed keeps nobody out.

use std::fs;

use crate::program::command_line_errors::message_of;
use crate::support::run::{SMALL, checkpoint, command, finish, logged_steps, run, work_dir};
use crate::survival::resume::{send, spawn, wait_until};

fn train(more: &str) -> String {
    format!(
        "train --set train.algo=fomaml --run-dir r --model @tiny --set evaluate.dev_episodes=1 {SMALL} {more}"
    )
}

#[test]
fn a_second_process_is_refused_and_the_first_does_not_notice() {
    let dir = work_dir();
    let path = dir.path();
    run(path, &train("--steps 2 --eval-every 1")).success();
    // Writes no more checkpoints, so that what reads one here finds it again.
    let forever = train("--steps 100000 --eval-every 0 --checkpoint-every 0");
    let mut first = spawn(path, &format!("{forever} --resume"));
    wait_until(&mut first, "its fourth step", || logged_steps(&path.join("r")).len() >= 4);
    let (lock, config) = (path.join("r/run.lock"), path.join("r/config.toml"));
    let before = fs::read(&config).unwrap();
    let told = format!("r: another process ({}) is training there", first.id());
    for more in ["--steps 3 --resume", "--steps 3 --force"] {
        let message = message_of(&run(path, &train(more)), more);
        assert!(message.contains(&told), "{more}: expected {told:?} in {message:?}");
    }
    let message = message_of(&run(path, &train("--steps 3")), "train");
    assert!(message.contains("r: exists and is not empty"), "{message}");
    assert_eq!(fs::read(&config).unwrap(), before, "a refused process has written");
    fs::write(path.join("texts.txt"), "good\n").unwrap();
    run(path, "predict --checkpoint r --input texts.txt --device cpu").success();
    run(path, "train --run-dir r --resume --print-config").success();
    let steps = logged_steps(&path.join("r")).len();
    wait_until(&mut first, "another step", || logged_steps(&path.join("r")).len() > steps);

    send("-KILL", &first);
    assert_eq!(first.wait().unwrap().code(), None, "the run ended before it was killed");
    let steps = logged_steps(&path.join("r"));
    assert_eq!(steps, (1..=steps.len() as u64).collect::<Vec<_>>());
    assert!(lock.exists(), "the kill has left no lock file to test with");
    run(path, &train("--steps 3 --resume")).success();
    assert!(checkpoint(path, "r", 3).is_dir());
    assert!(!lock.exists(), "a run that has ended leaves its lock");
}

#[test]
fn of_two_that_start_at_once_one_trains() {
    let dir = work_dir();
    let path = dir.path();
    let children = [(); 2].map(|()| spawn(path, &train("--steps 20 --eval-every 0")));
    let outputs = children.map(|child| child.wait_with_output().unwrap());
    let codes: Vec<Option<i32>> = outputs.iter().map(|output| output.status.code()).collect();
    let texts = outputs.map(|output| String::from_utf8(output.stderr).unwrap());
    assert!(codes == [Some(0), Some(2)] || codes == [Some(2), Some(0)], "{codes:?}: {texts:?}");
    let refused = &texts[codes.iter().position(|code| *code == Some(2)).unwrap()];
    let is_told =
        ["another process", "exists and is not empty"].iter().any(|t| refused.contains(t));
    assert!(is_told, "{refused}");
    assert_eq!(logged_steps(&path.join("r")), (1..=20).collect::<Vec<_>>());
}

#[test]
fn a_lock_that_nobody_holds_does_not_make_a_directory_used() {
    let dir = work_dir();
    fs::create_dir(dir.path().join("r")).unwrap();
    for more in ["", "--force"] {
        fs::write(dir.path().join("r/run.lock"), "1\n").unwrap();
        run(dir.path(), &train(&format!("--steps 1 {more}"))).success();
        fs::remove_dir_all(dir.path().join("r")).unwrap();
        fs::create_dir(dir.path().join("r")).unwrap();
    }
}

#[test]
fn refused_runs_leave_no_lock() {
    let dir = work_dir();
    let path = dir.path();
    run(path, &train("--steps 1")).success();
    for more in ["--resume --outer-lr 0.5", "--force --data missing.json"] {
        let arguments = train(more).replace("--data @data ", "");
        message_of(&finish(&mut command(path, &arguments), b""), &arguments);
        assert!(!path.join("r/run.lock").exists(), "{more}");
    }
}
