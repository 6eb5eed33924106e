//! Where the numbers of a run go: `events.jsonl`, and the same for TensorBoard.

use std::io;

use super::directory::RunDirectory;
use super::events::{Event, EventLog};
use super::tensorboard::TensorBoardLog;

/// Both logs of a run.
#[derive(Debug)]
pub struct RunLog {
    events: EventLog,
    tensorboard: TensorBoardLog,
}

impl RunLog {
    /// Opens the logs of a run that stands behind outer step `step`; what they say of later steps
    /// is forgotten.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn open(run: &RunDirectory, step: u64) -> io::Result<Self> {
        Ok(Self {
            events: EventLog::open(&run.events_file(), step)?,
            tensorboard: TensorBoardLog::create(&run.tensorboard(), step)?,
        })
    }

    /// Appends an event to both.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn append(&mut self, event: &Event) -> io::Result<()> {
        self.events.append(event)?;
        self.tensorboard.append(event)
    }
}
