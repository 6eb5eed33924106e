//! Settings that the algorithm decides unless they are given.

use std::fmt::{self, Display, Formatter};
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A setting of which each algorithm has its own: `auto` in the configuration, or a value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Choice<T> {
    /// That of the algorithm.
    #[default]
    Auto,
    /// This one, for every algorithm.
    Given(T),
}

impl<T> Choice<T> {
    /// The value, which is `by_algorithm` unless another is given.
    pub fn or(self, by_algorithm: T) -> T {
        match self {
            Self::Auto => by_algorithm,
            Self::Given(value) => value,
        }
    }
}

impl<T> From<T> for Choice<T> {
    fn from(value: T) -> Self {
        Self::Given(value)
    }
}

impl<T: Serialize> Serialize for Choice<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Given(value) => value.serialize(serializer),
        }
    }
}

impl<'de, T: FromStr<Err = String>> Deserialize<'de> for Choice<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Word(PhantomData))
    }
}

/// A value that is written as a word.
struct Word<T>(PhantomData<T>);

impl<T: FromStr<Err = String>> Visitor<'_> for Word<T> {
    type Value = Choice<T>;

    fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Choice<T>, E> {
        match word {
            "auto" => Ok(Choice::Auto),
            word => word.parse().map(Choice::Given).map_err(E::custom),
        }
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Choice<T>, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Choice<T>, E> {
        self.visit_str(&number.to_string())
    }
}

/// A learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Rate(pub f64);

impl FromStr for Rate {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let rate = word.parse().map(Self);
        rate.map_err(|_| format!("expected a number or auto, found {word}"))
    }
}

impl Display for Rate {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:e}", self.0)
    }
}

/// The value of this name among `all`; `Err` says which there are.
pub(super) fn named<T: Display + Copy>(all: &[T], word: &str) -> Result<T, String> {
    all.iter().copied().find(|value| value.to_string() == word).ok_or_else(|| {
        let names: Vec<String> = all.iter().map(T::to_string).collect();
        format!("expected auto, {}, found \"{word}\"", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    struct Section {
        lr: Choice<Rate>,
    }

    #[test]
    fn a_rate_is_a_number_or_left_to_the_algorithm() {
        for (text, expected) in [
            ("lr = \"auto\"\n", Choice::Auto),
            ("lr = 1e-2", Rate(0.01).into()),
            ("lr = 1", Rate(1.0).into()),
            ("lr = \"0.5\"", Rate(0.5).into()),
        ] {
            assert_eq!(toml::from_str::<Section>(text).unwrap().lr, expected, "{text}");
        }
        let error = toml::from_str::<Section>("lr = \"fast\"").unwrap_err().to_string();
        assert!(error.contains("expected a number or auto, found fast"), "{error}");
        let written = toml::to_string(&Section { lr: Rate(5e-5).into() }).unwrap();
        assert_eq!(toml::from_str::<Section>(&written).unwrap().lr, Rate(5e-5).into());
    }
}
