//! A run as its directory describes it: settings, and what happened.

use std::collections::{BTreeMap, BTreeSet};

use crate::checks::Invalid;
use crate::run::Event;

/// A run.
#[derive(Debug)]
pub struct RunRecord {
    /// Its directory, as it was named.
    pub argument: String,
    /// The same from the root of the file system.
    pub path: String,
    /// The algorithm that it trains with.
    pub algorithm: String,
    /// What happened, in order.
    pub events: Vec<Event>,
}

/// A run with its name and its series, which decides about its colour.
pub struct NamedRun<'a> {
    /// Its name in the report.
    pub name: String,
    /// Its series.
    pub series: usize,
    /// What happened.
    pub record: &'a RunRecord,
}

/// An outer step of a run.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Its number.
    pub step: u64,
    /// Mean query loss.
    pub query_loss: f64,
    /// Mean loss before the first step of its adaptations and before the last.
    pub support_losses: Option<(f64, f64)>,
}

/// An evaluation of a run on its meta-dev domains.
#[derive(Clone, Copy, Debug)]
pub struct DevScore {
    /// Outer steps taken.
    pub step: u64,
    /// Macro F1.
    pub macro_f1: f64,
    /// Its interval.
    pub interval: Option<(f64, f64)>,
    /// Macro F1 before adapting.
    pub zero_step: f64,
    /// Accuracy.
    pub accuracy: f64,
}

impl RunRecord {
    /// A run with the events of `events.jsonl`, whose path is `events_path`. A last line that a crash cut short is ignored, as
    /// where the run resumes.
    ///
    /// # Errors
    /// Another line that is no event: its number, what was expected and what was found.
    pub fn parse(
        argument: &str,
        path: &str,
        algorithm: String,
        events_path: &str,
        jsonl: &[u8],
    ) -> Result<Self, Invalid> {
        let mut events = Vec::new();
        let is_whole = jsonl.ends_with(b"\n");
        let mut lines = jsonl.split(|byte| *byte == b'\n').enumerate().peekable();
        while let Some((number, line)) = lines.next() {
            let is_last = lines.peek().is_none();
            if is_last && (line.is_empty() || !is_whole) {
                break;
            }
            let event = serde_json::from_slice(line).map_err(|error| {
                let line = number + 1;
                Invalid(format!(
                    "{events_path}: line {line}: expected an event of a run, found {error}"
                ))
            })?;
            events.push(event);
        }
        Ok(Self { argument: argument.to_owned(), path: path.to_owned(), algorithm, events })
    }

    /// Its outer steps.
    pub fn steps(&self) -> Vec<Step> {
        let step = |event: &Event| match *event {
            Event::OuterStep {
                step, query_loss, support_loss_first, support_loss_last, ..
            } => Some(Step {
                step,
                query_loss,
                support_losses: support_loss_first.zip(support_loss_last),
            }),
            _ => None,
        };
        self.events.iter().filter_map(step).collect()
    }

    /// Its evaluations on the meta-dev domains.
    pub fn dev_scores(&self) -> Vec<DevScore> {
        let score = |event: &Event| match *event {
            Event::Evaluated {
                step,
                accuracy,
                macro_f1,
                macro_f1_low,
                macro_f1_high,
                zero_step_macro_f1,
                ..
            } => {
                let interval = macro_f1_low.zip(macro_f1_high);
                Some(DevScore { step, macro_f1, interval, zero_step: zero_step_macro_f1, accuracy })
            }
            _ => None,
        };
        self.events.iter().filter_map(score).collect()
    }

    /// The best of them, the first one where several are alike.
    pub fn best(&self) -> Option<DevScore> {
        let scores = self.dev_scores().into_iter().rev();
        scores.max_by(|left, right| left.macro_f1.total_cmp(&right.macro_f1))
    }

    /// The steps at which it was resumed, each once, ascending.
    pub fn resumed_at(&self) -> Vec<u64> {
        let resumed = self.events.iter().filter_map(|event| match event {
            Event::Started { step, .. } if *step > 0 => Some(*step),
            _ => None,
        });
        resumed.collect::<BTreeSet<u64>>().into_iter().collect()
    }

    /// Outer steps taken.
    pub fn last_step(&self) -> u64 {
        self.events.iter().map(Event::step).max().unwrap_or(0)
    }

    /// Why it ended, and the seconds of training so far; an end that was followed by a new start does not count.
    pub fn end(&self) -> (Option<&str>, Option<f64>) {
        let mut reason = None;
        let mut seconds = None;
        for event in &self.events {
            match event {
                Event::Started { .. } => reason = None,
                Event::Finished { reason: why, elapsed_s, .. } => {
                    (reason, seconds) = (Some(why.as_str()), Some(*elapsed_s));
                }
                Event::OuterStep { elapsed_s, .. } | Event::Evaluated { elapsed_s, .. } => {
                    seconds = Some(*elapsed_s);
                }
                _ => {}
            }
        }
        (reason, seconds)
    }

    /// Contributions that were left out because a number was not finite.
    pub fn num_skipped(&self) -> u64 {
        self.events.iter().filter(|event| matches!(event, Event::Skipped { .. })).count() as u64
    }

    /// Seconds by phase, the longest first: those that a process of the run profiled, or else those of its outer steps and of its
    /// evaluations.
    pub fn phases_s(&self) -> Vec<(String, f64)> {
        let mut all: BTreeMap<String, f64> = BTreeMap::new();
        let mut before_s = 0.0;
        for events in self.events.chunk_by(|_, next| !matches!(next, Event::Started { .. })) {
            let mut timed: BTreeMap<String, f64> = BTreeMap::new();
            let mut profiled = None;
            for event in events {
                let (phase, elapsed_s) = match event {
                    Event::OuterStep { elapsed_s, .. } => ("outer steps", elapsed_s),
                    Event::Evaluated { elapsed_s, .. } => ("evaluate", elapsed_s),
                    Event::Profiled { phases_s, .. } => {
                        profiled = Some(phases_s.clone());
                        continue;
                    }
                    _ => continue,
                };
                *timed.entry(phase.to_owned()).or_default() += elapsed_s - before_s;
                before_s = *elapsed_s;
            }
            for (phase, phase_s) in profiled.unwrap_or(timed) {
                *all.entry(phase).or_default() += phase_s;
            }
        }
        let mut all: Vec<_> = all.into_iter().filter(|(_, phase_s)| *phase_s > 0.0).collect();
        all.sort_by(|(_, left), (_, right)| right.total_cmp(left));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(jsonl: &str) -> Result<RunRecord, Invalid> {
        RunRecord::parse("r", "/r", "fomaml".to_owned(), "r/events.jsonl", jsonl.as_bytes())
    }

    const START: &str = "{\"event\":\"started\",\"step\":0,\"steps\":4}\n";
    const END: &str =
        "{\"event\":\"finished\",\"step\":2,\"reason\":\"interrupted\",\"elapsed_s\":3.0}\n";

    #[test]
    fn a_last_line_that_a_crash_cut_is_ignored_and_another_refused_by_number() {
        let run = parse(&format!("{START}{END}{{\"event\":\"outer_st")).unwrap();
        assert_eq!(run.end(), (Some("interrupted"), Some(3.0)));
        let error =
            parse(&format!("{START}{{\"event\":\"outer_st\n{END}")).unwrap_err().to_string();
        let expected = "r/events.jsonl: line 2: expected an event of a run, found ";
        assert!(error.starts_with(expected), "{error}");
        assert_eq!(parse("").unwrap().last_step(), 0);
    }

    #[test]
    fn a_run_that_resumed_has_not_ended() {
        let again = START.replace("\"step\":0", "\"step\":2");
        let run = parse(&format!("{START}{END}{again}{again}")).unwrap();
        assert_eq!((run.end().0, run.resumed_at()), (None, vec![2]));
    }

    #[test]
    fn parts_without_a_profile_count_by_their_steps() {
        let profiled =
            "{\"event\":\"profiled\",\"step\":1,\"phases_s\":{\"forward\":1.5,\"exchange\":0.0}}\n";
        let step = |elapsed_s: f64| {
            let numbers = "\"query_loss\":1,\"query_accuracy\":1,\"gradient_norm\":1,\"lr\":1,\"episodes_per_min\":1";
            format!(
                "{{\"event\":\"outer_step\",\"step\":1,\"episodes\":[],\"domains\":[],{numbers},\"elapsed_s\":{elapsed_s}}}\n"
            )
        };
        let parts = [START.to_owned(), step(2.0), profiled.to_owned(), START.to_owned(), step(2.5)];
        let run = parse(&parts.concat()).unwrap();
        let expected = [("forward".to_owned(), 1.5), ("outer steps".to_owned(), 0.5)];
        assert_eq!(run.phases_s(), expected);
    }
}
