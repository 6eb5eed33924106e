//! Text from files as text in HTML, Markdown and JSON: it cannot become markup.

/// Text for the content of an HTML or SVG element, and for attributes in double quotes. Control characters become the
/// replacement character.
pub fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(' '),
            other if is_hidden(other) => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Text for a cell of a Markdown table or a line of a paragraph.
pub fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '~' | '!' | '#' => {
                escaped.push('\\');
                escaped.push(character);
            }
            '\n' | '\t' => escaped.push(' '),
            other if is_hidden(other) => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// JSON for a `<script>` element, which nothing in it can end.
pub fn json_in_script(json: &str) -> String {
    json.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}

/// Characters that are not shown, or turn the direction of those after them.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The text that a browser shows for escaped HTML.
    fn unescaped(html: &str) -> String {
        let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'")];
        let text = entities.iter().fold(html.to_owned(), |text, (name, it)| text.replace(name, it));
        text.replace("&amp;", "&")
    }

    proptest! {
        #[test]
        fn no_text_becomes_markup(text in "\\PC*|[<>&\"'a;#/ -]*") {
            let escaped = html(&text);
            prop_assert!(!escaped.contains(['<', '>', '"', '\'']), "{escaped:?}");
            let shown = text.chars().map(|c| if is_hidden(c) { '\u{fffd}' } else { c });
            prop_assert_eq!(unescaped(&escaped), shown.collect::<String>());
            prop_assert!(!markdown(&text).contains(['<', '>', '\n']), "{:?}", markdown(&text));
        }

        #[test]
        fn json_in_a_script_reads_back_and_has_no_tag(text in "\\PC*|[<>&/!a-z-]*") {
            let written = json_in_script(&serde_json::to_string(&text).unwrap());
            prop_assert!(!written.contains(['<', '>']), "{written:?}");
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
        }
    }

    #[test]
    fn a_cell_of_markdown_cannot_end_its_column() {
        assert_eq!(markdown("a|b\n`<b>`"), "a\\|b \\`&lt;b&gt;\\`");
    }
}
