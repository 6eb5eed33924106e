//! What kind of file begins with an object, and the names of the fields that count.
//!
//! Knows no values.

use std::fmt;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor,
};

/// How a file that begins with an object goes on.
pub(super) enum Form {
    Wrapped,
    Lines,
    /// One object over several lines that is neither a record a line nor holds the array.
    SpreadObject,
}

impl Form {
    /// Tells by the keys of the first object.
    pub(super) fn of(text: &str) -> Self {
        let mut keys = Keys::default();
        let mut objects = serde_json::Deserializer::from_str(text);
        let is_whole = (&mut keys).deserialize(&mut objects).is_ok();
        if keys.has_data && !keys.has_record_field {
            return Self::Wrapped;
        }
        let first_line = text.trim_ascii_start().split('\n').next().unwrap_or_default();
        if is_whole
            && serde_json::from_str::<IgnoredAny>(first_line).is_err()
            && objects.end().is_ok()
        {
            return Self::SpreadObject;
        }
        Self::Lines
    }
}

/// The telling keys of an object; filled as far as the object is well-formed.
#[derive(Default)]
struct Keys {
    has_data: bool,
    has_record_field: bool,
}

impl<'de> DeserializeSeed<'de> for &mut Keys {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Keys {
    type Value = ();
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Key>()? {
            match key {
                Key::Data => self.has_data = true,
                Key::Text | Key::Label | Key::Domain => self.has_record_field = true,
                Key::Other => {}
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

pub(super) enum Key {
    Text,
    Label,
    Domain,
    Data,
    Other,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = Key;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a field name")
            }
            fn visit_str<E: Error>(self, name: &str) -> Result<Key, E> {
                Ok(match name {
                    "text" => Key::Text,
                    "label" => Key::Label,
                    "domain" => Key::Domain,
                    "data" => Key::Data,
                    _ => Key::Other,
                })
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}
