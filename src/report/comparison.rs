//! Candidates that were scored on the same task: the same texts of the same domains.

use super::evaluation::{
    CandidateRecord, DrawsRecord, EvaluationRecord, ResultRecord, ScoredRecord,
};
use super::names::{Names, last_part};
use crate::eval::Estimate;
use crate::eval::evaluation::Difference;
use crate::eval::metrics::{LabelCounts, Scores};
use crate::eval::report::SupportSize;

/// The most domains that are named in a sentence.
const MOST_NAMED: usize = 4;

/// Candidates of one or several evaluations that can be compared.
#[derive(Debug)]
pub struct Comparison<'a> {
    /// The draws, of the first evaluation.
    pub draws: &'a DrawsRecord,
    /// The evaluated domains.
    pub domains: Vec<&'a str>,
    /// The support sizes, small ones first.
    pub sizes: Vec<SupportSize>,
    /// The checkpoints; the first is the one that the others are compared with.
    pub candidates: Vec<Candidate<'a>>,
    evaluations: Vec<&'a EvaluationRecord>,
}

/// A checkpoint in an evaluation.
#[derive(Debug)]
pub struct Candidate<'a> {
    /// Its name in the report.
    pub name: String,
    /// Its series, which decides about its colour.
    pub series: usize,
    /// Its scores.
    pub record: &'a CandidateRecord,
    evaluation: &'a EvaluationRecord,
}

impl<'a> Comparison<'a> {
    /// All candidates, those together that can be compared. `series` gives each name its number.
    pub fn all(
        evaluations: &'a [EvaluationRecord],
        names: &Names,
        mut series: impl FnMut(&str) -> usize,
    ) -> Vec<Self> {
        let files = Names::default().with_group(evaluations.iter().map(|it| it.path.as_str()));
        let mut groups: Vec<(Task, Vec<&EvaluationRecord>)> = Vec::new();
        for evaluation in evaluations {
            let task = Task::of(evaluation);
            match groups.iter_mut().find(|(other, _)| *other == task) {
                Some((_, group)) => group.push(evaluation),
                None => groups.push((task, vec![evaluation])),
            }
        }
        let mut found = Vec::new();
        for (task, evaluations) in groups {
            let (mut candidates, mut sizes) = (Vec::new(), Vec::new());
            for evaluation in &evaluations {
                for record in evaluation.checkpoints() {
                    let mut name = names.name(&record.checkpoint);
                    let has = |it: &&&EvaluationRecord| {
                        it.checkpoints().any(|other| names.name(&other.checkpoint) == name)
                    };
                    if evaluations.iter().filter(has).count() > 1 {
                        let file = files.name(&evaluation.path);
                        name = format!("{name} in {}", file.trim_end_matches(".json"));
                    }
                    sizes.extend(record.scored.iter().map(|scored| scored.size));
                    candidates.push(Candidate { series: series(&name), name, record, evaluation });
                }
            }
            sizes.sort_by_key(|size: &SupportSize| (size.per_label(), size.total()));
            sizes.dedup();
            let (draws, domains) = (&evaluations[0].draws, task.domains);
            if !candidates.is_empty() {
                found.push(Self { draws, domains, sizes, candidates, evaluations });
            }
        }
        found
    }

    /// What all its candidates were scored on, in words.
    pub fn task(&self) -> String {
        let DrawsRecord { dataset, test_data, query, .. } = self.draws;
        let seeds = self.evaluations.iter().map(|it| it.draws.seed);
        let seeds = range(seeds);
        let episodes = self.evaluations.iter().map(|it| it.draws.episodes);
        let episodes = range(episodes);
        let texts = match (test_data, query) {
            (Some(file), _) => format!("the texts of {}", last_part(file)),
            (None, serde_json::Value::String(all)) => format!("{all} other texts"),
            (None, serde_json::Value::Number(count)) => format!("{count} texts"),
            (None, _) => "the same texts".to_owned(),
        };
        let domains = match self.domains.len() {
            count if count > MOST_NAMED => format!("{count} domains"),
            _ => self.domains.join(", "),
        };
        let dataset = last_part(dataset);
        format!(
            "{domains} ({dataset}). Draws for each: {episodes}, every one scored on {texts}; seed: {seeds}"
        )
    }

    /// The domains, and after several of them (`None`) all together.
    pub fn rows(&self) -> impl Iterator<Item = Option<&'a str>> {
        let domains = self.domains.iter().map(|domain| Some(*domain));
        domains.chain((self.domains.len() > 1).then_some(None))
    }

    /// The candidates that have scores for a size, with these.
    pub fn of_size(
        &self,
        size: SupportSize,
    ) -> impl Iterator<Item = (&Candidate<'a>, &'a ScoredRecord)> {
        let candidates = self.candidates.iter();
        candidates.filter_map(move |candidate| Some((candidate, candidate.record.of_size(size)?)))
    }

    /// The majority answer for a size.
    pub fn majority(&self, size: SupportSize) -> Option<&'a ScoredRecord> {
        self.evaluations.iter().find_map(|evaluation| evaluation.majority(size))
    }

    /// The scores of `candidate` minus those of the first one for the same draws, of one domain or (`None`) all; `None` where
    /// they were not scored on the same draws, or that cannot be seen.
    pub fn difference(
        &self,
        candidate: &Candidate,
        size: SupportSize,
        domain: Option<&str>,
    ) -> Option<Difference> {
        let first = &self.candidates[0];
        let (mine, theirs) = (candidate.record.of_size(size)?, first.record.of_size(size)?);
        if std::ptr::eq(first.evaluation, candidate.evaluation) {
            let result = match domain {
                Some(name) => mine.of_domain(name)?,
                None => &mine.overall,
            };
            return result.differences;
        }
        let [my_draws, their_draws] = [candidate.evaluation, first.evaluation].map(|it| &it.draws);
        if !my_draws.is_same_as(their_draws, size) {
            return None;
        }
        let names = self.domains.iter().filter(|name| domain.is_none_or(|it| it == **name));
        let pairs: Option<Vec<Vec<Pair>>> =
            names.map(|name| paired(mine.of_domain(name)?, theirs.of_domain(name)?)).collect();
        Some(difference(&pairs?, first.evaluation.draws.seed))
    }
}

/// A number, or the least and the largest where there are several.
fn range(numbers: impl Iterator<Item = u64> + Clone) -> String {
    let ends = numbers.clone().min().zip(numbers.max());
    match ends {
        Some((least, most)) if least < most => format!("{least} to {most}"),
        Some((least, _)) => least.to_string(),
        None => String::new(),
    }
}

/// What makes scores comparable. Seeds may differ, as intervals speak about that.
#[derive(PartialEq)]
struct Task<'a> {
    dataset_sha256: &'a str,
    /// The SHA-256 of the test file, or its name where an older version did not write that.
    test_data: Option<String>,
    query: &'a serde_json::Value,
    domains: Vec<&'a str>,
}

impl<'a> Task<'a> {
    fn of(evaluation: &'a EvaluationRecord) -> Self {
        let DrawsRecord { dataset_sha256, test_data, test_data_sha256, query, .. } =
            &evaluation.draws;
        let test_data = test_data_sha256.clone().or(test_data.as_deref().map(last_part));
        let first = evaluation.candidates.first().and_then(|candidate| candidate.scored.first());
        let results = first.into_iter().flat_map(|scored| &scored.domains);
        let domains = results.map(|result| result.domain.as_str()).collect();
        Self { dataset_sha256, test_data, query, domains }
    }
}

/// The counts of both candidates for one draw.
type Pair = [Vec<LabelCounts>; 2];

/// The draws that two results of a domain have in common; `None` where their counts are not known or not of the same texts.
fn paired(mine: &ResultRecord, theirs: &ResultRecord) -> Option<Vec<Pair>> {
    let pairs = mine.of_domain.draws.iter().zip(&theirs.of_domain.draws);
    let pairs: Vec<Pair> =
        pairs.map(|(mine, theirs)| [mine, theirs].map(|draw| counts(&draw.counts))).collect();
    let is_alike = |[mine, theirs]: &Pair| {
        let texts = |side: &[LabelCounts]| side.iter().map(|it| it.texts).collect::<Vec<_>>();
        !mine.is_empty() && texts(mine) == texts(theirs)
    };
    (!pairs.is_empty() && pairs.iter().all(is_alike)).then_some(pairs)
}

fn counts(of_labels: &[[u64; 3]]) -> Vec<LabelCounts> {
    let of_label = |&[texts, answers, hits]: &[u64; 3]| LabelCounts { texts, answers, hits };
    of_labels.iter().map(of_label).collect()
}

/// The difference that `eval` would have printed for both in one table.
fn difference(domains: &[Vec<Pair>], seed: u64) -> Difference {
    let [accuracy, macro_f1] = Estimate::of_clusters(domains, seed, |draws| {
        let [mine, theirs] = [0, 1].map(|which| {
            let mut pooled = vec![LabelCounts::default(); draws[0][which].len()];
            for draw in draws {
                pooled.iter_mut().zip(&draw[which]).for_each(|(sum, counts)| sum.add(counts));
            }
            Scores::of(&pooled)
        });
        [mine.accuracy - theirs.accuracy, mine.macro_f1 - theirs.macro_f1]
    });
    Difference { accuracy, macro_f1 }
}

#[cfg(test)]
mod tests {
    use super::super::evaluation::tests::result;
    use super::*;

    /// An evaluation of one checkpoint by two draws of one domain.
    fn evaluation(path: &str, checkpoint: &str, hits: u64, draws: &str) -> EvaluationRecord {
        let counts = format!("[[10, 10, {hits}], [10, 10, {hits}]]");
        let more = format!(
            r#", "confusion": [[1]], "draws": [{{"counts": {counts}}}, {{"counts": {counts}}}]"#
        );
        let results =
            [result(checkpoint, "boots", 8, 0.5, &more), result(checkpoint, "all", 8, 0.5, "")];
        let json = format!(
            r#"{{"seed": 0, "draws_sha256": {draws}, "results": [{}]}}"#,
            results.join(",")
        );
        EvaluationRecord::parse(path, json.as_bytes()).unwrap()
    }

    fn compared(evaluations: &[EvaluationRecord]) -> Vec<Comparison<'_>> {
        let names = Names::default().with_group(["a", "b"]);
        Comparison::all(evaluations, &names, |_| 0)
    }

    #[test]
    fn evaluations_on_the_same_draws_are_paired_and_others_not() {
        let size = SupportSize::Total(8);
        let of_draws = |first: &str, second: &str| {
            [evaluation("1.json", "a", 5, first), evaluation("2.json", "b", 7, second)]
        };
        let alike = of_draws(r#""00""#, r#""00""#);
        let found = compared(&alike);
        assert_eq!(found.len(), 1);
        let found = found[0].difference(&found[0].candidates[1], size, None).unwrap();
        assert!((found.accuracy.mean - 0.2).abs() < 1e-12, "{found:?}");
        // An older version wrote no digest.
        for (first, second) in [(r#""00""#, r#""01""#), (r#""00""#, "null"), ("null", "null")] {
            let others = of_draws(first, second);
            let found = compared(&others);
            let found = found[0].difference(&found[0].candidates[1], size, None);
            assert_eq!(found, None, "{first} {second}");
        }
        // Evaluations of other lists of sizes, which have this one in common, or not.
        for (second, is_paired) in [("02", true), ("03", false)] {
            let of_sizes = |whole: &str, size: &str| {
                format!(r#""{whole}", "draws_sha256_by_support": {{"8": "{size}"}}"#)
            };
            let others = of_draws(&of_sizes("00", "02"), &of_sizes("01", second));
            let found = compared(&others);
            let found = found[0].difference(&found[0].candidates[1], size, None);
            assert_eq!(found.is_some(), is_paired, "{second}");
        }
    }

    #[test]
    fn a_checkpoint_in_two_evaluations_is_named_with_their_files() {
        let evaluations =
            [evaluation("x/1.json", "a", 5, "null"), evaluation("x/2.json", "a", 7, "null")];
        let found = compared(&evaluations);
        let names: Vec<&str> = found[0].candidates.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["a in 1", "a in 2"]);
    }
}
