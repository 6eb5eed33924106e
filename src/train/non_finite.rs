//! Numbers that went wrong, and what training does about them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::run::Event;

/// What to do about an episode whose loss or meta-gradient is not finite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NonFinitePolicy {
    /// End the run. The state before the outer step is saved.
    #[default]
    Stop,
    /// Leave the episode out of its outer step, and say so.
    Skip,
}

/// A number that went wrong, before it reached the meta-parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Error)]
#[error("outer step {step}: {quantity} is {value} {}", place(episodes, domain.as_deref()))]
pub struct NonFinite {
    /// The outer step, counted from 1.
    pub step: u64,
    /// The episode, or all of the step.
    pub episodes: Vec<u64>,
    /// The domain of the one episode; `None` for a pooled minibatch and for several.
    pub domain: Option<String>,
    /// What went wrong.
    pub quantity: Cow<'static, str>,
    /// Its value.
    #[serde(with = "bits")]
    pub value: f64,
}

/// Numbers on the way to other processes by their bits: JSON has no others than finite ones.
mod bits {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        value.to_bits().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        u64::deserialize(deserializer).map(f64::from_bits)
    }
}

fn place(episodes: &[u64], domain: Option<&str>) -> String {
    match (episodes, domain) {
        ([episode], Some(domain)) => format!("in episode {episode} (domain {domain})"),
        ([minibatch], None) => format!("in minibatch {minibatch}"),
        _ => format!("over the episodes {episodes:?}"),
    }
}

impl NonFinite {
    /// The event that says that it was left out.
    pub fn skipped(&self) -> Event {
        Event::Skipped {
            step: self.step,
            episodes: self.episodes.clone(),
            domain: self.domain.clone(),
            reason: self.to_string(),
        }
    }
}

/// The most outer steps in a row without a finite episode: a run with more of them learns nothing any more.
pub const MAX_EMPTY_STEPS: u64 = 10;

/// Applies the policy: which numbers are left out, and when it is enough.
#[derive(Debug)]
pub struct NonFiniteGuard {
    policy: NonFinitePolicy,
    empty_steps: u64,
}

impl NonFiniteGuard {
    /// A guard that has seen nothing yet.
    pub fn new(policy: NonFinitePolicy) -> Self {
        Self { policy, empty_steps: 0 }
    }

    /// Whether what went wrong is left out.
    pub fn skips(&self) -> bool {
        self.policy == NonFinitePolicy::Skip
    }

    /// Lets numbers that are not finite pass only where they are left out.
    ///
    /// # Errors
    /// The first of them, where it is to end the run.
    pub fn check(&self, found: &[NonFinite]) -> Result<(), NonFinite> {
        match found.first() {
            Some(first) if !self.skips() => Err(first.clone()),
            _ => Ok(()),
        }
    }

    /// Notes an outer step: whether anything of it was finite, and the numbers that were left out.
    ///
    /// # Errors
    /// The last number that was left out, where there have been too many steps in a row of which nothing was finite.
    pub fn note(&mut self, is_taken: bool, skipped: &[NonFinite]) -> Result<(), NonFinite> {
        self.empty_steps = if is_taken { 0 } else { self.empty_steps + 1 };
        match skipped.last() {
            Some(last) if self.empty_steps >= MAX_EMPTY_STEPS => Err(last.clone()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nan(episodes: &[u64], domain: Option<&str>) -> NonFinite {
        NonFinite {
            step: 3,
            episodes: episodes.to_vec(),
            domain: domain.map(str::to_owned),
            quantity: "the query loss".into(),
            value: f64::NAN,
        }
    }

    #[test]
    fn the_message_names_step_episode_and_domain() {
        let expected = "outer step 3: the query loss is NaN in episode 5 (domain boots)";
        assert_eq!(nan(&[5], Some("boots")).to_string(), expected);
        let expected = "outer step 3: the query loss is NaN in minibatch 5";
        assert_eq!(nan(&[5], None).to_string(), expected);
        let expected = "outer step 3: the query loss is NaN over the episodes [4, 5]";
        assert_eq!(nan(&[4, 5], None).to_string(), expected);
    }

    #[test]
    fn it_travels_to_other_processes() {
        let mut sent = nan(&[5], Some("boots"));
        sent.value = f64::NEG_INFINITY;
        let text = serde_json::to_string(&sent).unwrap();
        assert_eq!(serde_json::from_str::<NonFinite>(&text).unwrap(), sent);
    }

    #[test]
    fn ten_empty_steps_in_a_row_are_enough() {
        let mut guard = NonFiniteGuard::new(NonFinitePolicy::Skip);
        let skipped = [nan(&[1], None), nan(&[2], Some("a"))];
        for _ in 0..2 {
            assert!((1..10).all(|_| guard.note(false, &skipped).is_ok()));
            guard.note(true, &skipped).unwrap();
        }
        assert!((1..10).all(|_| guard.note(false, &skipped).is_ok()));
        let last = guard.note(false, &skipped).unwrap_err();
        assert_eq!(last.domain.as_deref(), Some("a"));
    }

    #[test]
    fn only_a_run_that_leaves_them_out_passes_numbers_that_are_not_finite() {
        let found = [nan(&[1], None), nan(&[2], None)];
        let stop = NonFiniteGuard::new(NonFinitePolicy::Stop);
        assert_eq!(stop.check(&found).unwrap_err().episodes, [1]);
        assert!(stop.check(&[]).is_ok());
        assert!(NonFiniteGuard::new(NonFinitePolicy::Skip).check(&found).is_ok());
    }
}
