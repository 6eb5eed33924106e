//! Runs the program on a terminal.

use std::fs::File;
use std::io::Read;
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;
use std::process::Command;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

const ROWS: NonZeroU16 = NonZeroU16::new(40).unwrap();
const COLUMNS: NonZeroU16 = NonZeroU16::new(200).unwrap();

/// What a program showed on a terminal.
pub struct Shown {
    /// The exit code; `None` behind a signal.
    pub code: Option<i32>,
    /// All that was ever written, with the codes that move the cursor.
    pub written: String,
    /// The lines that stand there in the end.
    pub screen: Vec<String>,
}

/// Runs `command` with a terminal as its stdin, stdout and stderr.
pub fn on_terminal(mut command: Command) -> Shown {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("there is a terminal");
    grantpt(&terminal).and_then(|()| unlockpt(&terminal)).expect("it can be used");
    let size = Winsize { ws_row: ROWS.get(), ws_col: COLUMNS.get(), ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&terminal, size).expect("it has a size");
    let name = ptsname(&terminal, Vec::new()).expect("it has a name");
    let program_side = File::options().read(true).write(true).open(name.to_str().unwrap());
    let program_side = OwnedFd::from(program_side.expect("its other side opens"));
    let side = || program_side.try_clone().expect("a handle can be copied");
    command.stdin(side()).stdout(side()).stderr(side());
    let mut child = command.spawn().expect("the program starts");
    // Or the terminal would never end: it does with its last handle.
    drop((command, program_side));
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    let mut terminal = File::from(terminal);
    // The end of a terminal is an error.
    while let Ok(count @ 1..) = terminal.read(&mut part) {
        bytes.extend_from_slice(&part[..count]);
    }
    let code = child.wait().expect("the program ends").code();
    let mut parser = vt100::Parser::new(ROWS, COLUMNS, 0);
    parser.process(&bytes);
    let screen = parser.screen().rows(0, COLUMNS.get());
    let screen = screen.map(|row| row.trim_end().to_owned()).filter(|row| !row.is_empty());
    Shown { code, written: String::from_utf8_lossy(&bytes).into_owned(), screen: screen.collect() }
}
