//! The meta-dev domains, on which the meta-parameters are scored while they are trained.

use anyhow::Result;

use crate::data::EpisodeSampler;
use crate::eval::metrics::Scores;
use crate::eval::{Evaluation, Evaluator};
use crate::params::ParamSet;
use crate::ranks::StopRequested;
use crate::run::console::Console;

/// The meta-dev domains and how to score on them.
pub struct DevSet<'a> {
    /// Adapts and scores.
    pub evaluator: Evaluator<'a>,
    /// Draws support and query sets of the meta-dev domains.
    pub sampler: EpisodeSampler,
    /// Draws for each domain.
    pub episodes: u64,
}

impl DevSet<'_> {
    /// The scores of `meta`; `None` where a signal asks for a stop before all draws are scored.
    ///
    /// # Errors
    /// [`Diverged`](crate::eval::evaluator::Diverged), and any error of libtorch.
    pub fn evaluate(&self, meta: &ParamSet, console: &Console) -> Result<Option<Evaluation>> {
        let pools = self.sampler.pools();
        console.begin_evaluation(pools.len() as u64 * self.episodes);
        let found = self.domain_by_domain(meta, console);
        console.end_evaluation();
        match found {
            Ok(evaluation) => Ok(Some(evaluation)),
            // Evaluations can be long. The resumed run makes this one again.
            Err(error) if error.is::<StopRequested>() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn domain_by_domain(&self, meta: &ParamSet, console: &Console) -> Result<Evaluation> {
        let steps = self.evaluator.builder.recipe.visit.num_steps(self.sampler.num_support());
        let mut results = Vec::new();
        for pool in self.sampler.pools() {
            let named = (pool.domain, pool.name.as_str());
            let on_draw = |scores: Scores| console.evaluated_draw(scores.accuracy, scores.macro_f1);
            console.begin_episode(steps * self.episodes as usize);
            let (sampler, episodes) = (&self.sampler, self.episodes);
            let sampler = std::slice::from_ref(sampler);
            results.extend(self.evaluator.domain(meta, sampler, named, episodes, None, on_draw)?);
        }
        Ok(Evaluation::of(results, self.evaluator.run_seed))
    }
}
