//! What the command line's flags mean in the configuration.

use crate::cli::{
    DatasetArgs, EpisodeArgs, EpisodesArgs, EvalArgs, FinetuneArgs, PredictArgs, SharedArgs,
    SplitArgs, StatsArgs, TrainArgs, ValidateArgs,
};
use crate::config::{ConfigError, Layer};

/// Collects the layers that flags amount to.
#[derive(Default)]
struct Flags(Vec<Layer>);

impl Flags {
    fn set(&mut self, flag: &str, key: &str, value: Option<impl Into<toml::Value>>) {
        self.0.extend(value.map(|value| Layer::from_flag(flag, key, value)));
    }

    fn count(&mut self, flag: &str, key: &str, value: Option<impl TryInto<i64>>) {
        // Counts beyond 2^63 are out of any range that is checked later.
        self.set(flag, key, value.map(|value| value.try_into().unwrap_or(i64::MAX)));
    }
}

impl SharedArgs {
    /// The layers of the configuration file and of `--set`.
    ///
    /// # Errors
    /// An unreadable or malformed file, a `--set` without `=`.
    pub fn layers(&self) -> Result<Vec<Layer>, ConfigError> {
        let file = self.config.as_deref().map(Layer::from_file).transpose()?;
        let set = self.set.iter().map(|text| Layer::from_assignment(text));
        file.into_iter().map(Ok).chain(set).collect()
    }

    fn flags(&self, flags: &mut Flags) {
        flags.set("device", "device", self.device.clone());
        flags.set("precision", "precision", self.precision.map(|precision| name_of(&precision)));
        flags.count("seed", "seed", self.seed);
        flags.count("threads", "threads", self.threads);
        flags.count("workers", "workers", self.workers);
        flags.count("max-length", "data.max_length", self.max_length);
    }
}

impl DatasetArgs {
    fn flags(&self, flags: &mut Flags) {
        flags.set("data", "data.path", self.data.clone());
        let named = (!self.low_resource.is_empty()).then(|| self.low_resource.clone());
        flags.set("low-resource", "data.low_resource", named);
        flags.count("low-resource-max", "data.low_resource_max", self.low_resource_max);
        // Asked for by size, the domains are no longer those that a lower layer names.
        let by_size = self.low_resource_max.filter(|_| self.low_resource.is_empty());
        flags.set("low-resource-max", "data.low_resource", by_size.map(|_| Vec::<String>::new()));
    }
}

impl EpisodeArgs {
    fn flags(&self, flags: &mut Flags) {
        flags.count("support", "episode.support", self.support);
        flags.count("inner-epochs", "inner.epochs", self.inner_epochs);
        // Epochs asked for by name win over steps that a lower layer asks for, in training and in
        // evaluation.
        flags.count("inner-epochs", "inner.steps", self.inner_epochs.map(|_| 0));
        flags.count("inner-epochs", "evaluate.inner_epochs", self.inner_epochs);
        flags.count("inner-steps", "inner.steps", self.inner_steps);
        flags.count("inner-steps", "evaluate.inner_epochs", self.inner_steps.map(|_| 0));
        flags.count("inner-batch", "inner.batch", self.inner_batch);
        flags.set("inner-lr", "inner.lr", self.inner_lr);
    }
}

impl TrainArgs {
    /// The layers of the named flags.
    pub fn flags(&self) -> Vec<Layer> {
        let mut flags = Flags::default();
        self.shared.flags(&mut flags);
        self.dataset.flags(&mut flags);
        self.episode.flags(&mut flags);
        flags.set("preset", "preset", self.preset.clone());
        flags.set("algo", "train.algo", self.algo.map(|algo| name_of(&algo)));
        flags.set("model", "model.path", self.model.clone());
        flags.count("steps", "train.steps", self.steps);
        flags.count("meta-batch", "train.meta_batch", self.meta_batch);
        flags.set("outer-lr", "outer.lr", self.outer_lr);
        flags.count("eval-every", "train.eval_every", self.eval_every);
        flags.count("checkpoint-every", "train.checkpoint_every", self.checkpoint_every);
        flags.count("query", "episode.query", self.query);
        flags.0
    }
}

impl FinetuneArgs {
    /// The layers of the named flags.
    pub fn flags(&self) -> Vec<Layer> {
        let mut flags = Flags::default();
        self.shared.flags(&mut flags);
        self.episode.flags(&mut flags);
        flags.set("data", "data.path", self.data.clone());
        flags.0
    }
}

impl EvalArgs {
    /// The layers of the named flags.
    pub fn flags(&self) -> Vec<Layer> {
        let mut flags = Flags::default();
        self.shared.flags(&mut flags);
        self.dataset.flags(&mut flags);
        self.episode.flags(&mut flags);
        flags.count("episodes", "evaluate.episodes", self.episodes);
        flags.count("query", "evaluate.query", self.query);
        flags.0
    }
}

impl PredictArgs {
    /// The layers of the named flags.
    pub fn flags(&self) -> Vec<Layer> {
        let mut flags = Flags::default();
        self.shared.flags(&mut flags);
        flags.0
    }
}

impl StatsArgs {
    /// The layers of the named flags.
    pub fn flags(&self) -> Vec<Layer> {
        let mut flags = Flags::default();
        self.shared.flags(&mut flags);
        self.dataset.flags(&mut flags);
        flags.set("model", "model.path", self.model.clone());
        flags.0
    }
}

impl ValidateArgs {
    /// The layers of the named flags.
    pub fn flags(&self) -> Vec<Layer> {
        let mut flags = Flags::default();
        self.shared.flags(&mut flags);
        self.dataset.flags(&mut flags);
        flags.count("support", "episode.support", self.support);
        flags.count("query", "episode.query", self.query);
        flags.0
    }
}

impl SplitArgs {
    /// The layers of the named flags.
    pub fn flags(&self) -> Vec<Layer> {
        let mut flags = Flags::default();
        self.shared.flags(&mut flags);
        self.dataset.flags(&mut flags);
        flags.0
    }
}

impl EpisodesArgs {
    /// The layers of the named flags.
    pub fn flags(&self) -> Vec<Layer> {
        let mut flags = Flags::default();
        self.shared.flags(&mut flags);
        self.dataset.flags(&mut flags);
        flags.set("model", "model.path", self.model.clone());
        flags.count("support", "episode.support", self.support);
        flags.count("query", "episode.query", self.query);
        flags.0
    }
}

/// The name of an enum's value in the configuration, which is also its name on the command line.
pub fn name_of<T: clap::ValueEnum>(value: &T) -> String {
    let value = value.to_possible_value().expect("no value is hidden");
    value.get_name().to_owned()
}
