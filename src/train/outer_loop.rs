//! One outer step: adapt to each episode of a meta-batch, average the meta-gradients, move the meta-parameters.
//!
//! Knows a learner and its tasks; no text, file, clock or console.

use anyhow::{Context, Result};
use tch::TchError;

use super::config::{OuterConfig, TrainConfig};
use super::deal::deal;
use super::exchange::mean_over_ranks;
use super::meta_batch::{MeanGradient, MetaBatch, StepReport};
use super::non_finite::{NonFinite, NonFiniteGuard};
use crate::machine::Workers;
use crate::meta::{Learner, Recipe, Task};
use crate::optim::clip_by_global_norm;
use crate::params::ParamSet;
use crate::ranks::Group;
use crate::run::TrainingState;

/// Everything an outer step is made of but the state that it changes. `T` makes the task of an index for
/// meta-parameters like those given.
pub struct OuterLoop<'a, L: Learner, T> {
    /// The model.
    pub learner: &'a L,
    /// How tasks become meta-gradients.
    pub recipe: &'a Recipe,
    /// The task of each index.
    pub tasks: T,
    /// What the task of an index costs, in any unit, to deal tasks out evenly.
    pub cost: &'a (dyn Fn(u64) -> u64 + 'a),
    /// How many tasks run at once.
    pub workers: Workers,
    /// The processes that share the tasks of a step.
    pub group: &'a Group,
    /// Section `[train]`.
    pub train: &'a TrainConfig,
    /// Section `[outer]`.
    pub outer: &'a OuterConfig,
    /// The policy for numbers that are not finite.
    pub non_finite: NonFiniteGuard,
}

/// The way that an outer step takes, before it is taken.
#[derive(Debug)]
pub struct Direction {
    /// The mean meta-gradient, clipped; `None` where nothing was finite, so that nothing is to move.
    gradient: Option<ParamSet>,
    /// The global norm of the mean meta-gradient, before clipping.
    pub gradient_norm: f64,
    /// The learning rate.
    pub lr: f64,
    /// The factor of the schedule in it.
    schedule: f64,
    /// Means over the episodes.
    pub report: StepReport,
    /// The contributions that were left out.
    pub skipped: Vec<NonFinite>,
}

impl Direction {
    /// Whether the step moves the meta-parameters.
    pub fn moves(&self) -> bool {
        self.gradient.is_some()
    }
}

impl<L, T> OuterLoop<'_, L, T>
where
    L: Learner,
    T: Fn(&ParamSet, u64) -> Result<Task<L::Batch>, TchError> + Sync,
{
    /// The mean meta-gradient of the next meta-batch, clipped. All of it is computed before anything is decided: whether a
    /// number that is not finite ends the run depends on the sum alone.
    ///
    /// # Errors
    /// [`NonFinite`] numbers where the guard does not leave them out, and any error of libtorch.
    pub fn direction(&self, state: &TrainingState) -> Result<Direction> {
        let step = state.progress.step;
        let MeanGradient { mut gradient, report, non_finite: mut skipped } = self.mean(state)?;
        let mut gradient_norm = 0.0;
        if let Some(gradient) = &mut gradient {
            gradient_norm = clip_by_global_norm(gradient, self.outer.clip_norm)?;
        }
        if !gradient_norm.is_finite() {
            let quantity = "the norm of the mean meta-gradient".into();
            let (step, episodes, value) = (step + 1, report.episodes(), gradient_norm);
            skipped.push(NonFinite { step, episodes, domain: None, quantity, value });
            gradient = None;
        }
        self.non_finite.check(&skipped)?;
        let schedule = self.outer.schedule(self.train.steps_in_all(&state.progress)).factor(step);
        let lr = self.outer.lr * schedule;
        Ok(Direction { gradient, gradient_norm, lr, schedule, report, skipped })
    }

    /// Takes the step, unless nothing is to move.
    ///
    /// # Errors
    /// Any error of libtorch; the state may have moved in part then.
    pub fn take(&self, state: &mut TrainingState, direction: &Direction) -> Result<()> {
        if let Some(gradient) = &direction.gradient {
            let lr = |region| self.outer.lr_of(region) * direction.schedule;
            let stepped = state.optimizer.step(&mut state.meta, gradient, lr);
            let averaged = stepped.and_then(|()| state.average(self.outer.average));
            averaged.with_context(|| format!("outer step {}", state.progress.step + 1))?;
        } else {
            state.progress.skipped_steps += 1;
        }
        state.progress.step += 1;
        Ok(())
    }

    /// The mean over the meta-batch of the step after `state`.
    fn mean(&self, state: &TrainingState) -> Result<MeanGradient> {
        let Self { learner, recipe, tasks, .. } = self;
        let (step, size) = (state.progress.step, self.train.meta_batch);
        let mut batch = MetaBatch::new(step + 1);
        let index_of = |position: u64| step * size + position;
        let positions = self.own_positions(index_of);
        let work = |meta: &ParamSet, number: usize| {
            let index = index_of(positions[number]);
            let outcome = tasks(meta, index)
                .and_then(|task| recipe.meta_gradient(*learner, meta, task, step));
            outcome.with_context(|| format!("outer step {}, episode {index}", step + 1))
        };
        let add =
            |number: usize, outcome| Ok(batch.add(&state.meta, positions[number], outcome)?);
        self.workers.run(positions.len(), || Ok(state.meta.share()?), work, add)?;
        mean_over_ranks(self.group, batch, &state.meta)
    }

    /// The positions in the meta-batch whose tasks are this rank's.
    fn own_positions(&self, index_of: impl Fn(u64) -> u64) -> Vec<u64> {
        let all = 0..self.train.meta_batch;
        if self.group.size() == 1 {
            return all.collect();
        }
        let costs: Vec<u64> = all.map(|position| (self.cost)(index_of(position))).collect();
        let own = deal(&costs, self.group.size()).swap_remove(self.group.rank());
        own.into_iter().map(|position| position as u64).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::quadratic::{Quadratic, config, from_values, task, values};
    use crate::meta::{Algorithm, MetaConfig};
    use crate::optim::{Rule, ScheduleConfig};
    use crate::train::non_finite::NonFinitePolicy;

    const CURVATURE: [f64; 2] = [0.5, 3.0];
    const START: [f64; 2] = [1.0, -2.0];
    const INNER_LR: f64 = 0.1;
    const INNER_STEPS: i32 = 3;
    const META_BATCH: u64 = 3;
    const STEPS: u64 = 6;

    /// The minima of the support and query losses of episode `index`.
    fn minima(index: u64) -> [[f64; 2]; 2] {
        let x = index as f64;
        [[x.sin() * 2.0, x.cos()], [(x * 0.7).cos() - 1.0, (x * 1.3).sin() * 3.0]]
    }

    /// The parameters after each of [`STEPS`] outer steps of gradient descent, with the episodes `not_finite` left out.
    fn trained(algorithm: Algorithm, outer: &OuterConfig, not_finite: &[u64]) -> Vec<Vec<f64>> {
        let recipe = Recipe::new(algorithm, &config(INNER_LR), &MetaConfig::default());
        let train = TrainConfig {
            steps: STEPS,
            meta_batch: META_BATCH,
            non_finite: NonFinitePolicy::Skip,
            ..TrainConfig::default()
        };
        let meta = from_values(&START);
        let tasks = |_: &ParamSet, index| {
            let [support, mut query] = minima(index);
            if not_finite.contains(&index) {
                query[1] = f64::NAN;
            }
            Ok(Task {
                index,
                ..task(&from_values(&START), &[support; INNER_STEPS as usize], query)
            })
        };
        let outer_loop = OuterLoop {
            learner: &Quadratic { curvature: CURVATURE },
            recipe: &recipe,
            tasks,
            cost: &|_| 1,
            workers: Workers::one(),
            group: &Group::alone(),
            train: &train,
            outer,
            non_finite: NonFiniteGuard::new(train.non_finite),
        };
        let mut state = TrainingState::new(meta, outer.optimizer(), 0.0).unwrap();
        let mut step = || {
            let direction = outer_loop.direction(&state).unwrap();
            let skipped: Vec<u64> =
                direction.skipped.iter().flat_map(|skipped| skipped.episodes.clone()).collect();
            let first = state.progress.step * META_BATCH;
            let expected = (first..first + META_BATCH).filter(|index| not_finite.contains(index));
            assert_eq!(skipped, expected.collect::<Vec<_>>());
            assert_eq!(direction.moves(), (skipped.len() as u64) < META_BATCH);
            outer_loop.take(&mut state, &direction).unwrap();
            values(&state.meta)
        };
        (0..STEPS).map(|_| step()).collect()
    }

    /// The same by the closed form of the adaptation, φ - c = (1 - lr a)^k (θ - c), and the recursion
    /// θ <- θ - lr clip(mean of the meta-gradients).
    fn recursion(algorithm: Algorithm, outer: &OuterConfig, not_finite: &[u64]) -> Vec<[f64; 2]> {
        let mut theta = START;
        let mut step = |step: u64| {
            let episodes = step * META_BATCH..(step + 1) * META_BATCH;
            let finite: Vec<u64> = episodes.filter(|index| !not_finite.contains(index)).collect();
            if finite.is_empty() {
                return theta;
            }
            let gradient = |i: usize| {
                let of = |&index: &u64| {
                    let [support, query] = minima(index).map(|minimum| minimum[i]);
                    let contraction = (1.0 - INNER_LR * CURVATURE[i]).powi(INNER_STEPS);
                    let adapted = support + contraction * (theta[i] - support);
                    match algorithm {
                        Algorithm::Fomaml => CURVATURE[i] * (adapted - query),
                        _ => theta[i] - adapted,
                    }
                };
                finite.iter().map(of).sum::<f64>() / finite.len() as f64
            };
            let gradient = [gradient(0), gradient(1)];
            let norm = gradient[0].hypot(gradient[1]);
            let clipped = match outer.clip_norm {
                0.0 => 1.0,
                most => (most / norm).min(1.0),
            };
            let lr = outer.lr * outer.schedule(STEPS).factor(step);
            theta = [0, 1].map(|i| theta[i] - lr * clipped * gradient[i]);
            theta
        };
        (0..STEPS).map(&mut step).collect()
    }

    /// Both algorithms, with clipping in force and not, with a schedule and without, with episodes and whole steps left out.
    #[test]
    fn outer_steps_on_a_quadratic_follow_their_closed_recursion() {
        for algorithm in [Algorithm::Fomaml, Algorithm::Reptile] {
            for (clip_norm, schedule) in
                [(0.0, ScheduleConfig::Constant), (0.3, ScheduleConfig::Linear)]
            {
                for not_finite in [&[][..], &[4], &[0, 6, 7, 8, 17]] {
                    let outer = OuterConfig {
                        optimizer: Rule::Sgd,
                        lr: 0.4,
                        clip_norm,
                        schedule,
                        ..OuterConfig::default()
                    };
                    let found = trained(algorithm, &outer, not_finite);
                    let expected = recursion(algorithm, &outer, not_finite);
                    for (step, (found, expected)) in found.iter().zip(&expected).enumerate() {
                        let worst = (0..2).map(|i| (found[i] - expected[i]).abs());
                        let worst = worst.fold(0.0, f64::max);
                        // A few hundred roundings of numbers of about 1.
                        assert!(
                            worst < 1e-12,
                            "{algorithm:?}, step {step}: {found:?}, {expected:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_number_that_is_not_finite_ends_the_run_before_a_step() {
        let recipe = Recipe::new(Algorithm::Fomaml, &config(INNER_LR), &MetaConfig::default());
        let (train, outer) = (TrainConfig::default(), OuterConfig::default());
        let meta = from_values(&START);
        let nowhere = || task(&from_values(&START), &[], [f64::NAN; 2]);
        let tasks = |_: &ParamSet, index| Ok(Task { index, ..nowhere() });
        let outer_loop = OuterLoop {
            learner: &Quadratic { curvature: CURVATURE },
            recipe: &recipe,
            tasks,
            cost: &|_| 1,
            workers: Workers::one(),
            group: &Group::alone(),
            train: &train,
            outer: &outer,
            non_finite: NonFiniteGuard::new(train.non_finite),
        };
        let state = TrainingState::new(meta, outer.optimizer(), 0.0).unwrap();
        let error = outer_loop.direction(&state).unwrap_err().to_string();
        assert_eq!(error, "outer step 1: the query loss is NaN in minibatch 0");
    }
}
