//! The report as JSON.

use serde::{Serialize, Serializer};

use super::{Adaptation, Candidate, Draws, Report};
use crate::eval::bootstrap::Estimate;
use crate::eval::evaluation::{Difference, DomainResult, Draw, Summary};
use crate::eval::metrics::{LabelCounts, mean};
use crate::eval::outcome::{Outcome, Reliability};

/// The name under which results over all domains are listed.
const ALL: &str = "all";

impl Serialize for Report {
    /// The draws, the checkpoints, and an object in `results` for each candidate, support size and domain, or all of them.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sizes = &self.draws.sizes;
        let checkpoints = self.candidates.iter().filter_map(|candidate| {
            let adaptation = candidate.adaptation.as_ref()?;
            Some(CheckpointObject { checkpoint: &candidate.name, adaptation })
        });
        let first = (self.first(), None);
        let others = self.others().iter().map(|other| (other, Some(self.first())));
        let results = [first].into_iter().chain(others).flat_map(|(candidate, first)| {
            (0..sizes.len()).flat_map(move |at| results(&self.draws, candidate, first, at))
        });
        ReportObject {
            draws: &self.draws,
            support: sizes.iter().filter_map(|size| size.total()).collect(),
            support_per_label: sizes.iter().filter_map(|size| size.per_label()).collect(),
            checkpoints: checkpoints.collect(),
            results: results.collect(),
        }
        .serialize(serializer)
    }
}

#[derive(Serialize)]
struct ReportObject<'a> {
    #[serde(flatten)]
    draws: &'a Draws,
    support: Vec<usize>,
    support_per_label: Vec<usize>,
    checkpoints: Vec<CheckpointObject<'a>>,
    results: Vec<ResultObject<'a>>,
}

#[derive(Serialize)]
struct CheckpointObject<'a> {
    checkpoint: &'a str,
    #[serde(flatten)]
    adaptation: &'a Adaptation,
}

#[derive(Serialize)]
struct ResultObject<'a> {
    checkpoint: &'a str,
    domain: &'a str,
    support: Option<usize>,
    support_per_label: Option<usize>,
    num_scored: usize,
    #[serde(flatten)]
    scores: ScoresObject,
    /// This checkpoint minus the first one; null for the first.
    differences: Option<Difference>,
    #[serde(flatten)]
    of_domain: Option<DomainObject<'a>>,
}

#[derive(Serialize)]
struct ScoresObject {
    accuracy: Estimate,
    macro_f1: Estimate,
    log_loss: f64,
    calibration_error: f64,
    auc: Option<f64>,
    zero_step_accuracy: Estimate,
    zero_step_macro_f1: Estimate,
    zero_step_log_loss: f64,
    zero_step_calibration_error: f64,
    zero_step_auc: Option<f64>,
    /// Adapted minus zero-step.
    gain: Difference,
}

/// What only the result of a single domain has.
#[derive(Serialize)]
struct DomainObject<'a> {
    num_support: usize,
    /// Null for the majority answer.
    inner_steps: Option<usize>,
    labels: Vec<LabelObject<'a>>,
    /// Rows are truths.
    confusion: Vec<Vec<u64>>,
    reliability: Vec<Reliability>,
    zero_step_reliability: Vec<Reliability>,
    /// Mean over the draws of the training loss of each step's minibatch.
    inner_losses: Vec<f64>,
    /// Draws that kept the weights from before adapting.
    num_fallen_back: usize,
    /// Draws that did not read the names of labels, since these do not belong to the texts.
    num_without_names: usize,
    draws: Vec<DrawObject>,
}

#[derive(Serialize)]
struct LabelObject<'a> {
    name: &'a str,
    precision: f64,
    recall: f64,
    f1: f64,
    texts: u64,
}

#[derive(Serialize)]
struct DrawObject {
    accuracy: f64,
    macro_f1: f64,
    log_loss: f64,
    zero_step_accuracy: f64,
    zero_step_macro_f1: f64,
    zero_step_log_loss: f64,
    /// Texts, answers and right answers of each label.
    counts: Vec<[u64; 3]>,
}

/// The results of a candidate for the support size at a position: domain by domain, then over all of them.
fn results<'a>(
    draws: &'a Draws,
    candidate: &'a Candidate,
    first: Option<&Candidate>,
    position: usize,
) -> Vec<ResultObject<'a>> {
    let size = draws.sizes[position];
    let evaluation = &candidate.evaluations[position];
    let difference = first.map(|first| evaluation.difference(&first.evaluations[position]));
    let result = |domain, num_scored, summary: &Summary| ResultObject {
        checkpoint: &candidate.name,
        domain,
        support: size.total(),
        support_per_label: size.per_label(),
        num_scored,
        scores: ScoresObject::of(summary),
        differences: None,
        of_domain: None,
    };
    let of_domain = (0..).zip(&evaluation.domains).zip(&draws.labels);
    let of_domain = of_domain.map(|((at, found), labels): ((usize, _), _)| ResultObject {
        differences: difference.as_ref().map(|(by_domain, _)| by_domain[at]),
        of_domain: Some(DomainObject::of(found, labels, candidate.adaptation.as_ref())),
        ..result(found.domain.as_str(), found.num_scored, &found.summary)
    });
    let num_scored = evaluation.domains.iter().map(|found| found.num_scored).sum();
    let overall = ResultObject {
        differences: difference.as_ref().map(|(_, overall)| *overall),
        ..result(ALL, num_scored, &evaluation.overall)
    };
    of_domain.chain([overall]).collect()
}

impl ScoresObject {
    fn of(Summary { adapted, zero_step, gain }: &Summary) -> Self {
        Self {
            accuracy: adapted.accuracy,
            macro_f1: adapted.macro_f1,
            log_loss: adapted.log_loss,
            calibration_error: adapted.calibration_error,
            auc: adapted.auc,
            zero_step_accuracy: zero_step.accuracy,
            zero_step_macro_f1: zero_step.macro_f1,
            zero_step_log_loss: zero_step.log_loss,
            zero_step_calibration_error: zero_step.calibration_error,
            zero_step_auc: zero_step.auc,
            gain: *gain,
        }
    }
}

impl<'a> DomainObject<'a> {
    fn of(result: &DomainResult, labels: &'a [String], adaptation: Option<&Adaptation>) -> Self {
        let pooled = |outcome: fn(&Draw) -> &Outcome| {
            Outcome::pooled(&result.draws.iter().map(outcome).collect::<Vec<_>>())
        };
        let adapted = pooled(|draw| &draw.adapted);
        let confusion = &adapted.confusion;
        let counts = confusion.by_label();
        Self {
            num_support: result.num_support,
            inner_steps: adaptation.map(|adaptation| adaptation.num_steps(result.num_support)),
            labels: labels.iter().zip(&counts).map(LabelObject::of).collect(),
            confusion: confusion.rows().map(<[u64]>::to_vec).collect(),
            reliability: adapted.reliability(),
            zero_step_reliability: pooled(|draw| &draw.zero_step).reliability(),
            inner_losses: mean_inner_losses(&result.draws),
            num_fallen_back: result.draws.iter().filter(|draw| draw.falls_back).count(),
            num_without_names: result.draws.iter().filter(|draw| draw.leaves_names_out).count(),
            draws: result.draws.iter().map(DrawObject::of).collect(),
        }
    }
}

/// The mean of the draws' losses, for each step that all of them take.
fn mean_inner_losses(draws: &[Draw]) -> Vec<f64> {
    let num_steps = draws.iter().map(|draw| draw.inner_losses.len()).min().unwrap_or(0);
    let at = |step: usize| draws.iter().map(|draw| draw.inner_losses[step]).collect::<Vec<_>>();
    (0..num_steps).map(|step| mean(&at(step))).collect()
}

impl<'a> LabelObject<'a> {
    fn of((name, counts): (&'a String, &LabelCounts)) -> Self {
        Self {
            name,
            precision: counts.precision(),
            recall: counts.recall(),
            f1: counts.f1(),
            texts: counts.texts,
        }
    }
}

impl DrawObject {
    fn of(draw: &Draw) -> Self {
        let [adapted, zero_step] = [&draw.adapted, &draw.zero_step];
        Self {
            accuracy: adapted.scores().accuracy,
            macro_f1: adapted.scores().macro_f1,
            log_loss: adapted.log_loss(),
            zero_step_accuracy: zero_step.scores().accuracy,
            zero_step_macro_f1: zero_step.scores().macro_f1,
            zero_step_log_loss: zero_step.log_loss(),
            counts: adapted.confusion.by_label().iter().map(LabelCounts::as_array).collect(),
        }
    }
}
