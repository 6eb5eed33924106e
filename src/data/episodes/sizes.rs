//! Numbers of texts as a configuration gives them: a number, a list of numbers, or the word `all`.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

/// One size, or a list of sizes to choose from. In a configuration: an integer, or an array of integers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "OneOrMore", into = "OneOrMore")]
pub struct Sizes(Vec<usize>);

impl Sizes {
    /// The size, where there is just one.
    pub fn one(&self) -> Option<usize> {
        match self.0[..] {
            [size] => Some(size),
            _ => None,
        }
    }

    /// The sizes in the order given.
    pub fn all(&self) -> &[usize] {
        &self.0
    }

    /// The largest size; 0 for an empty list.
    pub fn max(&self) -> usize {
        self.0.iter().copied().max().unwrap_or(0)
    }

    /// The smallest size; 0 for an empty list.
    pub fn min(&self) -> usize {
        self.0.iter().copied().min().unwrap_or(0)
    }
}

impl From<usize> for Sizes {
    fn from(size: usize) -> Self {
        Self(vec![size])
    }
}

impl Display for Sizes {
    /// The numbers with commas between.
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        formatter.write_str(&numbers.join(","))
    }
}

/// The forms of [`Sizes`] in a configuration.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a whole number or a list of whole numbers")]
enum OneOrMore {
    One(usize),
    More(Vec<usize>),
}

impl From<OneOrMore> for Sizes {
    fn from(form: OneOrMore) -> Self {
        match form {
            OneOrMore::One(size) => Self::from(size),
            OneOrMore::More(sizes) => Self(sizes),
        }
    }
}

impl From<Sizes> for OneOrMore {
    fn from(sizes: Sizes) -> Self {
        match sizes.one() {
            Some(size) => Self::One(size),
            None => Self::More(sizes.0),
        }
    }
}

/// How many texts of a domain are scored on. In a configuration: an integer, or `"all"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "CountOrWord", into = "CountOrWord")]
pub enum QuerySize {
    /// So many.
    Count(usize),
    /// All that are not in the support set.
    All,
}

/// The forms of [`QuerySize`] in a configuration.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a whole number or \"all\"")]
enum CountOrWord {
    Count(usize),
    Word(Word),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    All,
}

impl From<CountOrWord> for QuerySize {
    fn from(form: CountOrWord) -> Self {
        match form {
            CountOrWord::Count(count) => Self::Count(count),
            CountOrWord::Word(Word::All) => Self::All,
        }
    }
}

impl From<QuerySize> for CountOrWord {
    fn from(size: QuerySize) -> Self {
        match size {
            QuerySize::Count(count) => Self::Count(count),
            QuerySize::All => Self::Word(Word::All),
        }
    }
}

#[cfg(test)]
mod tests {
    use toml::Table;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Both {
        sizes: Sizes,
        query: QuerySize,
    }

    #[test]
    fn a_number_stays_a_number_and_a_list_a_list() {
        let size = |sizes: &[usize]| Sizes(sizes.to_vec());
        for (text, sizes, query) in [
            ("sizes = 16\nquery = 0\n", size(&[16]), QuerySize::Count(0)),
            ("sizes = [80, 16]\nquery = \"all\"\n", size(&[80, 16]), QuerySize::All),
        ] {
            let read: Both = toml::from_str(text).unwrap();
            assert_eq!(read, Both { sizes, query });
            assert_eq!(toml::to_string(&read).unwrap(), text);
        }
        let list: Both = toml::from_str("sizes = [3]\nquery = 1").unwrap();
        assert_eq!(list.sizes, Sizes::from(3));
    }

    #[test]
    fn other_values_are_refused_with_the_forms_that_are_taken() {
        let error = |text: &str| toml::from_str::<Both>(text).unwrap_err().to_string();
        for sizes in ["-1", "\"16\"", "[1, -1]", "1.5"] {
            let text = error(&format!("sizes = {sizes}\nquery = 1"));
            assert!(text.contains("expected a whole number or a list of whole numbers"), "{text}");
        }
        for query in ["-1", "\"every\"", "[1]"] {
            let text = error(&format!("sizes = 1\nquery = {query}"));
            assert!(text.contains("expected a whole number or \"all\""), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_in_order() {
        let sizes: Table = "sizes = [5, 1, 2]\nquery = 1".parse().unwrap();
        let Both { sizes, .. } = sizes.try_into().unwrap();
        assert_eq!((sizes.one(), sizes.min(), sizes.max()), (None, 1, 5));
        assert_eq!((sizes.all(), sizes.to_string().as_str()), (&[5, 1, 2][..], "5,1,2"));
    }
}
