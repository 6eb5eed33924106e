//! What keeps an adaptation from doing harm: out of fold it has to be as good as the weights it started from, and what it says
//! there calibrates its answers.
//!
//! Knows logits and labels; neither models nor texts.

use std::fmt::{self, Display, Formatter, Write as _};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tch::TchError;

use super::calibration::{Calibration, Fit};
use super::metrics::mean;
use super::outcome::log_probability;
use crate::checks::{self, Invalid};
use crate::data::DomainPool;
use crate::meta::{Choice, HeadStart};

/// Section `[safeguard]`: how the answers of `finetune` and `eval` are kept from being worse than those before adapting.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SafeguardConfig {
    /// The share of the way from the weights before adapting to those after it (Wortsman et al. 2022, "WiSE-FT").
    pub share: f64,
    /// Folds of the support set, each scored by an adaptation to the others: for what follows, and for the estimate of
    /// `finetune`; 0 turns all of it off.
    pub folds: usize,
    /// Whether the weights before adapting are kept where the out-of-fold log loss says so.
    pub fall_back: bool,
    /// By how much adapting has to improve it.
    pub margin: Choice<Margin>,
    /// Whether logits are calibrated on those out of fold.
    pub calibrate: bool,
    /// Whether the weights that answer are the mean of those adapted to all texts and of those that the folds adapted.
    pub average_folds: bool,
    /// The operating point of a calibration: 0 for the label shares of the support set, 1 for labels that are equally frequent,
    /// which raises the recall of rare ones.
    pub label_balance: f64,
    /// How many texts the prior of a calibration weighs as much as: that the logits are right for the label shares of the support
    /// set.
    pub prior_texts: f64,
}

impl Default for SafeguardConfig {
    fn default() -> Self {
        Self {
            share: 1.0,
            folds: 5,
            fall_back: true,
            margin: Choice::Auto,
            calibrate: true,
            average_folds: false,
            label_balance: 0.0,
            prior_texts: 80.0,
        }
    }
}

/// By how many of its standard errors the log loss has to improve; below 0, by how many it may become worse.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Margin(pub f64);

impl FromStr for Margin {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let margin = word.parse().ok().filter(|margin: &f64| margin.is_finite());
        margin.map(Self).ok_or_else(|| format!("expected a number or auto, found {word}"))
    }
}

impl Display for Margin {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

/// The folds' answers to the texts that they were not adapted to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeldOut {
    /// The labels of the texts, as their domain numbers them.
    pub truths: Vec<u32>,
    /// Logits of the weights that the fold's adaptation started from, `[texts, labels]`.
    pub zero_step: Vec<Vec<f32>>,
    /// Those of the adapted ones.
    pub adapted: Vec<Vec<f32>>,
}

/// The most labels whose terms are listed in words.
const MAX_LISTED_TERMS: usize = 5;

/// Which weights answer, and how their logits are calibrated.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Whether the weights before adapting are kept.
    pub falls_back: bool,
    /// What their logits are mapped by.
    pub calibration: Calibration,
    /// How much worse adapting is out of fold; `None` where no text was held out.
    pub harm: Option<Harm>,
}

/// The log loss after adapting minus that before, in nats, over texts that were held out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Harm {
    /// Mean over the texts.
    pub mean: f64,
    /// Its standard error.
    pub standard_error: f64,
}

impl SafeguardConfig {
    /// Nothing is held out, and nothing is changed.
    pub const OFF: Self = Self {
        share: 1.0,
        folds: 0,
        fall_back: false,
        margin: Choice::Auto,
        calibrate: false,
        average_folds: false,
        label_balance: 0.0,
        prior_texts: 0.0,
    };

    /// The same with the margin for adaptations that start from `head`; `knows_labels` says that the one of the weights was trained
    /// to answer as it is, with a row for every label: adapting it has to prove itself. Any other answers by the support set
    /// alone, or was trained to be adapted.
    pub fn for_head(self, head: HeadStart, knows_labels: bool) -> Self {
        let is_trained = head == HeadStart::Meta && knows_labels;
        let margin = Margin(if is_trained { 1.0 } else { -1.0 });
        Self { margin: self.margin.or(margin).into(), ..self }
    }

    /// Checks the values of the section.
    ///
    /// # Errors
    /// The first impossible value, by its key.
    pub fn validate(&self) -> Result<(), Invalid> {
        checks::within("safeguard.folds", self.folds as u64, 0..=1_000)?;
        let folds = "0, or at least 2";
        checks::require(self.folds != 1, "safeguard.folds", folds, self.folds)?;
        let balance = self.label_balance;
        let is_share = |share: f64| (0.0..=1.0).contains(&share);
        checks::require(is_share(balance), "safeguard.label_balance", "from 0 to 1", balance)?;
        checks::positive("safeguard.prior_texts", self.prior_texts)?;
        checks::require(is_share(self.share), "safeguard.share", "from 0 to 1", self.share)
    }

    /// The folds of a support set: as many as asked for, or as possible; 0 where two are not.
    pub fn num_folds(&self, support: &DomainPool) -> usize {
        match self.folds.min(support.num_tested_by_folds()) {
            0 | 1 => 0,
            folds => folds,
        }
    }

    /// Whether an answer depends on texts that were held out.
    pub fn reads_folds(&self) -> bool {
        self.folds > 0 && (self.fall_back || self.calibrate || self.average_folds)
    }

    /// What `folds` say of an adaptation to a support set that has `counts` texts of each label.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn verdict(&self, folds: &[&HeldOut], counts: &[usize]) -> Result<Verdict, TchError> {
        let truths: Vec<u32> = folds.iter().flat_map(|fold| fold.truths.clone()).collect();
        let adapted: Vec<Vec<f32>> = folds.iter().flat_map(|fold| fold.adapted.clone()).collect();
        let of_adapted = self.calibration(&adapted, &truths, counts)?;
        let Margin(margin) = self.margin.or(Margin(0.0));
        if !self.fall_back || truths.is_empty() {
            // What has to prove itself, and cannot, is not trusted.
            let falls_back = self.fall_back && self.folds > 0 && margin > 0.0;
            return Ok(Verdict { falls_back, calibration: of_adapted, harm: None });
        }
        let zero_step = folds.iter().flat_map(|fold| fold.zero_step.clone());
        let zero_step: Vec<Vec<f32>> = zero_step.collect();
        let of_zero_step = self.calibration(&zero_step, &truths, counts)?;
        let texts = adapted.iter().zip(&zero_step).zip(&truths);
        let differences = texts.map(|((adapted, zero_step), &truth)| {
            log_probability(&of_zero_step.apply(zero_step), truth)
                - log_probability(&of_adapted.apply(adapted), truth)
        });
        let harm = Harm::of(&differences.collect::<Vec<f64>>());
        let falls_back = harm.mean > -margin * harm.standard_error;
        let calibration = if falls_back { of_zero_step } else { of_adapted };
        Ok(Verdict { falls_back, calibration, harm: Some(harm) })
    }

    fn calibration(
        &self,
        rows: &[Vec<f32>],
        truths: &[u32],
        counts: &[usize],
    ) -> Result<Calibration, TchError> {
        if !self.calibrate || self.folds == 0 {
            return Ok(Calibration::none(counts.len()));
        }
        let how = Fit { label_balance: self.label_balance, prior_texts: self.prior_texts };
        Calibration::fit(rows, truths, counts, how)
    }
}

impl Verdict {
    /// The verdict in words, for an adaptation whose labels are called `labels`.
    pub fn describe(&self, labels: &[String]) -> String {
        let mut text = String::new();
        if let Some(Harm { mean, standard_error }) = self.harm {
            let _ = write!(
                text,
                "out of fold, adapting changes the log loss by {mean:+.3} (standard error {standard_error:.3})"
            );
            text += match self.falls_back {
                true if mean < 0.0 => {
                    ", less than the margin asks for: the weights from before adapting are kept"
                }
                true => ": the weights from before adapting are kept",
                false => ": the adapted weights are kept",
            };
        } else if self.falls_back {
            text += "no text can be held out: the weights from before adapting are kept";
        }
        let Calibration { scale, bias } = &self.calibration;
        if self.calibration != Calibration::none(labels.len()) {
            text += if text.is_empty() { "" } else { "; " };
            let _ = write!(text, "logits are multiplied by {scale:.3}");
            if labels.len() <= MAX_LISTED_TERMS {
                let terms =
                    labels.iter().zip(bias).map(|(name, term)| format!("{term:+.3} for {name}"));
                let _ = write!(text, ", then {}", terms.collect::<Vec<_>>().join(", "));
            }
        }
        text
    }
}

impl Harm {
    fn of(differences: &[f64]) -> Self {
        let count = differences.len() as f64;
        let mean = mean(differences);
        let squares: f64 = differences.iter().map(|it| (it - mean) * (it - mean)).sum();
        Self { mean, standard_error: (squares / (count - 1.0).max(1.0) / count).sqrt() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Folds of two labels, where `right` of ten answers before adapting, and of ten after it, are.
    fn folds(right: [usize; 2]) -> Vec<HeldOut> {
        let fold = |shift: usize| {
            let truths: Vec<u32> = (0..10).map(|text| (text + shift as u32) % 2).collect();
            let rows = |num_right: usize| {
                let row = |(at, &truth): (usize, &u32)| {
                    let sure = if (at < num_right) == (truth == 1) { 2.0 } else { -2.0 };
                    vec![0.0, sure]
                };
                truths.iter().enumerate().map(row).collect()
            };
            let [zero_step, adapted] = right.map(rows);
            HeldOut { truths, zero_step, adapted }
        };
        (0..4).map(fold).collect()
    }

    fn verdict(config: &SafeguardConfig, right: [usize; 2]) -> Verdict {
        config.verdict(&folds(right).iter().collect::<Vec<_>>(), &[20, 20]).unwrap()
    }

    #[test]
    fn an_adaptation_that_harms_is_not_kept() {
        let config = SafeguardConfig::default();
        for (right, falls_back) in [([9, 6], true), ([6, 9], false), ([8, 8], false)] {
            let found = verdict(&config, right);
            assert_eq!(found.falls_back, falls_back, "{right:?}: {found:?}");
        }
        let never = SafeguardConfig { fall_back: false, ..config };
        assert!(!verdict(&never, [9, 6]).falls_back);
    }

    #[test]
    fn a_margin_says_how_much_better_adapting_has_to_be() {
        let falls_back = |margin: f64, right| {
            let margin = Margin(margin).into();
            verdict(&SafeguardConfig { margin, ..Default::default() }, right).falls_back
        };
        // One answer of ten is about two standard errors.
        for (right, expected) in [
            ([7, 8], [(1.0, false), (3.0, true), (-1.0, false)]),
            ([8, 7], [(-1.0, true), (-3.0, false), (1.0, true)]),
            ([8, 8], [(1.0, false), (-1.0, false), (3.0, false)]),
        ] {
            for (margin, expected) in expected {
                assert_eq!(falls_back(margin, right), expected, "{right:?}, {margin}");
            }
        }
    }

    #[test]
    fn a_trained_head_has_to_be_improved_and_another_one_not_harmed() {
        let config = SafeguardConfig::default();
        let margin = |config: SafeguardConfig, head| config.for_head(head, true).margin;
        assert_eq!(margin(config, HeadStart::Meta), Margin(1.0).into());
        for other in [HeadStart::Shared, HeadStart::Zeros, HeadStart::Prototypes] {
            assert_eq!(margin(config, other), Margin(-1.0).into());
        }
        assert_eq!(config.for_head(HeadStart::Meta, false).margin, Margin(-1.0).into());
        let given = SafeguardConfig { margin: Margin(0.5).into(), ..config };
        assert_eq!(margin(given, HeadStart::Prototypes), given.margin);
    }

    #[test]
    fn the_answers_that_are_kept_are_the_calibrated_ones() {
        let config = SafeguardConfig::default();
        // Six of ten are right at odds of e^2: too sure. Nine of ten are not.
        let kept_before = verdict(&config, [9, 6]).calibration;
        assert_eq!(kept_before, verdict(&config, [6, 9]).calibration);
        let unsure = verdict(&SafeguardConfig { fall_back: false, ..config }, [9, 6]).calibration;
        assert!(unsure.scale < 0.9 && kept_before.scale > 0.95, "{unsure:?} {kept_before:?}");
        let uncalibrated = SafeguardConfig { calibrate: false, ..config };
        assert_eq!(verdict(&uncalibrated, [6, 9]).calibration, Calibration::none(2));
    }

    #[test]
    fn without_folds_nothing_is_done() {
        let config = SafeguardConfig { folds: 0, ..SafeguardConfig::default() };
        let found = config.verdict(&[], &[30, 10]).unwrap();
        assert_eq!(found.calibration, Calibration::none(2));
        // Where only the texts are too few, rare labels still get the due that is asked for.
        let found = SafeguardConfig::default().verdict(&[], &[30, 10]).unwrap();
        assert_eq!(found.calibration, Calibration::none(2));
        let balanced = SafeguardConfig { label_balance: 0.5, ..Default::default() };
        let found = balanced.verdict(&[], &[30, 10]).unwrap();
        assert_eq!(found.calibration, Calibration::expected(&[30, 10], 0.5));
    }

    #[test]
    fn nothing_held_out_changes_nothing() {
        let found = SafeguardConfig::default().verdict(&[], &[1, 1]).unwrap();
        assert!(!found.falls_back && found.harm.is_none(), "{found:?}");
        assert_eq!(found.calibration, Calibration::none(2));
        assert_eq!(found.describe(&["a".to_owned(), "b".to_owned()]), "");
    }

    #[test]
    fn a_verdict_reads_like_its_numbers() {
        let labels = ["no".to_owned(), "yes".to_owned()];
        let found = verdict(&SafeguardConfig { calibrate: false, ..Default::default() }, [9, 6]);
        let expected = "out of fold, adapting changes the log loss by +0.600 (standard error 0.147): the weights from before \
                        adapting are kept";
        assert_eq!(found.describe(&labels), expected);
        let margin = Margin(3.0).into();
        let unproven = SafeguardConfig { calibrate: false, margin, ..Default::default() };
        let expected = "out of fold, adapting changes the log loss by -0.200 (standard error 0.096), less than the margin asks \
                        for: the weights from before adapting are kept";
        assert_eq!(verdict(&unproven, [7, 8]).describe(&labels), expected);
    }

    // d = [2.0, -1.0, 4.0]; numpy.mean(d), numpy.std(d, ddof=1) / 3 ** 0.5
    #[test]
    fn harm_is_a_mean_with_its_standard_error() {
        let Harm { mean, standard_error } = Harm::of(&[2.0, -1.0, 4.0]);
        assert!((mean - 1.666_666_666_666_666_7).abs() < 1e-12, "{mean}");
        assert!((standard_error - 1.452_966_314_513_557_6).abs() < 1e-12, "{standard_error}");
    }
}
