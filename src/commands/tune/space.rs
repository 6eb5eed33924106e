//! The settings that a search tries: for trainings, and for adaptations of what they made.
//!
//! Knows configurations; nothing of scores, files or models.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use toml::Value;

use crate::config::{Layer, RunConfig};
use crate::meta::{Algorithm, HeadStart, Recipe, Scope};
use crate::seed;

/// Settings by key, over those that the search starts from.
pub type Settings = BTreeMap<String, Value>;

/// A key with the values that it may take.
type Dimension = (&'static str, Vec<Value>);

/// Draws that bring nothing new before a search takes what it has.
const MAX_USELESS_DRAWS: usize = 1_000;

/// `count` ways to train, or as many as there are: first the settings of `base` as they are, then random others.
/// `has_own_head` says that the model has a head, which commits it to a pooling.
pub fn trainings(
    base: &RunConfig,
    label_sets_differ: bool,
    has_own_head: bool,
    count: usize,
) -> Vec<Settings> {
    let algorithms = match label_sets_differ {
        true => [Algorithm::Protonet, Algorithm::Transfer, Algorithm::Fomaml],
        false => [Algorithm::Transfer, Algorithm::Fomaml, Algorithm::Reptile],
    };
    let mut space: Vec<Dimension> = vec![
        ("train.algo", algorithms.map(|it| Value::from(it.to_string())).to_vec()),
        ("outer.lr", times(base.outer.lr, &[1.0 / 3.0, 1.0, 3.0])),
        ("outer.average", [0.0, 0.98].map(Value::from).to_vec()),
    ];
    if !has_own_head {
        space.push(("model.pooling", ["cls", "mean"].map(Value::from).to_vec()));
    }
    let is_possible =
        |settings: &Settings| over(base, settings).is_some_and(|config| config.validate().is_ok());
    let mut rng = seed::rng(base.seed, "tuned trainings", 0);
    sample(&space, count, &mut rng, |point| is_possible(&point).then_some(point))
}

/// `count` ways to adapt what was trained as `base` says, or as many as there are: first its own, then random others.
pub fn adaptations(base: &RunConfig, label_sets_differ: bool, count: usize) -> Vec<Settings> {
    let heads = match label_sets_differ {
        true => [HeadStart::LabelNames, HeadStart::Prototypes, HeadStart::Zeros],
        false => [HeadStart::Meta, HeadStart::Prototypes, HeadStart::LabelNames],
    };
    let scopes = [Scope::Head, Scope::All, Scope::Bias, Scope::Last(2)];
    let recipe = base.evaluation_recipe();
    let mut space: Vec<Dimension> = vec![
        ("evaluate.head", heads.map(|it| Value::from(it.to_string())).to_vec()),
        ("evaluate.scope", scopes.map(|it| Value::from(it.to_string())).to_vec()),
        ("evaluate.head_steps", [0, 20].map(Value::from).to_vec()),
        ("evaluate.inner_steps", [0, 5, 10, 30].map(Value::from).to_vec()),
        ("evaluate.lr", times(recipe.steps.lr, &[1.0 / 3.0, 1.0, 3.0])),
        ("evaluate.head_lr", times(recipe.steps.head_lr, &[0.1, 1.0, 10.0, 100.0])),
        ("safeguard.share", [0.5, 1.0].map(Value::from).to_vec()),
    ];
    if !label_sets_differ {
        // Where labels are intents, support sets have as many texts of each.
        space.push(("evaluate.class_weights", ["none", "balanced"].map(Value::from).to_vec()));
    }
    let settle = |point: Settings| {
        let config = over(base, &point)?;
        let recipe = config.evaluation_recipe();
        let is_possible = config.validate_adaptation().is_ok() && recipe.ensure_adapts().is_ok();
        is_possible.then(|| without_idle_keys(point, &recipe))
    };
    let mut rng = seed::rng(base.seed, "tuned adaptations", 0);
    sample(&space, count, &mut rng, settle)
}

/// `base` with other settings; `None` where a value does not fit its key.
pub fn over(base: &RunConfig, settings: &Settings) -> Option<RunConfig> {
    let table = base.to_toml().parse().expect("a configuration is TOML");
    let base = Layer { source_name: "the start of the search".to_owned(), table };
    let settings =
        settings.iter().map(|(key, value)| Layer::of_key("the search", key, value.clone()));
    RunConfig::from_layers(&[base].into_iter().chain(settings).collect::<Vec<_>>()).ok()
}

fn times(value: f64, factors: &[f64]) -> Vec<Value> {
    factors.iter().map(|factor| Value::from(value * factor)).collect()
}

/// No settings at all, and then distinct random points of `space`, as `settle` spells them; it drops the impossible ones.
fn sample(
    space: &[Dimension],
    count: usize,
    rng: &mut ChaCha8Rng,
    settle: impl Fn(Settings) -> Option<Settings>,
) -> Vec<Settings> {
    let mut found = vec![Settings::new()];
    let mut useless = 0;
    while found.len() < count && useless < MAX_USELESS_DRAWS {
        let point = space.iter().map(|(key, values)| {
            ((*key).to_owned(), values[seed::below(rng, values.len())].clone())
        });
        match settle(point.collect()) {
            Some(point) if !found.contains(&point) => found.push(point),
            _ => useless += 1,
        }
    }
    found.truncate(count);
    found
}

/// Settings that do the same, spelled in one way: without those that an adaptation by `recipe` does not read.
fn without_idle_keys(mut point: Settings, recipe: &Recipe) -> Settings {
    let takes_steps = recipe.takes_steps();
    let mut idle = Vec::new();
    if !takes_steps {
        idle.push("evaluate.scope");
    }
    if !recipe.moves_encoder() {
        idle.push("evaluate.lr");
    }
    if !takes_steps && recipe.head_steps == 0 {
        idle.extend(["evaluate.head_lr", "safeguard.share", "evaluate.class_weights"]);
    }
    point.retain(|key, _| !idle.contains(&key.as_str()));
    point
}

/// Settings as the journal has them.
pub fn as_json(settings: &Settings) -> BTreeMap<String, serde_json::Value> {
    let value = |value| serde_json::to_value(value).expect("no setting is a date");
    settings.iter().map(|(key, setting)| (key.clone(), value(setting))).collect()
}

/// Settings as people read them.
pub fn words(settings: &Settings) -> String {
    if settings.is_empty() {
        return "the settings of the start".to_owned();
    }
    let words: Vec<String> =
        settings.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    words.join(", ")
}
