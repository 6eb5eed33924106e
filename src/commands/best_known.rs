//! The recipe of those who name none: the best known one for the label sets of their data.

use anyhow::Result;

use super::checkpoint::starting_model;
use super::loading::OpenedModel;
use super::session::Session;
use super::texts;
use crate::cli::SharedArgs;
use crate::config::{Layer, RunConfig};

/// For domains that share their labels: on reviews it won against meta-learning.
const SHARED_LABELS: &str = "reviews";
/// For domains with labels of their own.
const OWN_LABELS: &str = "intents";

/// [`Session::begin`] for a command that trains, over the preset that fits the data where neither `--config`, `--preset` nor
/// `--algo` names a recipe. Says which one it is where it `speaks`.
pub fn begin(shared: &SharedArgs, speaks: bool) -> Result<Option<Session>> {
    let Some((preset, below)) = fitting(shared)? else { return Session::begin(shared, None) };
    let session = Session::begin(shared, Some(below))?;
    if let Some(session) = session.as_ref().filter(|_| speaks) {
        let labels = match preset {
            OWN_LABELS => "have labels of their own",
            _ => "share their labels",
        };
        let recipe = format!("--preset {preset}, the best recipe known for them");
        session.console.line(&format!("the domains {labels}: {recipe}"));
    }
    Ok(session)
}

/// The preset and the layer that names it, `None` where the arguments name a recipe or no data. Reads data and model for it,
/// which the command does again once it has all settings.
fn fitting(shared: &SharedArgs) -> Result<Option<(&'static str, Layer)>> {
    let given = shared.layers()?;
    let names_recipe = |layer: &Layer| layer.sets("preset") || layer.sets("train.algo");
    if shared.config.is_some() || given.iter().any(names_recipe) {
        return Ok(None);
    }
    let config = RunConfig::from_layers(&given)?;
    if config.data.path.is_empty() {
        return Ok(None);
    }
    config.validate_data()?;
    let label_sets_differ = texts::read(&config, None)?.label_sets_differ;
    let preset = if label_sets_differ { OWN_LABELS } else { SHARED_LABELS };
    let mut layer = Layer::of_key("the recipe for this data", "preset", preset.into());
    if !config.model.path.is_empty() && OpenedModel::open(&starting_model(&config)?)?.has_head() {
        // A head reads the vector that it was trained with.
        layer.table.extend(Layer::of_key("", "model.pooling", "auto".into()).table);
    }
    Ok(Some((preset, layer)))
}
