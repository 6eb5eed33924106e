//! An evaluation as `metabert eval --json` printed it, with today's keys or fewer.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::checks::Invalid;
use crate::eval::Estimate;
use crate::eval::evaluation::Difference;
use crate::eval::outcome::Reliability;
use crate::eval::report::SupportSize;

/// An evaluation.
#[derive(Debug)]
pub struct EvaluationRecord {
    /// Its file, as it was named.
    pub path: String,
    /// The draws that all its checkpoints were scored on.
    pub draws: DrawsRecord,
    /// The checkpoints, and the majority answer.
    pub candidates: Vec<CandidateRecord>,
}

/// What decides about the draws; keys that older versions did not write are absent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct DrawsRecord {
    /// The dataset's path.
    pub dataset: String,
    /// Its SHA-256.
    pub dataset_sha256: String,
    /// The file that was scored on instead of query sets.
    pub test_data: Option<String>,
    /// Its SHA-256.
    pub test_data_sha256: Option<String>,
    /// The SHA-256 of the texts of all draws: evaluations with another one were not scored on the same.
    pub draws_sha256: Option<String>,
    /// The same of the draws of each size of the support set: evaluations of other sizes may have one in common.
    pub draws_sha256_by_support: BTreeMap<String, String>,
    /// The seed.
    pub seed: u64,
    /// Draws for each domain.
    pub episodes: u64,
    /// Texts that a draw was scored on.
    pub query: Value,
}

/// Something that answered.
#[derive(Debug)]
pub struct CandidateRecord {
    /// The checkpoint as it was named, or `majority`.
    pub checkpoint: String,
    /// Whether it is the majority answer.
    pub is_majority: bool,
    /// Its scores for each support size.
    pub scored: Vec<ScoredRecord>,
}

/// The scores of a candidate for one support size.
#[derive(Debug)]
pub struct ScoredRecord {
    /// The support size.
    pub size: SupportSize,
    /// Domain by domain.
    pub domains: Vec<ResultRecord>,
    /// Over all of them.
    pub overall: ResultRecord,
}

/// An object of `results`.
#[derive(Debug, Deserialize)]
pub struct ResultRecord {
    checkpoint: String,
    /// The domain, or `all`.
    pub domain: String,
    support: Option<usize>,
    support_per_label: Option<usize>,
    /// Texts that each draw was scored on.
    pub num_scored: Option<u64>,
    /// After adapting.
    pub accuracy: Estimate,
    /// After adapting.
    pub macro_f1: Estimate,
    /// After adapting; absent where it is infinite.
    pub log_loss: Option<f64>,
    /// After adapting.
    pub calibration_error: Option<f64>,
    /// Before adapting.
    pub zero_step_accuracy: Option<Estimate>,
    /// Before adapting.
    pub zero_step_macro_f1: Option<Estimate>,
    /// Adapted minus zero-step.
    pub gain: Option<Difference>,
    /// This checkpoint minus the first one of the evaluation.
    pub differences: Option<Difference>,
    /// What only the result of a single domain has.
    #[serde(flatten)]
    pub of_domain: DomainRecord,
}

/// What only the result of a single domain has.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct DomainRecord {
    /// Texts that each draw adapted to.
    pub num_support: Option<u64>,
    /// The labels.
    pub labels: Vec<LabelRecord>,
    /// Rows are truths.
    pub confusion: Option<Vec<Vec<u64>>>,
    /// The answers by their confidence.
    pub reliability: Vec<Reliability>,
    /// Those before adapting.
    pub zero_step_reliability: Vec<Reliability>,
    /// The training loss of each step's minibatch; absent where it is not finite.
    pub inner_losses: Vec<Option<f64>>,
    /// Draws that kept the weights from before adapting.
    pub num_fallen_back: Option<u64>,
    /// Draw by draw.
    pub draws: Vec<DrawRecord>,
}

/// A label.
#[derive(Debug, Deserialize)]
pub struct LabelRecord {
    /// Its name.
    pub name: String,
}

/// A draw.
#[derive(Debug, Deserialize)]
pub struct DrawRecord {
    /// Texts, answers and right answers of each label.
    #[serde(default)]
    pub counts: Vec<[u64; 3]>,
}

/// The shortest description of the right input.
const EXPECTED: &str = "a file of `metabert eval --out`";

impl EvaluationRecord {
    /// Reads what `eval --json` printed into the file named `path`.
    ///
    /// # Errors
    /// Where it is anything else: the place, what was expected and what was found.
    pub fn parse(path: &str, json: &[u8]) -> Result<Self, Invalid> {
        let invalid =
            |problem: String| Invalid(format!("{path}: expected {EXPECTED}, found {problem}"));
        if json.trim_ascii().is_empty() {
            return Err(invalid("an empty file".to_owned()));
        }
        let mut parsed: Value =
            serde_json::from_slice(json).map_err(|error| invalid(format!("no JSON: {error}")))?;
        let results = parsed.get_mut("results").map(Value::take);
        let Some(Value::Array(results)) = results else {
            return Err(invalid("no array `results`".to_owned()));
        };
        let draws = serde_json::from_value(parsed).map_err(|error| invalid(error.to_string()))?;
        let result = |(place, value): (usize, Value)| {
            let parsed = ResultRecord::deserialize(value);
            let parsed =
                parsed.map_err(|error| invalid(format!("in results[{place}]: {error}")))?;
            match parsed.size() {
                Some(size) => Ok((size, parsed)),
                None => Err(invalid(format!("in results[{place}]: no size of the support set"))),
            }
        };
        let results: Vec<(SupportSize, ResultRecord)> =
            results.into_iter().enumerate().map(result).collect::<Result<_, _>>()?;
        let candidates = candidates(results).ok_or_else(|| {
            invalid("a domain without the result over all domains after it".to_owned())
        })?;
        match candidates.is_empty() {
            true => Err(invalid("no result".to_owned())),
            false => Ok(Self { path: path.to_owned(), draws, candidates }),
        }
    }

    /// The candidates but for the majority answer.
    pub fn checkpoints(&self) -> impl Iterator<Item = &CandidateRecord> {
        self.candidates.iter().filter(|candidate| !candidate.is_majority)
    }

    /// The majority answer for a support size.
    pub fn majority(&self, size: SupportSize) -> Option<&ScoredRecord> {
        self.candidates.iter().find(|candidate| candidate.is_majority)?.of_size(size)
    }
}

impl DrawsRecord {
    /// Whether the draws of a size are known to be of the same texts in both.
    pub fn is_same_as(&self, other: &Self, size: SupportSize) -> bool {
        let Self { draws_sha256, test_data_sha256, .. } = self;
        let of_size = |it: &Self| it.draws_sha256_by_support.get(&size.to_string()).cloned();
        let has_same_draws = match of_size(self).zip(of_size(other)) {
            Some((mine, theirs)) => mine == theirs,
            None => draws_sha256.is_some() && *draws_sha256 == other.draws_sha256,
        };
        has_same_draws && *test_data_sha256 == other.test_data_sha256
    }
}

impl CandidateRecord {
    /// Its scores for a support size.
    pub fn of_size(&self, size: SupportSize) -> Option<&ScoredRecord> {
        self.scored.iter().find(|scored| scored.size == size)
    }
}

impl ScoredRecord {
    /// The scores of a domain.
    pub fn of_domain(&self, name: &str) -> Option<&ResultRecord> {
        self.domains.iter().find(|result| result.domain == name)
    }
}

impl ResultRecord {
    fn size(&self) -> Option<SupportSize> {
        let total = self.support.map(SupportSize::Total);
        total.or(self.support_per_label.map(SupportSize::PerLabel))
    }

    /// Whether it is that over all domains; a domain may have the name `all` as well.
    fn is_overall(&self) -> bool {
        self.domain == "all" && self.of_domain.confusion.is_none()
    }
}

/// Results in the order of the report: checkpoint by checkpoint, the majority last, size by size, all domains last. `None`
/// where that is not their order.
fn candidates(results: Vec<(SupportSize, ResultRecord)>) -> Option<Vec<CandidateRecord>> {
    let mut candidates: Vec<CandidateRecord> = Vec::new();
    let mut domains = Vec::new();
    for (size, result) in results {
        if !result.is_overall() {
            domains.push(result);
            continue;
        }
        let scored = ScoredRecord { size, domains: std::mem::take(&mut domains), overall: result };
        let checkpoint = &scored.overall.checkpoint;
        match candidates.last_mut() {
            Some(last) if last.checkpoint == *checkpoint && last.of_size(size).is_none() => {
                last.scored.push(scored);
            }
            _ => candidates.push(CandidateRecord {
                checkpoint: checkpoint.clone(),
                is_majority: false,
                scored: vec![scored],
            }),
        }
    }
    // A checkpoint of that name is not the last one.
    if let Some(last) = candidates.last_mut().filter(|last| last.checkpoint == "majority") {
        last.is_majority = true;
    }
    domains.is_empty().then_some(candidates)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The JSON of a result; `more` are further keys.
    pub fn result(checkpoint: &str, domain: &str, size: usize, score: f64, more: &str) -> String {
        let estimate = format!(r#"{{"mean": {score}, "low": null, "high": null}}"#);
        format!(
            r#"{{"checkpoint": "{checkpoint}", "domain": "{domain}", "support": {size},
               "accuracy": {estimate}, "macro_f1": {estimate}{more}}}"#
        )
    }

    fn parse(results: &[String]) -> Result<EvaluationRecord, Invalid> {
        let json = format!(r#"{{"seed": 7, "results": [{}]}}"#, results.join(","));
        EvaluationRecord::parse("e.json", json.as_bytes())
    }

    #[test]
    fn results_of_older_versions_are_read_with_fewer_keys() {
        let confusion = r#", "confusion": [[1]]"#;
        let read = parse(&[
            result("a", "all", 8, 0.5, confusion),
            result("a", "all", 8, 0.5, ""),
            result("a", "boots", 16, 0.6, ""),
            result("a", "all", 16, 0.6, ""),
            result("majority", "all", 16, 0.3, ""),
        ]);
        let read = read.unwrap();
        assert_eq!((read.draws.seed, read.candidates.len()), (7, 2));
        assert_eq!(read.candidates[0].scored.len(), 2);
        assert_eq!(read.candidates[0].scored[0].domains[0].domain, "all", "a domain of this name");
        let majority = read.majority(SupportSize::Total(16)).unwrap();
        assert_eq!(majority.overall.macro_f1.mean, 0.3);
    }

    #[test]
    fn other_files_are_refused_by_place() {
        let expected = "e.json: expected a file of `metabert eval --out`, found ";
        let message = |json: &str| {
            let error = EvaluationRecord::parse("e.json", json.as_bytes()).unwrap_err().to_string();
            error.strip_prefix(expected).unwrap_or_else(|| panic!("{error}")).to_owned()
        };
        assert!(message("{").starts_with("no JSON: EOF"), "{}", message("{"));
        assert_eq!(message(" \n"), "an empty file");
        assert_eq!(message("[1]"), "no array `results`");
        assert_eq!(message(r#"{"results": 3}"#), "no array `results`");
        assert_eq!(message(r#"{"results": []}"#), "no result");
        let found = message(r#"{"results": [{"checkpoint": "a"}]}"#);
        assert_eq!(found, "in results[0]: missing field `domain`");
        let found = message(&format!(r#"{{"results": [{}]}}"#, result("a", "boots", 8, 0.5, "")));
        assert_eq!(found, "a domain without the result over all domains after it");
    }
}
