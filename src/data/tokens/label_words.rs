//! The words of a label's name.

use heck::ToSnakeCase;

/// The words of a name, to be read as a text: `card_arrival`, `CardArrival` and `card.arrival` are "card arrival".
///
/// What has spaces is written in words already, and what is not ASCII may have marks that belong to its letters: only underscores
/// and hyphens separate there.
pub(super) fn words_of(name: &str) -> String {
    let words = match name.is_ascii() && !name.contains(' ') {
        true => name.to_snake_case().replace('_', " "),
        false => name.replace(['_', '-'], " "),
    };
    // One of signs alone, such as "+", has no words.
    if words.is_empty() { name.to_owned() } else { words }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_programs_use_are_read_as_words() {
        for (name, expected) in [
            ("positive", "positive"),
            ("card_arrival", "card arrival"),
            ("CardArrival", "card arrival"),
            ("getATMFee2", "get atm fee2"),
            ("IN:CREATE_ALARM", "in create alarm"),
            ("comp.sys.mac-hardware", "comp sys mac hardware"),
            ("+", "+"),
            ("what is your name?", "what is your name?"),
            ("Oil & Gas_sector", "Oil & Gas sector"),
            ("r\u{fc}ckgabe-Anfrage", "r\u{fc}ckgabe Anfrage"),
            (
                "\u{928}\u{92e}\u{938}\u{94d}\u{924}\u{947}",
                "\u{928}\u{92e}\u{938}\u{94d}\u{924}\u{947}",
            ),
        ] {
            assert_eq!(words_of(name), expected, "{name}");
        }
    }
}
