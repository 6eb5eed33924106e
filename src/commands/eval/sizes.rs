//! The sizes of the sets that an evaluation draws.

use crate::config::RunConfig;
use crate::data::{EpisodeConfig, QuerySize};
use crate::eval::report::SupportSize;

/// How draws are made, for each size of the support set that is asked for. All checkpoints adapt to the same: where the head
/// of one is made of the support set, every label is in it.
pub fn episodes_of_each_size(
    config: &RunConfig,
    has_test: bool,
    every_label: bool,
) -> Vec<(SupportSize, EpisodeConfig)> {
    let mut episode = config.evaluation_episode();
    episode.every_label |= every_label;
    if has_test {
        // A domain may be too small for the query set that nobody needs.
        episode.query = 0;
    }
    let named = |episode: EpisodeConfig| {
        let size = match episode.counts_by_label() {
            true => SupportSize::PerLabel(episode.support_per_label.max()),
            false => SupportSize::Total(episode.support.max()),
        };
        (size, episode)
    };
    episode.each_size().into_iter().map(named).collect()
}

/// The texts that each draw is scored on, where no file has them.
pub fn query_size(config: &RunConfig, has_test: bool) -> Option<QuerySize> {
    match config.evaluate.query {
        _ if has_test => None,
        QuerySize::All => Some(QuerySize::All),
        QuerySize::Count(_) => Some(QuerySize::Count(config.evaluation_episode().query)),
    }
}
