//! Input that is wrong in ways nobody thought of: it never panics, hangs, aborts or takes memory without bound.
//!
//! Properties run on as many inputs as `METABERT_CASES` says, drawn from the seed `METABERT_SEED`: `make fuzz` runs
//! 100,000 of each. An input that fails is printed in its smallest form.

mod architecture;
mod benchmarks;
mod dataset;
#[cfg(target_os = "linux")]
mod limits;
mod mutation;
mod parquet;
mod predict_lines;
mod settings;
mod tokenizer;
mod weights;

use std::cell::Cell;
use std::fmt::Debug;
use std::time::{Duration, Instant};

use metabert::commands::describe;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};

/// Far more than any of these small inputs takes, on a busy machine too.
const LONGEST: Duration = Duration::from_secs(20);
/// Problems are told twenty at a time, and quote at most a few lines of what is wrong.
const LONGEST_MESSAGE: usize = 300_000;

/// A number from the environment.
fn number(name: &str, default: u64) -> u64 {
    let Ok(text) = std::env::var(name) else { return default };
    text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}"))
}

/// What became of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Taken,
    Refused,
}

/// Runs `holds`, which panics where it does not hold, on values of a strategy.
///
/// Some inputs must have been taken, and some refused: else they would be too bad or too good to test anything.
fn for_all<S: Strategy<Value: Debug>>(strategy: S, holds: impl Fn(S::Value) -> Fate) {
    let seed = number("METABERT_SEED", 0);
    let config = Config {
        cases: number("METABERT_CASES", 400) as u32,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 5_000,
        ..Config::default()
    };
    let (num_cases, num_taken) = (f64::from(config.cases), Cell::new(0));
    let tested = TestRunner::new(config).run(&strategy, |value| {
        let started = Instant::now();
        let is_taken = holds(value) == Fate::Taken;
        let elapsed = started.elapsed();
        assert!(elapsed < LONGEST, "took {elapsed:?}");
        num_taken.set(num_taken.get() + u32::from(is_taken));
        Ok(())
    });
    match tested {
        Ok(()) => {
            let share = f64::from(num_taken.get()) / num_cases;
            println!("{num_cases} inputs, {:.1} % of them taken", 100.0 * share);
            assert!(num_cases < 100.0 || (0.02..0.98).contains(&share), "{share} were taken");
        }
        Err(TestError::Fail(reason, value)) => {
            panic!("{reason}\nfor {value:?}\nwith METABERT_SEED={seed}")
        }
        Err(other) => panic!("{other}"),
    }
}

/// Checks what a refusal says: which file or setting it is about, in a few printable lines.
fn assert_tells(error: impl Into<anyhow::Error>, about: &str) -> Fate {
    let message = describe(&error.into());
    assert!(message.contains(about), "expected {about:?} in {message:?}");
    assert!(message.len() <= LONGEST_MESSAGE, "{} bytes: {message:.200}...", message.len());
    let unprintable =
        message.chars().find(|char| char.is_control() && !matches!(char, '\n' | '\t'));
    assert_eq!(unprintable, None, "{message:?}");
    Fate::Refused
}
