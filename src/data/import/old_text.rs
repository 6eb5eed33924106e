//! Text of files that say nothing of their encoding.

/// What Windows-1252 has from 0x80 on, where Latin-1 has control characters. It leaves five bytes open, which stay those.
const WINDOWS_1252: [char; 32] = [
    '\u{20ac}', '\u{81}', '\u{201a}', '\u{192}', '\u{201e}', '\u{2026}', '\u{2020}', '\u{2021}',
    '\u{2c6}', '\u{2030}', '\u{160}', '\u{2039}', '\u{152}', '\u{8d}', '\u{17d}', '\u{8f}',
    '\u{90}', '\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}', '\u{2022}', '\u{2013}', '\u{2014}',
    '\u{2dc}', '\u{2122}', '\u{161}', '\u{203a}', '\u{153}', '\u{9d}', '\u{17e}', '\u{178}',
];

/// The longest name of an entity, in bytes.
const MAX_ENTITY: usize = 10;

/// Bytes as UTF-8, and those that are not as Windows-1252.
pub(super) fn decoded(bytes: &[u8]) -> String {
    let character = |&byte: &u8| match byte {
        0x80..=0x9f => WINDOWS_1252[usize::from(byte - 0x80)],
        _ => char::from(byte),
    };
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(character));
    }
    text
}

/// Text with the characters that its entities name: `&amp;`, `&#34;` and their like. Any other `&` stays.
pub(super) fn unescaped(text: &str) -> String {
    let mut unescaped = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        unescaped.push_str(&rest[..start]);
        rest = &rest[start..];
        // No entity is longer, and a text may have many an `&` and no `;`.
        let near = rest[1..].bytes().take(MAX_ENTITY + 1).position(|byte| byte == b';');
        let entity = near.map(|end| &rest[1..=end]).and_then(|name| Some((name, named(name)?)));
        let (length, character) = entity.map_or((1, '&'), |(name, found)| (name.len() + 2, found));
        unescaped.push(character);
        rest = &rest[length..];
    }
    unescaped + rest
}

/// The character that an entity names.
fn named(entity: &str) -> Option<char> {
    Some(match entity {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        _ => {
            let number = entity.strip_prefix('#')?;
            let number = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => number.parse(),
            };
            char::from_u32(number.ok()?)?
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_utf_8_or_else_windows_1252() {
        assert_eq!(decoded("caf\u{e9} \u{2019}".as_bytes()), "caf\u{e9} \u{2019}");
        assert_eq!(decoded(b"caf\xe9 \x92 \x9d"), "caf\u{e9} \u{2019} \u{9d}");
        assert_eq!(decoded(b"caf\xc3\xa9 \x92"), "caf\u{e9} \u{2019}");
    }

    #[test]
    fn entities_become_their_characters() {
        for (text, expected) in [
            ("a &amp; b &lt;3 &quot;c&quot;", "a & b <3 \"c\""),
            ("&#34;&#x263A;&apos;", "\"\u{263a}'"),
            ("AT&T; R&D & more &", "AT&T; R&D & more &"),
            ("&amp;quot; &#1114112; &#; &\u{e9};", "&quot; &#1114112; &#; &\u{e9};"),
        ] {
            assert_eq!(unescaped(text), expected);
        }
    }
}
