//! The presets: recipes of `configs/`, compiled in.

use super::error::ConfigError;
use super::layer::Layer;

/// Each preset's name and its file.
pub const PRESETS: [(&str, &str); 4] = [
    ("reviews", include_str!("../../configs/reviews.toml")),
    ("intents", include_str!("../../configs/intents.toml")),
    ("reference-fomaml", include_str!("../../configs/reference-fomaml.toml")),
    ("reference-reptile", include_str!("../../configs/reference-reptile.toml")),
];

/// The names of the presets.
pub const PRESET_NAMES: [&str; 4] = [PRESETS[0].0, PRESETS[1].0, PRESETS[2].0, PRESETS[3].0];

/// The layer of the preset that the source `named_by` names.
///
/// # Errors
/// An unknown name.
pub(super) fn layer(name: &str, named_by: &str) -> Result<Layer, ConfigError> {
    let (_, text) = PRESETS.iter().find(|(known, _)| *known == name).ok_or_else(|| {
        let expected = PRESET_NAMES.join(", ");
        ConfigError::Malformed {
            source_name: named_by.to_owned(),
            reason: format!("preset: expected one of {expected}, found \"{name}\""),
        }
    })?;
    let table = text.parse().expect("presets are valid TOML");
    Ok(Layer { source_name: format!("preset {name}"), table })
}
