//! What the fields of a record are called in a file.

/// The names of the fields of a record; all others are ignored.
#[derive(Clone, Copy, Debug)]
pub struct FieldNames<'a> {
    /// The field with the text.
    pub text: &'a str,
    /// The field with its label.
    pub label: &'a str,
    /// The field with its domain.
    pub domain: &'a str,
}

impl FieldNames<'static> {
    /// Those of metabert's own files.
    pub const OWN: Self = Self { text: "text", label: "label", domain: "domain" };
}

impl<'a> FieldNames<'a> {
    /// All three, in this order.
    pub fn all(self) -> [&'a str; 3] {
        [self.text, self.label, self.domain]
    }
}
