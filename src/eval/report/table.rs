//! The report for people.

use std::fmt::{self, Display, Formatter};

use super::{Adaptation, Candidate, Draws, Report};
use crate::eval::evaluation::{Draw, Evaluation, Summary};
use crate::table::{Align, Table, shown};

/// Letters of the name of a domain that a table shows.
const MAX_NAME: usize = 40;

impl Display for Report {
    /// A table for each candidate under its settings, then one of all candidates over all domains.
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Draws { episodes, seed, .. } = self.draws;
        writeln!(formatter, "{episodes} draws a domain, seed {seed}. Mean [95 % interval].")?;
        let first = (self.first(), None);
        let others = self.others().iter().map(|other| (other, Some(self.first())));
        for (candidate, first) in [first].into_iter().chain(others) {
            write!(formatter, "\n{}\n{}", candidate.name, self.settings(candidate))?;
            write!(formatter, "{}", self.domains(candidate))?;
            first.map_or(Ok(()), |first| self.write_lead(formatter, candidate, first))?;
        }
        write!(formatter, "\nall domains\n{}", self.comparison())
    }
}

impl Report {
    /// How a candidate adapts: a line for each number of gradient steps.
    fn settings(&self, candidate: &Candidate) -> String {
        let Some(adaptation) = &candidate.adaptation else {
            return "  the most frequent label of each domain\n".to_owned();
        };
        let num_steps = |evaluation: &Evaluation| -> Vec<usize> {
            let supports = evaluation.domains.iter().map(|result| result.num_support);
            supports.map(|num_support| adaptation.num_steps(num_support)).collect()
        };
        let mut num_steps: Vec<usize> = candidate.evaluations.iter().flat_map(num_steps).collect();
        num_steps.sort_unstable();
        num_steps.dedup();
        let Adaptation { algo, .. } = adaptation;
        let line = |count| {
            format!("  trained by {algo}; adapts in {}\n", adaptation.recipe().describe(count))
        };
        let mut text: String = num_steps.into_iter().map(line).collect();
        let unlabelled = self.draws.unlabelled;
        if unlabelled > 0 && adaptation.recipe().head.is_made_of_support() {
            text += &format!("  {unlabelled} texts of each draw are read without their labels\n");
        }
        let draws = candidate.evaluations.iter().flat_map(|it| &it.domains);
        let draws: Vec<&Draw> = draws.flat_map(|result| &result.draws).collect();
        let without_names = draws.iter().filter(|draw| draw.leaves_names_out).count();
        if without_names > 0 {
            text += &format!(
                "  {without_names} of {} draws did not read the names of labels, which do not belong to their texts\n",
                draws.len()
            );
        }
        if adaptation.safeguard.reads_folds() {
            let fallen_back = draws.iter().filter(|draw| draw.falls_back).count();
            text += &format!(
                "  safeguarded by {} folds of each support set: {fallen_back} of {} draws kept the weights from before\n",
                adaptation.safeguard.folds,
                draws.len()
            );
            let unguarded = draws.iter().filter(|draw| draw.num_folds == 0).count();
            if unguarded > 0 {
                text +=
                    &format!("  {unguarded} of these draws have no text that could be held out\n");
            }
        }
        text
    }

    /// A candidate's scores for each support size in each domain, and over all of them.
    fn domains(&self, candidate: &Candidate) -> Table {
        let titles = ["texts", "accuracy", "macro F1", "log loss", "0-step acc", "0-step F1"];
        let titles = titles.map(|title| (Align::Right, title));
        let titles =
            [(Align::Left, "  domain"), (Align::Right, "support")].into_iter().chain(titles);
        let mut table = Table::new(titles);
        let mut push = |name: &str, size: String, num_scored: String, summary: &Summary| {
            let Summary { adapted, zero_step, .. } = summary;
            table.push(vec![
                format!("  {}", shown(name, MAX_NAME)),
                size,
                num_scored,
                adapted.accuracy.to_string(),
                adapted.macro_f1.to_string(),
                format!("{:.3}", adapted.log_loss),
                format!("{:.3}", zero_step.accuracy.mean),
                format!("{:.3}", zero_step.macro_f1.mean),
            ]);
        };
        for (size, evaluation) in self.draws.sizes.iter().zip(&candidate.evaluations) {
            for found in &evaluation.domains {
                let num_scored = found.num_scored.to_string();
                push(&found.domain, size.to_string(), num_scored, &found.summary);
            }
            push("all domains", size.to_string(), String::new(), &evaluation.overall);
        }
        table
    }

    /// By how much a candidate differs from the first one, for each support size.
    fn write_lead(
        &self,
        formatter: &mut Formatter<'_>,
        candidate: &Candidate,
        first: &Candidate,
    ) -> fmt::Result {
        let pairs = candidate.evaluations.iter().zip(&first.evaluations);
        for (size, (mine, theirs)) in self.draws.sizes.iter().zip(pairs) {
            let (_, overall) = mine.difference(theirs);
            let (name, difference) = (&first.name, overall.macro_f1);
            writeln!(
                formatter,
                "  macro F1 minus that of {name}, paired, support {size}: {difference}"
            )?;
        }
        Ok(())
    }

    /// All candidates over all domains: a column for each support size.
    fn comparison(&self) -> Table {
        let sizes = self.draws.sizes.iter().map(|size| (Align::Right, format!("support {size}")));
        let names = ["  checkpoint", "score"].map(|title| (Align::Left, title.to_owned()));
        let mut table = Table::new(names.into_iter().chain(sizes));
        for candidate in &self.candidates {
            let found = candidate.evaluations.iter().map(|evaluation| &evaluation.overall.adapted);
            let found: Vec<[String; 2]> =
                found.map(|it| [it.accuracy, it.macro_f1].map(|score| score.to_string())).collect();
            for (position, score) in ["accuracy", "macro F1"].into_iter().enumerate() {
                let names = [format!("  {}", candidate.name), score.to_owned()];
                let of_sizes = found.iter().map(|scores| scores[position].clone());
                table.push(names.into_iter().chain(of_sizes).collect());
            }
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::SupportSize;
    use super::*;
    use crate::eval::SafeguardConfig;
    use crate::eval::evaluation::DomainResult;
    use crate::eval::outcome::Outcome;
    use crate::meta::{Algorithm, InnerConfig, MetaConfig};

    const SIZES: [SupportSize; 3] =
        [SupportSize::PerLabel(1), SupportSize::PerLabel(2), SupportSize::PerLabel(5)];

    /// Two checkpoints in two domains of two labels, with three support sizes.
    fn report() -> Report {
        let outcome = |answers: [f32; 4]| {
            Outcome::of(&[0, 0, 0, 1], &answers.map(|second| vec![0.0, second]))
        };
        let draw = |right: f32| Draw {
            zero_step: outcome([-1.0, -1.0, 1.0, -1.0]),
            adapted: outcome([-1.0, -1.0, -1.0, right]),
            num_folds: 5,
            falls_back: right < 0.0,
            leaves_names_out: false,
            inner_losses: Vec::new(),
        };
        let domain = |name| {
            let draws = [-1.0, 1.0, 1.0].map(draw).to_vec();
            DomainResult::of(name, 2, draws, 0)
        };
        let evaluation =
            || Evaluation::of(vec![domain("computer_&_video_games"), domain("office_products")], 0);
        let (inner, meta) = (InnerConfig::default(), MetaConfig::default());
        let safeguard = SafeguardConfig::default();
        let algo = Algorithm::Fomaml;
        let adaptation = Adaptation { algo, inner, meta, head_steps: 0, safeguard };
        let candidate = |name: &str| Candidate {
            name: name.to_owned(),
            adaptation: Some(adaptation.clone()),
            evaluations: SIZES.iter().map(|_| evaluation()).collect(),
        };
        let draws = Draws {
            dataset: "d.json".to_owned(),
            dataset_sha256: String::new(),
            test_data: None,
            test_data_sha256: None,
            draws_sha256: String::new(),
            draws_sha256_by_support: BTreeMap::new(),
            seed: 0,
            episodes: 3,
            query: None,
            unlabelled: 0,
            every_label: false,
            max_length: 128,
            sizes: SIZES.to_vec(),
            labels: vec![vec!["no".to_owned(), "yes".to_owned()]; 2],
        };
        Report::new(draws, vec![candidate("runs/fomaml"), candidate("data/models/minilm-l6")])
    }

    #[test]
    fn three_sizes_fit_in_120_columns() {
        let text = report().to_string();
        let longest = text.lines().max_by_key(|line| line.chars().count()).unwrap();
        assert!(longest.chars().count() <= 120, "{} columns: {longest}", longest.chars().count());
    }

    #[test]
    fn the_last_table_has_a_row_for_each_checkpoint_and_the_majority() {
        let text = report().to_string();
        let (_, comparison) = text.rsplit_once("\nall domains\n").unwrap();
        let rows: Vec<&str> = comparison.lines().collect();
        assert_eq!(rows.len(), 7, "{text}");
        assert!(rows[0].contains("support 1 a label"), "{text}");
        assert!(rows[1].trim_start().starts_with("runs/fomaml"), "{text}");
        // Of 12 texts 9 have the first label; answering it has the F1 values 18/21 and 0.
        assert!(rows[5].contains("majority") && rows[5].contains("0.750"), "{text}");
        assert!(rows[6].contains("macro F1") && rows[6].contains("0.429"), "{text}");
    }

    #[test]
    fn one_line_of_settings_serves_all_sizes_with_as_many_steps() {
        let text = report().to_string();
        assert_eq!(
            text.matches("trained by fomaml; adapts in 10 steps of adam").count(),
            2,
            "{text}"
        );
        assert_eq!(text.matches("6 of 18 draws kept the weights from before").count(), 2, "{text}");
    }
}
