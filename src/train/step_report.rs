//! What the episodes of one outer step have in common: their numbers, for the log.

use anyhow::Result;
use tch::{Device, Kind};

use super::non_finite::NonFinite;
use crate::data::Corpus;
use crate::eval::metrics::mean;
use crate::eval::predict;
use crate::tasks::Contribution;

/// Sums over the episodes of one outer step.
#[derive(Debug, Default)]
pub struct StepReport {
    /// Their indices.
    pub episodes: Vec<u64>,
    /// Their domains; empty for pooled minibatches.
    pub domains: Vec<String>,
    support_first: Vec<f64>,
    support_last: Vec<f64>,
    query_losses: Vec<f64>,
    num_right: usize,
    num_scored: usize,
}

impl StepReport {
    /// Adds the numbers of episode `index` of outer step `step`, counted from 1. Here, at an episode's end, is where the host
    /// waits for the device; the inner loop never does.
    ///
    /// # Errors
    /// [`NonFinite`], with nothing added, and any error of libtorch.
    pub fn add(
        &mut self,
        (step, index): (u64, u64),
        contribution: &Contribution,
        corpus: &Corpus,
        domain_names: &[String],
    ) -> Result<()> {
        let outcome = &contribution.outcome;
        let domain = contribution.domain.map(|domain| domain_names[domain as usize].clone());
        let losses = outcome.support_losses.f_to_kind(Kind::Double)?.f_to_device(Device::Cpu)?;
        let losses = Vec::<f64>::try_from(losses)?;
        let query_loss = outcome.query_loss.f_double_value(&[])?;
        let norm = outcome.gradient.global_norm()?.f_double_value(&[])?;
        let watched = losses.iter().map(|&loss| ("the support loss", loss));
        let last = [("the query loss", query_loss), ("the norm of the meta-gradient", norm)];
        let is_wrong = |(_, value): &(&'static str, f64)| !value.is_finite();
        if let Some((quantity, value)) = watched.chain(last).find(is_wrong) {
            return Err(NonFinite { step, episodes: vec![index], domain, quantity, value }.into());
        }
        let predicted = predict::labels(&predict::to_rows(&outcome.query_logits)?);
        let truth = contribution.query.iter().map(|&id| corpus.label_of(id));
        self.num_right += predicted.iter().zip(truth).filter(|(p, t)| **p == *t).count();
        self.num_scored += predicted.len();
        self.episodes.push(index);
        self.domains.extend(domain);
        self.support_first.extend(losses.first());
        self.support_last.extend(losses.last());
        self.query_losses.push(query_loss);
        Ok(())
    }

    /// Mean loss before the first adaptation step; `None` without adaptation.
    pub fn support_loss_first(&self) -> Option<f64> {
        (!self.support_first.is_empty()).then(|| mean(&self.support_first))
    }

    /// Mean loss before the last adaptation step; `None` without adaptation.
    pub fn support_loss_last(&self) -> Option<f64> {
        (!self.support_last.is_empty()).then(|| mean(&self.support_last))
    }

    /// Mean query loss.
    pub fn query_loss(&self) -> f64 {
        mean(&self.query_losses)
    }

    /// Accuracy on all query texts.
    pub fn query_accuracy(&self) -> f64 {
        self.num_right as f64 / self.num_scored as f64
    }
}
