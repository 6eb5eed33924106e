//! Scores ways to adapt a training's result, on draws of the meta-dev domains that all of them share.

use std::path::Path;

use anyhow::{Context, Result};
use tch::Device;

use super::space::{Settings, over};
use crate::commands::checkpoint::intact_model;
use crate::commands::eval::sizes::episodes_of_each_size;
use crate::commands::loading::{LoadedModel, OpenedModel};
use crate::commands::session::Session;
use crate::commands::texts::{evaluation_episodes, with_dev_query};
use crate::config::RunConfig;
use crate::data::{Corpus, Dataset, DomainId, EpisodeSampler, check_sizes};
use crate::eval::SafeguardConfig;
use crate::eval::evaluator::Diverged;
use crate::eval::metrics::{Scores, mean};

/// The draws that everything is scored on.
pub struct Scorer<'a> {
    session: &'a Session,
    device: Device,
    /// The meta-dev domains alone.
    dataset: &'a Dataset,
    samplers: Vec<EpisodeSampler>,
}

/// The result of a training, ready to be adapted.
pub struct Trained {
    config: RunConfig,
    model: LoadedModel,
    corpus: Corpus,
}

/// Means over domains, support sizes and draws.
#[derive(Clone, Copy, Debug)]
pub struct Score {
    /// In nats; `None` where it is not finite.
    pub log_loss: Option<f64>,
    /// Macro F1 from the counts of each domain and size.
    pub macro_f1: f64,
}

impl<'a> Scorer<'a> {
    /// A scorer on all domains of `dataset`.
    ///
    /// # Errors
    /// A domain with too few texts for the draws.
    pub fn new(session: &'a Session, dataset: &'a Dataset, device: Device) -> Result<Self> {
        let config = &session.config;
        let domains: Vec<DomainId> = (0..dataset.domains.len() as DomainId).collect();
        // Some ways to adapt need a text of every label, and all see the same.
        let sizes = episodes_of_each_size(config, false, true);
        let sampler = |(_, episode)| -> Result<EpisodeSampler> {
            check_sizes(dataset, &domains, &episode)?;
            let draws = evaluation_episodes(dataset, &domains, &episode, config, "tuning episodes");
            Ok(with_dev_query(draws, config))
        };
        let samplers = sizes.into_iter().map(sampler).collect::<Result<_>>()?;
        Ok(Self { session, device, dataset, samplers })
    }

    /// Loads the best checkpoint of a run that was trained as `config` says.
    ///
    /// # Errors
    /// A damaged checkpoint, and any error of libtorch.
    pub fn load(&self, run: &Path, config: RunConfig) -> Result<Trained> {
        let opened = OpenedModel::open(&intact_model(run)?)?;
        let labels = opened.own_labels(self.dataset, &config)?;
        let recipe = config.evaluation_recipe();
        let console = &self.session.console;
        let model = opened.load(&labels, &config, Some(&recipe), self.device, console)?;
        let corpus = self.session.tokenise(self.dataset, &model)?;
        Ok(Trained { config, model, corpus })
    }

    /// The draws of all domains and sizes that one draw of each of them takes.
    pub fn num_series(&self) -> u64 {
        (self.samplers.len() * self.dataset.domains.len()) as u64
    }

    /// The score of `trained`, adapted with these settings over its own, on `num_draws` draws of each domain and size.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn score(&self, trained: &Trained, settings: &Settings, num_draws: u64) -> Result<Score> {
        let Trained { config, model, corpus } = trained;
        let config = over(config, settings).expect("the search drew possible settings");
        let recipe = config.evaluation_recipe();
        // The answers themselves: what a safeguard makes of them is the same for all.
        let safeguard = SafeguardConfig { share: config.safeguard.share, ..SafeguardConfig::OFF };
        let head_rows = model.head_rows(self.dataset);
        let evaluator = self.session.evaluator(model, &head_rows, corpus, &recipe, safeguard)?;
        let (mut losses, mut scores) = (Vec::new(), Vec::new());
        for (domain, name) in (0..).zip(&self.dataset.domains) {
            let named = (domain, name.as_str());
            let on_draw = |scores: Scores| {
                self.session.console.evaluated_draw(scores.accuracy, scores.macro_f1);
            };
            let found =
                evaluator.domain(&model.params, &self.samplers, named, num_draws, None, on_draw);
            match found {
                Ok(found) => {
                    losses.extend(found.iter().map(|result| result.summary.adapted.log_loss));
                    scores.extend(found.iter().map(|result| result.summary.adapted.macro_f1.mean));
                }
                Err(error) if error.is::<Diverged>() => {
                    return Ok(Score { log_loss: None, macro_f1: 0.0 });
                }
                Err(error) => return Err(error).context("scoring an adaptation"),
            }
        }
        let log_loss = Some(mean(&losses)).filter(|loss| loss.is_finite());
        Ok(Score { log_loss, macro_f1: mean(&scores) })
    }
}
