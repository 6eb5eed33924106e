//! How wrong input is reported: where it is, what was expected, what was found.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;

use thiserror::Error;

/// Wrong input in words: `place: expected X, found Y`, where the place is a key, a flag or a file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Invalid {
    /// A problem with a file or directory.
    pub fn at(path: &Path, problem: impl Display) -> Self {
        Self(format!("{}: {problem}", path.display()))
    }
}

/// Requires that `holds`; otherwise reports what was expected at `place` and what was found.
///
/// # Errors
/// [`Invalid`].
pub fn require(
    holds: bool,
    place: impl Display,
    expected: impl Display,
    found: impl Display,
) -> Result<(), Invalid> {
    match holds {
        true => Ok(()),
        false => Err(Invalid(format!("{place}: expected {expected}, found {found}"))),
    }
}

/// Requires a count within a range.
///
/// # Errors
/// [`Invalid`].
pub fn within(key: &str, count: u64, range: RangeInclusive<u64>) -> Result<(), Invalid> {
    require(count >= *range.start(), key, format_args!("at least {}", range.start()), count)?;
    require(count <= *range.end(), key, format_args!("at most {}", range.end()), count)
}

/// Requires a finite number above 0.
///
/// # Errors
/// [`Invalid`].
pub fn positive(key: &str, value: f64) -> Result<(), Invalid> {
    require(value > 0.0 && value.is_finite(), key, "a number above 0", value)
}

/// Requires a finite number of at least 0.
///
/// # Errors
/// [`Invalid`].
pub fn not_negative(key: &str, value: f64) -> Result<(), Invalid> {
    require(value >= 0.0 && value.is_finite(), key, "a number of at least 0", value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_out_of_range_is_reported_with_the_end_that_it_misses() {
        assert_eq!(within("a.b", 3, 3..=5), Ok(()));
        assert_eq!(within("a.b", 5, 3..=5), Ok(()));
        let message = |count| within("a.b", count, 3..=5).unwrap_err().to_string();
        assert_eq!(message(2), "a.b: expected at least 3, found 2");
        assert_eq!(message(6), "a.b: expected at most 5, found 6");
    }

    #[test]
    fn numbers_that_are_not_finite_are_refused() {
        for value in [f64::NAN, f64::INFINITY, -1.0] {
            assert!(positive("a", value).is_err() && not_negative("a", value).is_err(), "{value}");
        }
        assert!(positive("a", 0.0).is_err() && not_negative("a", 0.0).is_ok());
    }
}
