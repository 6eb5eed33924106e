//! Both logs of a run: `events.jsonl`, and the same numbers for TensorBoard.

use std::io;
use std::path::PathBuf;

use super::directory::RunDirectory;
use super::events::{Event, EventLog};
use super::tensorboard::TensorBoardLog;
use crate::files::atomic::naming;

/// Both logs of a run.
#[derive(Debug)]
pub struct RunLog {
    events: EventLog,
    events_file: PathBuf,
    tensorboard: TensorBoardLog,
    tensorboard_dir: PathBuf,
}

impl RunLog {
    /// Opens the logs of a run after outer step `step`, without the events of later steps.
    ///
    /// # Errors
    /// Any error of the file system, with the name of the log.
    pub fn open(run: &RunDirectory, step: u64) -> io::Result<Self> {
        let (events_file, tensorboard_dir) = (run.events_file(), run.tensorboard());
        Ok(Self {
            events: EventLog::open(&events_file, step)
                .map_err(|error| naming(&events_file, error))?,
            tensorboard: TensorBoardLog::create(&tensorboard_dir, step)
                .map_err(|error| naming(&tensorboard_dir, error))?,
            events_file,
            tensorboard_dir,
        })
    }

    /// Appends an event to both logs.
    ///
    /// # Errors
    /// Any error of the file system, with the name of the log.
    pub fn append(&mut self, event: &Event) -> io::Result<()> {
        self.events.append(event).map_err(|error| naming(&self.events_file, error))?;
        self.tensorboard.append(event).map_err(|error| naming(&self.tensorboard_dir, error))
    }
}
