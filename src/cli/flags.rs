//! The flags that set a configuration key. The id of such an argument is the key and its value is a
//! TOML value, so that no other code has to know which flag sets what.

use std::convert::Infallible;

use clap::builder::{PossibleValuesParser, TypedValueParser, ValueParser};
use clap::{ArgAction, ArgMatches, Args, Command, FromArgMatches};
use toml::Value;

use crate::config::{Layer, PRESET_NAMES, PrecisionChoice, RunConfig};
use crate::meta::Algorithm;

/// A flag's key, and a key that the flag returns to its default, since it would overrule the flag.
const RESETS: [(&str, &str); 11] = [
    ("episode.support", "episode.support_per_label"),
    ("inner.epochs", "inner.steps"),
    ("inner.steps", "evaluate.inner_epochs"),
    ("data.low_resource_max", "data.low_resource"),
    ("inner.epochs", "evaluate.inner_steps"),
    ("inner.steps", "evaluate.inner_steps"),
    ("meta.head", "evaluate.head"),
    ("meta.scope", "evaluate.scope"),
    ("inner.lr", "evaluate.lr"),
    ("inner.lr", "evaluate.head_lr"),
    ("train.steps", "train.time_s"),
];

/// A flag's key, and another one that the flag sets to the same value: epochs asked for by name are those of training and of
/// evaluations.
const ALSO: (&str, &str) = ("inner.epochs", "evaluate.inner_epochs");

/// The keys that the flags of a command line set, with their values.
#[derive(Clone, Debug, Default)]
pub struct Flags(Vec<(String, Value)>);

impl Flags {
    /// Whether a flag sets this key.
    pub fn set(&self, key: &str) -> bool {
        self.0.iter().any(|(set, _)| set == key)
    }

    /// The same as layers of settings. A flag wins over the reset of its key by another one.
    pub fn layers(&self) -> impl Iterator<Item = Layer> {
        let defaults = RunConfig::default().entries();
        let reset = RESETS.iter().filter(|(flag, _)| self.set(flag));
        let reset = reset.map(move |(_, key)| (*key, defaults[*key].clone()));
        let also = self.0.iter().filter(|(key, _)| key == ALSO.0);
        let also = also.map(|(_, value)| (ALSO.1, value.clone()));
        let set = self.0.iter().map(|(key, value)| (key.as_str(), value.clone()));
        reset
            .chain(also)
            .chain(set)
            .map(|(key, value)| Layer::of_key("the command line", key, value))
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let set = matches.ids().filter_map(|id| {
            // Other arguments have values of other types.
            let values = matches.try_get_many::<Value>(id.as_str()).ok()??;
            Some((id.to_string(), values.cloned().reduce(joined)?))
        });
        Ok(Self(set.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Flags {
    /// Gives the arguments added before that set a key the parser of its values.
    fn augment_args(command: Command) -> Command {
        let defaults = RunConfig::default().entries();
        command.mut_args(|argument| match defaults.get(argument.get_id().as_str()) {
            Some(Value::Array(_)) => argument.value_parser(list).action(ArgAction::Append),
            Some(default) => {
                let parser = parser(argument.get_id().as_str(), default);
                argument.value_parser(parser)
            }
            None => argument,
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// A list that is given in two parts is one list.
fn joined(first: Value, second: Value) -> Value {
    match (first, second) {
        (Value::Array(first), Value::Array(second)) => [first, second].concat().into(),
        (_, second) => second,
    }
}

/// The files with the labelled texts.
#[derive(Debug, Args)]
#[command(next_help_heading = "Data")]
pub struct DataFileFlags {
    /// Read labelled texts from this file: JSON, JSONL, .csv, .tsv or Parquet; or from all files of a directory, or those that a
    /// pattern in quotes matches, such as 'reviews/*.csv'. Of several files without domains, each is a domain by its name.
    #[arg(id = "data.path", long = "data", value_name = "FILE|DIR|PATTERN")]
    pub data: (),
    /// Take the text from this field or column [default: text].
    #[arg(id = "data.text_field", long = "text-field", value_name = "NAME")]
    pub text_field: (),
    /// Take its label from this field or column [default: label].
    #[arg(id = "data.label_field", long = "label-field", value_name = "NAME")]
    pub label_field: (),
    /// Take its domain from this field or column [default: domain].
    #[arg(id = "data.domain_field", long = "domain-field", value_name = "NAME")]
    pub domain_field: (),
}

/// How the dataset is read and split.
#[derive(Debug, Args)]
#[command(next_help_heading = "Data")]
pub struct DatasetFlags {
    /// The file.
    #[command(flatten)]
    pub file: DataFileFlags,
    /// Keep these domains, separated by commas, out of meta-training.
    #[arg(id = "data.low_resource", long = "low-resource", value_name = "A,B,C")]
    pub low_resource: (),
    /// Keep domains with at most this many examples out of meta-training [default: 200].
    #[arg(id = "data.low_resource_max", long = "low-resource-max", value_name = "N")]
    pub low_resource_max: (),
}

/// How large support sets are.
#[derive(Debug, Args)]
#[command(next_help_heading = "Adaptation")]
pub struct SupportFlags {
    /// Adapt to this many texts; of a list with commas, `train` draws one for each episode and `eval`
    /// scores each [default: 80].
    #[arg(id = "episode.support", long = "support", value_name = "N,N")]
    pub support: (),
    /// Adapt to this many texts of every label instead.
    #[arg(
        id = "episode.support_per_label",
        long = "support-per-label",
        value_name = "N,N",
        conflicts_with = "episode.support"
    )]
    pub support_per_label: (),
}

/// How an episode is drawn and adapted to.
#[derive(Debug, Args)]
#[command(next_help_heading = "Adaptation")]
pub struct AdaptationFlags {
    /// How large support sets are.
    #[command(flatten)]
    pub support: SupportFlags,
    /// Adapt for this many epochs over the support set; protonet counts by steps only [default: 10].
    #[arg(
        id = "inner.epochs",
        long = "inner-epochs",
        value_name = "N",
        conflicts_with = "inner.steps"
    )]
    pub inner_epochs: (),
    /// Adapt for this many gradient steps; 0 to count by epochs [default: 0].
    #[arg(id = "inner.steps", long = "inner-steps", value_name = "N")]
    pub inner_steps: (),
    /// Adapt in minibatches of this many texts; 0 for all of them at once [default: 12].
    #[arg(id = "inner.batch", long = "inner-batch", value_name = "N")]
    pub inner_batch: (),
    /// Start adapting from this head: meta, shared, zeros, prototypes or label-names [default: by algorithm].
    #[arg(id = "meta.head", long = "head", value_name = "NAME")]
    pub head: (),
    /// Adapt these weights: all, head, last:N, bias or lora:R [default: by algorithm].
    #[arg(id = "meta.scope", long = "scope", value_name = "SCOPE")]
    pub scope: (),
    /// Adapt with this learning rate [default: 5e-5 for Adam, 1e-2 for sgd].
    #[arg(id = "inner.lr", long = "inner-lr", value_name = "X")]
    pub inner_lr: (),
}

/// The parser of a key's values: its default shows of which kind they are.
fn parser(key: &str, default: &Value) -> ValueParser {
    match (key, default) {
        ("precision", _) => one_of(PrecisionChoice::ALL),
        ("preset", _) => one_of(PRESET_NAMES),
        ("train.algo", _) => one_of(Algorithm::ALL),
        ("inner.lr", _) => ValueParser::new(number),
        ("train.time_s", _) => ValueParser::new(duration),
        ("episode.support" | "episode.support_per_label", _) => ValueParser::new(sizes),
        ("evaluate.query", _) => ValueParser::new(number_or_all),
        (_, Value::Integer(_)) => ValueParser::new(whole_number),
        (_, Value::Float(_)) => ValueParser::new(number),
        _ => ValueParser::new(text),
    }
}

fn one_of<const N: usize>(names: [impl ToString; N]) -> ValueParser {
    let names = PossibleValuesParser::new(names.map(|name| name.to_string()));
    ValueParser::new(names.map(Value::from))
}

fn whole_number(word: &str) -> Result<Value, &'static str> {
    let number = word.parse::<i64>().ok().filter(|number| *number >= 0);
    number.map(Value::from).ok_or("expected a whole number from 0 to 2^63 - 1")
}

fn sizes(words: &str) -> Result<Value, &'static str> {
    let sizes = words.split(',').map(whole_number).collect::<Result<Vec<_>, _>>()?;
    Ok(match sizes.as_slice() {
        [size] => size.clone(),
        _ => sizes.into(),
    })
}

fn number_or_all(word: &str) -> Result<Value, &'static str> {
    match word {
        "all" => Ok(word.into()),
        _ => whole_number(word).map_err(|_| "expected a whole number from 0 to 2^63 - 1, or all"),
    }
}

fn number(word: &str) -> Result<Value, &'static str> {
    word.parse::<f64>().map(Value::from).map_err(|_| "expected a number")
}

fn duration(words: &str) -> Result<Value, &'static str> {
    seconds(words).map(Value::Float)
}

/// Seconds, from a number with a unit.
pub fn seconds(words: &str) -> Result<f64, &'static str> {
    const EXPECTED: &str = "expected a number with a unit, such as 90s, 30m or 2h";
    /// Thirty years: clocks end somewhere.
    const MOST_SECONDS: f64 = 1e9;
    const UNITS: [(char, f64); 3] = [('s', 1.0), ('m', 60.0), ('h', 3_600.0)];
    let found = UNITS.into_iter().find_map(|(unit, factor)| {
        let count: f64 = words.strip_suffix(unit)?.parse().ok()?;
        Some(count * factor)
    });
    found.filter(|seconds| *seconds > 0.0 && *seconds <= MOST_SECONDS).ok_or(EXPECTED)
}

fn list(words: &str) -> Result<Value, Infallible> {
    Ok(words.split(',').collect::<Vec<_>>().into())
}

fn text(word: &str) -> Result<Value, Infallible> {
    Ok(word.into())
}
