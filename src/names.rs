//! The known name that a mistyped one is nearest to.
//!
//! Knows nothing of what the names name.

/// The one of `known` that is most like `wanted`; `None` only where nothing is known.
///
/// Names may have parts with dots between, of which the last weighs double: a key in the wrong section is nearest to its
/// namesake. Case does not matter, and neither does the order of what is known, but for names that are equally near.
pub fn nearest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let similarity = |name: &str| {
        let (wanted, name) = (wanted.to_lowercase(), name.to_lowercase());
        2.0 * likeness(last_part(&wanted), last_part(&name)) + strsim::jaro_winkler(&wanted, &name)
    };
    let rated = known.into_iter().map(|name| (similarity(name), name));
    rated.max_by(|left, right| left.0.total_cmp(&right.0)).map(|(_, name)| name)
}

/// How much two words have in common, from the front or from the back: `num_steps` is `steps` to whoever types it.
fn likeness(left: &str, right: &str) -> f64 {
    let reversed = |word: &str| word.chars().rev().collect::<String>();
    let from_the_back = strsim::jaro_winkler(&reversed(left), &reversed(right));
    strsim::jaro_winkler(left, right).max(from_the_back)
}

fn last_part(name: &str) -> &str {
    name.rsplit('.').next().expect("splitting yields at least one part")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_nearest_to_what_was_meant() {
        let domains = ["books", "cars", "dvd", "music", "office_products"];
        for (wanted, expected) in
            [("offices", "office_products"), ("Book", "books"), ("DVDs", "dvd"), ("muisc", "music")]
        {
            assert_eq!(nearest(wanted, domains), Some(expected), "{wanted}");
        }
        assert_eq!(nearest("books", []), None);
    }

    #[test]
    fn a_key_is_nearest_to_its_namesake_and_then_to_its_section() {
        let keys = [
            "data",
            "data.max_length",
            "episode",
            "episode.query",
            "episode.support",
            "evaluate.inner_epochs",
            "inner",
            "inner.batch",
            "inner.epochs",
            "inner.lr",
            "inner.optimizer",
            "inner.steps",
            "inner.weight_decay",
            "outer.lr",
            "outer.momentum",
            "train.eval_every",
            "train.meta_batch",
            "train.patience",
            "train.steps",
        ];
        for (wanted, expected) in [
            ("inner.epoch", "inner.epochs"),
            ("train.meta_bach", "train.meta_batch"),
            ("suport", "episode.support"),
            ("iner.lr", "inner.lr"),
            ("oter.lr", "outer.lr"),
            ("inner.learning_rate", "inner.lr"),
        ] {
            assert_eq!(nearest(wanted, keys), Some(expected), "{wanted}");
        }
    }
}
