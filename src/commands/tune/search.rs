//! A search on the way: what was trained and scored, and the best of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use super::children::Children;
use super::halving::{Halving, Winner};
use super::journal::{Journal, Line};
use super::recipe;
use super::scorer::{Score, Scorer, Trained};
use super::space::{self, Settings, as_json, words};
use super::training;
use crate::commands::output::print_result;
use crate::commands::session::Session;
use crate::config::RunConfig;
use crate::files::atomic::write_file;
use crate::run::RunDirectory;

/// The best that a search has found.
pub struct Best {
    /// The number of the training.
    pub training: usize,
    /// The way to adapt it.
    pub settings: Settings,
    /// Its rank in the last round.
    pub winner: Winner,
    /// Its macro F1 there.
    pub macro_f1: f64,
}

/// A search on the way.
pub struct Search<'a> {
    /// The settings that the search starts from, and the console.
    pub session: &'a Session,
    /// Where everything is written.
    pub directory: &'a Path,
    /// Scores ways to adapt.
    pub scorer: Scorer<'a>,
    /// How many of them are scored on how many draws.
    pub halving: Halving,
    /// Its trainings, and the signals that reach them.
    pub children: Children,
    /// What was done so far.
    pub journal: Journal,
    /// When nothing new begins any more.
    pub deadline: Option<Instant>,
    /// The ways to adapt each training so far.
    pub adaptations: Vec<Vec<Settings>>,
}

impl Search<'_> {
    /// Trains with `settings` and finds the best of some ways to adapt the result; `None` where nothing was scored.
    pub fn training(
        &mut self,
        number: usize,
        settings: &Settings,
        (num_adaptations, label_sets_differ): (usize, bool),
    ) -> Result<Option<Best>> {
        let config = space::over(&self.session.config, settings).expect("a possible training");
        let ways = space::adaptations(&config, label_sets_differ, num_adaptations);
        self.adaptations.push(ways.clone());
        let run = training::directory(self.directory, number);
        match self.trained(number, settings, &config, &run)? {
            Some(true) => {}
            Some(false) => {
                let warning = format!("warning: training {number} failed and is left out");
                self.session.console.line(&warning);
                return Ok(None);
            }
            None => return Ok(None),
        }
        let trained = self.scorer.load(&run, config)?;
        let (halving, mut best_f1) = (self.halving, BTreeMap::new());
        let total = halving.num_draws(ways.len()) * self.scorer.num_series();
        self.session.console.begin_evaluation(total);
        let winner = halving.best(ways.len(), |way, draws| -> Result<Option<f64>> {
            let score = self.scored((number, way), &trained, &ways[way], draws)?;
            Ok(score.map(|Score { log_loss, macro_f1 }| {
                best_f1.insert((way, draws), macro_f1);
                log_loss.unwrap_or(f64::INFINITY)
            }))
        });
        self.session.console.end_evaluation();
        let winner = winner?.filter(|winner| winner.score.is_finite());
        Ok(winner.map(|winner| Best {
            training: number,
            settings: ways[winner.candidate].clone(),
            winner,
            macro_f1: best_f1[&(winner.candidate, winner.draws)],
        }))
    }

    /// Whether the training of this number succeeded, now or before; `None` where no time was left to begin it.
    fn trained(
        &mut self,
        number: usize,
        settings: &Settings,
        config: &RunConfig,
        run: &Path,
    ) -> Result<Option<bool>> {
        let is_this =
            |line: &Line| matches!(line, Line::Trained { training, .. } if *training == number);
        if self.journal.lines().iter().any(is_this) {
            return Ok(Some(true));
        }
        if self.is_over() {
            let console = &self.session.console;
            console.line(&format!("warning: no time was left for training {number}"));
            return Ok(None);
        }
        let console = &self.session.console;
        console.line(&format!("training {number}: {}", words(settings)));
        let succeeded = training::train(&self.children, run, config, console.is_silent())?;
        if succeeded {
            let settings = as_json(settings);
            self.journal.append(Line::Trained { training: number, settings })?;
        }
        Ok(Some(succeeded))
    }

    /// The score of a training adapted in one of its ways, now or before; `None` where no time was left.
    fn scored(
        &mut self,
        (number, way): (usize, usize),
        trained: &Trained,
        settings: &Settings,
        num_draws: u64,
    ) -> Result<Option<Score>> {
        let before = self.journal.lines().iter().find_map(|line| match line {
            Line::Scored { training, adaptation, draws, log_loss, macro_f1, .. }
                if (*training, *adaptation, *draws) == (number, way, num_draws) =>
            {
                Some(Score { log_loss: *log_loss, macro_f1: *macro_f1 })
            }
            _ => None,
        });
        if before.is_some() {
            self.session.console.found_draws(num_draws * self.scorer.num_series());
        }
        if before.is_some() || self.is_over() {
            return Ok(before);
        }
        let score = self.scorer.score(trained, settings, num_draws)?;
        let Score { log_loss, macro_f1 } = score;
        let loss = log_loss.map_or("not finite".to_owned(), |loss| format!("{loss:.4}"));
        self.session.console.line(&format!(
            "training {number}, {num_draws} draws: log loss {loss}, macro F1 {macro_f1:.3}: {}",
            words(settings)
        ));
        self.journal.append(Line::Scored {
            training: number,
            adaptation: way,
            settings: as_json(settings),
            draws: num_draws,
            log_loss,
            macro_f1,
        })?;
        Ok(Some(score))
    }

    /// Whether nothing new is to begin.
    fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Writes the recipe and prints what was found.
    pub fn conclude(&self, best: &Best, trainings: &[Settings]) -> Result<()> {
        let Best { training, settings, winner, macro_f1 } = best;
        let mut both = trainings[*training].clone();
        both.extend(settings.clone());
        let mut config = space::over(&self.session.config, &both).expect("a possible recipe");
        if config.train.has_time_budget() {
            // The time was a part of that of the search.
            let run = RunDirectory::at(training::directory(self.directory, *training));
            let taken =
                run.steps()?.into_iter().next().context("the training has no checkpoint")?;
            (config.train.time_s, config.train.steps) = (0.0, taken);
        }
        let comment = format!(
            "Found by `metabert tune` on meta-dev domains: log loss {:.4}, macro F1 {macro_f1:.3}, {} draws each.\n\n  \
             metabert train --config recipe.toml --data dataset.json --model MODEL --run-dir runs/tuned",
            winner.score, winner.draws
        );
        let path = self.directory.join("recipe.toml");
        write_file(&path, recipe::recipe(&config, &comment).as_bytes())?;
        let table = recipe::what_mattered(
            self.journal.lines(),
            trainings,
            &self.adaptations,
            self.halving.first_draws,
        );
        print_result(&format!(
            "{table}\nbest: training {training}, log loss {:.4}, macro F1 {macro_f1:.3}\n  trained with {}\n  \
             adapted with {}\n{}\n",
            winner.score,
            words(&trainings[*training]),
            words(settings),
            path.display()
        ))
    }
}
