//! The known name that a mistyped one is nearest to.
//!
//! Knows nothing of what the names name.

/// The least similarity of a name to one that may have been meant.
const MIN_SIMILARITY: f64 = 0.7;

/// The one of `known` that is most like `wanted`, whatever the case; `None` only where nothing is known.
pub fn nearest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    rated(wanted, known).map(|(_, name)| name)
}

/// The same, where it is so much alike that it may have been meant.
pub fn similar<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let found = rated(wanted, known);
    found.filter(|(similarity, _)| *similarity >= MIN_SIMILARITY).map(|(_, name)| name)
}

/// The nearest name with its similarity, from 0 to 1.
fn rated<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<(f64, &'a str)> {
    let wanted = wanted.to_lowercase();
    let rated = known.into_iter().map(|name| {
        let similarity = strsim::jaro_winkler(&wanted, &name.to_lowercase());
        (similarity, name)
    });
    rated.max_by(|left, right| left.0.total_cmp(&right.0))
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
            assert_eq!(similar(wanted, domains), Some(expected), "{wanted}");
        }
        assert_eq!(similar("nope", domains), None);
        assert_eq!(nearest("books", []), None);
    }
}
