//! The events of a run as values, and their log on disk.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::environment::Machine;

/// Something that happened in a run. Losses are mean cross-entropies in nats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Training begins or resumes.
    Started {
        /// Outer steps taken so far.
        step: u64,
        /// Outer steps in all; `None` where a budget of time decides.
        steps: Option<u64>,
        /// The machine from here on; absent in logs of older versions.
        #[serde(default)]
        machine: Option<Machine>,
        /// The settings that may change when a run resumes, by key.
        #[serde(default)]
        settings: BTreeMap<String, Value>,
    },
    /// An outer step is done.
    OuterStep {
        /// Its number; the first is 1.
        step: u64,
        /// Indices of its episodes.
        episodes: Vec<u64>,
        /// Their domains; empty for pooled minibatches.
        domains: Vec<String>,
        /// Mean loss before the first adaptation step; absent without adaptation.
        support_loss_first: Option<f64>,
        /// Mean loss before the last adaptation step; absent without adaptation.
        support_loss_last: Option<f64>,
        /// Mean query loss.
        query_loss: f64,
        /// Accuracy on all query texts of the step.
        query_accuracy: f64,
        /// Global norm of the meta-gradient before clipping.
        gradient_norm: f64,
        /// Outer learning rate.
        lr: f64,
        /// Seconds of training so far.
        elapsed_s: f64,
        /// Episodes a minute in this step.
        episodes_per_min: f64,
    },
    /// An episode or an evaluation was left out, because a number of it is not finite.
    Skipped {
        /// The outer step that lacks it; for an evaluation, the outer steps taken.
        step: u64,
        /// Indices of its episodes; empty for an evaluation.
        episodes: Vec<u64>,
        /// The domain, where there is a single one.
        domain: Option<String>,
        /// The number that is not finite, and its place.
        reason: String,
    },
    /// The meta-dev domains were evaluated.
    Evaluated {
        /// Outer steps taken.
        step: u64,
        /// Mean accuracy after adapting.
        accuracy: f64,
        /// Mean macro F1 after adapting.
        macro_f1: f64,
        /// Lower end of its 95 % interval.
        macro_f1_low: Option<f64>,
        /// Upper end of its 95 % interval.
        macro_f1_high: Option<f64>,
        /// Mean macro F1 without adapting.
        zero_step_macro_f1: f64,
        /// Whether it is the best so far.
        is_best: bool,
        /// Seconds of training so far.
        elapsed_s: f64,
    },
    /// A checkpoint was written.
    Checkpointed {
        /// Outer steps taken.
        step: u64,
        /// Its folder under `checkpoints/`.
        checkpoint: String,
    },
    /// Where the time of this process went, before it ends.
    Profiled {
        /// Outer steps taken.
        step: u64,
        /// Seconds of each phase.
        phases_s: BTreeMap<String, f64>,
    },
    /// Training is over.
    Finished {
        /// Outer steps taken.
        step: u64,
        /// Why: `completed`, `early_stopping`, `interrupted` or `failed`.
        reason: String,
        /// Seconds of training.
        elapsed_s: f64,
    },
}

/// Appends events to `events.jsonl`, one JSON object a line.
#[derive(Debug)]
pub struct EventLog {
    file: File,
}

impl EventLog {
    /// Opens the log for appending after outer step `step`. It drops the lines of later steps, which
    /// a resumed run repeats, and a last line that a crash cut short.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn open(path: &Path, step: u64) -> io::Result<Self> {
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        let mut keep = 0;
        let mut reader = BufReader::new(&mut file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line)?;
            let is_kept = line.ends_with(b"\n")
                && serde_json::from_slice::<Event>(&line).is_ok_and(|event| event.step() <= step);
            if read == 0 || !is_kept {
                break;
            }
            keep += read as u64;
        }
        file.set_len(keep)?;
        Ok(Self { file })
    }

    /// Appends one event.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn append(&mut self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        self.file.write_all(&line)
    }
}

impl Event {
    /// Outer steps taken at the event.
    pub fn step(&self) -> u64 {
        match self {
            Self::Started { step, .. }
            | Self::OuterStep { step, .. }
            | Self::Skipped { step, .. }
            | Self::Evaluated { step, .. }
            | Self::Checkpointed { step, .. }
            | Self::Profiled { step, .. }
            | Self::Finished { step, .. } => *step,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpointed(step: u64) -> Event {
        Event::Checkpointed { step, checkpoint: format!("step-{step:06}") }
    }

    #[test]
    fn a_start_in_the_log_of_an_older_version_is_read() {
        let read: Event =
            serde_json::from_str(r#"{"event":"started","step":3,"steps":4}"#).unwrap();
        let expected =
            Event::Started { step: 3, steps: Some(4), machine: None, settings: BTreeMap::new() };
        assert_eq!(read, expected);
    }

    #[test]
    fn reopening_drops_later_steps_and_a_cut_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        let mut log = EventLog::open(&path, 0).unwrap();
        for step in [1, 2, 3] {
            log.append(&checkpointed(step)).unwrap();
        }
        log.file.write_all(br#"{"event":"checkpoi"#).unwrap();
        EventLog::open(&path, 2).unwrap().append(&checkpointed(9)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let steps: Vec<u64> =
            text.lines().map(|line| serde_json::from_str::<Event>(line).unwrap().step()).collect();
        assert_eq!(steps, [1, 2, 9]);
    }
}
