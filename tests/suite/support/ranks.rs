//! Several processes of the program as the ranks of one run.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::run::{Answer, command};

/// A port of this machine that nobody listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// The program as rank `rank` of `size` that meet at `port`.
pub fn rank_command(
    dir: &Path,
    arguments: &str,
    (rank, size): (usize, usize),
    port: u16,
) -> Command {
    let mut command = command(dir, arguments);
    for (name, value) in [
        ("RANK", rank),
        ("LOCAL_RANK", rank),
        ("WORLD_SIZE", size),
        ("LOCAL_WORLD_SIZE", size),
        ("MASTER_PORT", port.into()),
    ] {
        command.env(name, value.to_string());
    }
    command.env("MASTER_ADDR", "127.0.0.1").env("OMP_WAIT_POLICY", "passive");
    command
}

/// Starts `size` ranks; `change` gets each command first.
pub fn start_ranks(
    dir: &Path,
    arguments: &str,
    size: usize,
    change: impl Fn(usize, &mut Command),
) -> Vec<Child> {
    let port = free_port();
    let start = |rank| {
        let mut command = rank_command(dir, arguments, (rank, size), port);
        change(rank, &mut command);
        command.stdin(Stdio::null()).spawn().expect("the program starts")
    };
    (0..size).map(start).collect()
}

/// How ranks ended, in order. What they print is little: no pipe fills up meanwhile.
pub fn end_of(ranks: Vec<Child>) -> Vec<Answer> {
    let end = |rank: Child| {
        let output = rank.wait_with_output().expect("the program ends");
        Answer {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
        }
    };
    ranks.into_iter().map(end).collect()
}

/// Runs `size` ranks to their end.
pub fn run_ranks(dir: &Path, arguments: &str, size: usize) -> Vec<Answer> {
    end_of(start_ranks(dir, arguments, size, |_, _| {}))
}
