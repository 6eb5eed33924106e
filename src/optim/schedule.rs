//! Learning-rate schedules of the outer loop.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// The shape of the decay after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleConfig {
    /// No decay.
    #[default]
    Constant,
    /// In a straight line that reaches zero after the last step.
    Linear,
    /// Half a cosine that reaches zero after the last step.
    Cosine,
}

/// A schedule over a known number of steps.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Shape after the warm-up.
    pub shape: ScheduleConfig,
    /// Steps over which the factor rises from zero to one.
    pub warmup_steps: u64,
    /// Number of steps in all.
    pub steps: u64,
}

impl Schedule {
    /// The factor on the learning rate of step `step` (the first is 0), as
    /// `transformers.get_scheduler` defines it.
    pub fn factor(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return step as f64 / self.warmup_steps as f64;
        }
        let decaying = self.steps.saturating_sub(self.warmup_steps).max(1) as f64;
        let progress = ((step - self.warmup_steps) as f64 / decaying).min(1.0);
        match self.shape {
            ScheduleConfig::Constant => 1.0,
            ScheduleConfig::Linear => 1.0 - progress,
            ScheduleConfig::Cosine => 0.5 * (1.0 + (PI * progress).cos()),
        }
    }
}
