//! The wordpieces that some texts consist of, numbered from 0.
//!
//! Knows token ids, not the embedding rows of them.

/// Distinct token ids, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSubset {
    ids: Vec<u32>,
}

impl TokenSubset {
    /// The ids that occur in `texts`.
    pub fn of<'a>(texts: impl IntoIterator<Item = &'a [u32]>) -> Self {
        let mut ids: Vec<u32> = texts.into_iter().flatten().copied().collect();
        ids.sort_unstable();
        ids.dedup();
        Self { ids }
    }

    /// The ids.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// `text` with every id replaced by its position among the ids of the subset.
    ///
    /// # Panics
    /// If the text has an id that the subset has not.
    pub fn renumber(&self, text: &[u32]) -> Vec<u32> {
        let position = |id| self.ids.binary_search(id).expect("the subset covers the text");
        text.iter().map(|id| position(id) as u32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renumbered_ids_point_back_at_the_originals() {
        let texts: [&[u32]; 2] = [&[101, 7, 7, 30_000], &[101, 5]];
        let subset = TokenSubset::of(texts);
        assert_eq!(subset.ids(), [5, 7, 101, 30_000]);
        for text in texts {
            let back: Vec<u32> =
                subset.renumber(text).iter().map(|&id| subset.ids()[id as usize]).collect();
            assert_eq!(back, text);
        }
    }
}
