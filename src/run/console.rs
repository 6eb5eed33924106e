//! Progress for people, on stderr: bars on a terminal, one line an outer step elsewhere.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::events::Event;

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Silent,
    Lines,
    Bars,
}

/// Shows events and the work between them.
#[derive(Debug)]
pub struct Console {
    style: Style,
    is_verbose: bool,
    bars: MultiProgress,
    outer: ProgressBar,
    inner: ProgressBar,
    evaluation: ProgressBar,
}

impl Console {
    /// A console on stderr; silent with `quiet`, with details where `verbosity` is above 0.
    pub fn new(quiet: bool, verbosity: u8) -> Self {
        let style = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Style::Silent,
            (false, true) => Style::Bars,
            (false, false) => Style::Lines,
        };
        let target = match style {
            Style::Bars => ProgressDrawTarget::stderr(),
            _ => ProgressDrawTarget::hidden(),
        };
        let bars = MultiProgress::with_draw_target(target);
        let bar = |template: &str| {
            let target = ProgressDrawTarget::hidden();
            ProgressBar::with_draw_target(Some(0), target).with_style(bar_style(template))
        };
        Self {
            style,
            is_verbose: verbosity > 0,
            bars,
            outer: bar("{prefix:>10} {pos}/{len} [{bar:24}] {msg} left {eta}"),
            inner: bar("{prefix:>10} {pos}/{len} [{bar:24}]").with_prefix("adapt"),
            evaluation: bar("{prefix:>10} {pos}/{len} [{bar:24}] {msg} {per_min} left {eta}")
                .with_prefix("evaluate"),
        }
    }

    /// Prints one line without disturbing the bars; nothing when silent.
    pub fn line(&self, text: &str) {
        match self.style {
            Style::Silent => {}
            Style::Bars => self.bars.suspend(|| write_line(text)),
            Style::Lines => write_line(text),
        }
    }

    /// Whether it prints nothing.
    pub fn is_silent(&self) -> bool {
        self.style == Style::Silent
    }

    /// Prints one line where details are wanted.
    pub fn detail(&self, text: &str) {
        if self.is_verbose {
            self.line(text);
        }
    }

    /// An adaptation of `steps` gradient steps begins.
    pub fn begin_episode(&self, steps: usize) {
        if steps > 0 && self.style == Style::Bars {
            self.inner.set_length(steps as u64);
            self.inner.reset();
            self.bars.add(self.inner.clone());
        }
    }

    /// Moves the bar of adaptation steps at every forward pass; `None` where no bar is shown.
    pub fn on_forward(&self) -> Option<impl Fn() + Send + Sync + use<>> {
        let inner = self.inner.clone();
        (self.style == Style::Bars).then_some(move || {
            // Passes that score adapted weights are not steps of the adaptation.
            if Some(inner.position()) < inner.length() {
                inner.inc(1);
            }
        })
    }

    /// A series of `draws` evaluations, or of steps of some other kind, begins.
    pub fn begin_evaluation(&self, draws: u64) {
        if self.style == Style::Bars {
            self.evaluation.set_length(draws);
            self.evaluation.reset();
            self.bars.add(self.evaluation.clone());
        }
    }

    /// One of them is done, with this accuracy and macro F1.
    pub fn evaluated_draw(&self, accuracy: f64, macro_f1: f64) {
        self.evaluation.inc(1);
        self.evaluation.set_message(format!("acc {accuracy:.3} f1 {macro_f1:.3}"));
    }

    /// So many of them were done before.
    pub fn found_draws(&self, draws: u64) {
        self.evaluation.inc(draws);
        self.evaluation.reset_eta();
    }

    /// The series is over, and with it the last adaptation.
    pub fn end_evaluation(&self) {
        for bar in [&self.inner, &self.evaluation] {
            bar.finish_and_clear();
            self.bars.remove(bar);
        }
    }

    /// A bar for the `size` bytes of `name`, which the caller moves and clears; it is hidden where no bars are shown or the size is
    /// unknown.
    pub fn begin_bytes(&self, name: &str, size: Option<u64>) -> ProgressBar {
        let (Style::Bars, Some(size)) = (self.style, size) else {
            return ProgressBar::hidden();
        };
        let template = "{prefix} {bytes}/{total_bytes} [{bar:24}] {bytes_per_sec} left {eta}";
        let bar =
            ProgressBar::new(size).with_style(bar_style(template)).with_prefix(name.to_owned());
        self.bars.add(bar)
    }

    /// Training is now expected to take this many outer steps in all.
    pub fn expect_steps(&self, steps: u64) {
        self.outer.set_length(steps);
    }

    /// Shows an event.
    pub fn show(&self, event: &Event) {
        match event {
            Event::Started { step, steps, .. } => {
                self.outer.set_prefix("train");
                self.outer.set_length(steps.unwrap_or(0));
                self.outer.set_position(*step);
                self.outer.reset_eta();
                if *steps != Some(0) && self.style == Style::Bars {
                    self.bars.add(self.outer.clone());
                    self.outer.enable_steady_tick(Duration::from_millis(500));
                }
            }
            Event::OuterStep {
                step,
                query_loss,
                query_accuracy,
                gradient_norm,
                episodes_per_min,
                ..
            } => {
                let numbers = format!(
                    "loss {query_loss:.4} acc {query_accuracy:.3} {episodes_per_min:.1} episodes/min"
                );
                self.outer.set_position(*step);
                self.outer.set_message(numbers.clone());
                if self.style == Style::Lines {
                    // Nobody knows how many there will be before some were taken.
                    let (of, left) = match self.outer.length().filter(|&steps| steps > 0) {
                        None => (String::new(), String::new()),
                        Some(steps) => {
                            let left = indicatif::HumanDuration(self.outer.eta());
                            (format!("/{steps}"), format!(" left {left:#}"))
                        }
                    };
                    write_line(&format!("step {step}{of} {numbers} norm {gradient_norm:.3}{left}"));
                }
            }
            Event::Skipped { step, reason, .. } => {
                self.outer.set_position(*step);
                self.line(&format!("warning: left out: {reason}"));
            }
            Event::Evaluated { step, accuracy, macro_f1, zero_step_macro_f1, is_best, .. } => {
                let best = if *is_best { " (best so far)" } else { "" };
                self.line(&format!(
                    "step {step}: meta-dev accuracy {accuracy:.3}, macro F1 {macro_f1:.3}, \
                     without adapting {zero_step_macro_f1:.3}{best}"
                ));
            }
            Event::Checkpointed { .. } | Event::Profiled { .. } => {}
            Event::Finished { step, reason, elapsed_s } => {
                self.inner.finish_and_clear();
                self.outer.finish_and_clear();
                let reason = reason.replace('_', " ");
                self.line(&format!("{reason} at step {step} after {elapsed_s:.0} s"));
            }
        }
    }
}

fn bar_style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).expect("a fixed template is valid");
    let per_min = |state: &ProgressState, text: &mut dyn fmt::Write| {
        // A bar shows what fits: there is nobody to report an error to.
        let _ = write!(text, "{:.1}/min", state.per_sec() * 60.0);
    };
    style.progress_chars("=> ").with_key("per_min", per_min)
}

/// Writes a line to stderr. The work continues where nobody reads it any more.
fn write_line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
