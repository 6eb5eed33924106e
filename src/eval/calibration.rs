//! Calibration of a classifier: a factor on its logits and one term for each label, fitted on the logits of texts that it was
//! not adapted to (Guo et al. 2017; Alexandari et al. 2020, "bias-corrected temperature scaling").
//!
//! Both fold into an affine head, so that whatever reads the model gets calibrated answers.

use tch::{Device, Kind, TchError, Tensor};

use crate::model::classifier::Head;
use crate::params::ParamSet;

/// A map of logits: `scale * logits + bias`.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// The factor on all logits, above 0: the inverse of a temperature.
    pub scale: f64,
    /// The term of each label.
    pub bias: Vec<f64>,
}

/// How a calibration is fitted.
#[derive(Clone, Copy, Debug)]
pub struct Fit {
    /// How far labels count alike, instead of texts: 0 minimises the log loss of the texts as they are, 1 that of a sample with
    /// equally many of each label.
    pub label_balance: f64,
    /// How many texts the values expected beforehand weigh as much as.
    pub prior_texts: f64,
}

/// The least scale: logits that say the opposite of the truth are not turned round, but silenced.
const MIN_SCALE: f64 = 0.01;
/// The curvature of a text's log loss at even odds of two labels.
const CURVATURE: f64 = 0.25;
const MAX_ITERATIONS: usize = 50;

impl Calibration {
    /// The one that changes nothing.
    pub fn none(num_labels: usize) -> Self {
        Self { scale: 1.0, bias: vec![0.0; num_labels] }
    }

    /// What is expected of a model before its logits are seen: it is right for texts with the label shares of `counts`, the
    /// texts of each label that it was adapted to, and `label_balance` asks for others.
    pub fn expected(counts: &[usize], label_balance: f64) -> Self {
        // One more text of each label, so that a label without one has a finite term.
        let shares = counts.iter().map(|&count| (count + 1) as f64);
        let terms: Vec<f64> = shares.map(|share| -label_balance * share.ln()).collect();
        let mean = terms.iter().sum::<f64>() / terms.len() as f64;
        Self { scale: 1.0, bias: terms.iter().map(|term| term - mean).collect() }
    }

    /// The calibration with the least loss on `rows` of logits, `[texts, labels]`, of texts with the labels `truths`: their
    /// log loss, and the distance from what was expected. `counts` are the texts of each label.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn fit(
        rows: &[Vec<f32>],
        truths: &[u32],
        counts: &[usize],
        how: Fit,
    ) -> Result<Self, TchError> {
        let expected = Self::expected(counts, how.label_balance);
        if rows.is_empty() {
            return Ok(expected);
        }
        let found = Objective::new(rows, truths, counts, &expected, how)?.minimum()?;
        let found = Vec::<f64>::try_from(found)?;
        Ok(Self { scale: found[0].max(MIN_SCALE), bias: found[1..].to_vec() })
    }

    /// The logits after calibration.
    pub fn apply(&self, row: &[f32]) -> Vec<f32> {
        let terms = row.iter().zip(&self.bias);
        terms.map(|(&logit, bias)| (self.scale * f64::from(logit) + bias) as f32).collect()
    }

    /// `params` whose head, `[labels, hidden]` and `[labels]`, gives calibrated logits.
    ///
    /// # Errors
    /// Any error of libtorch.
    pub fn fold_into(&self, params: &ParamSet, head: Head) -> Result<ParamSet, TchError> {
        let [weight, bias] = [head.weight, head.bias].map(|slot| params.get(slot));
        let terms = Tensor::f_from_slice(&self.bias)?.f_to_kind(bias.kind())?;
        let terms = terms.f_to_device(bias.device())?;
        let scaled = |tensor: &Tensor| tensor.f_detach()?.f_mul_scalar(self.scale);
        let bias = scaled(bias)?.f_add(&terms)?;
        Ok(params.with(head.weight, scaled(weight)?).with(head.bias, bias))
    }
}

/// The loss of a scale and the labels' terms, `[1 + labels]`: convex, with a single minimum. All tensors are float64.
struct Objective {
    /// `[texts, labels]`.
    logits: Tensor,
    /// 1 at the label of each text, `[texts, labels]`.
    truths: Tensor,
    /// The weight of each text, `[texts, 1]`: mean 1.
    weights: Tensor,
    /// `[1 + labels]`.
    expected: Tensor,
    /// The factor on half the squared distance from what was expected.
    strength: f64,
}

impl Objective {
    fn new(
        rows: &[Vec<f32>],
        truths: &[u32],
        counts: &[usize],
        expected: &Calibration,
        how: Fit,
    ) -> Result<Self, TchError> {
        let (num_texts, num_labels) = (rows.len() as i64, counts.len() as i64);
        let double = |values: &[f64]| Tensor::f_from_slice(values);
        let logits: Vec<f64> = rows.iter().flatten().map(|&logit| f64::from(logit)).collect();
        let numbers: Vec<i64> = truths.iter().map(|&truth| i64::from(truth)).collect();
        let truths = Tensor::f_from_slice(&numbers)?.f_one_hot(num_labels)?;
        let weight = |&number: &i64| (counts[number as usize] as f64).powf(-how.label_balance);
        let weights = double(&numbers.iter().map(weight).collect::<Vec<f64>>())?;
        let weights = weights.f_div(&weights.f_mean(None)?)?;
        Ok(Self {
            logits: double(&logits)?.f_view([num_texts, num_labels])?,
            truths: truths.f_to_kind(Kind::Double)?,
            weights: weights.f_view([num_texts, 1])?,
            expected: double(&[&[expected.scale], expected.bias.as_slice()].concat())?,
            strength: CURVATURE * how.prior_texts,
        })
    }

    /// Newton's method; a step that does not lower the loss is halved.
    fn minimum(&self) -> Result<Tensor, TchError> {
        let mut point = self.expected.shallow_clone();
        let mut value = self.value(&point)?;
        for _ in 0..MAX_ITERATIONS {
            let (gradient, curvature) = self.derivatives(&point)?;
            let step = Tensor::f_linalg_solve(&curvature, &gradient, true)?;
            let slope = f64::try_from(step.f_dot(&gradient)?)?;
            if slope < 1e-10 {
                break;
            }
            let mut length = 1.0;
            loop {
                let moved = point.f_sub(&step.f_mul_scalar(length)?)?;
                let lower = self.value(&moved)?;
                if lower < value {
                    (point, value) = (moved, lower);
                    break;
                }
                length /= 2.0;
                if length < 1e-6 {
                    return Ok(point);
                }
            }
        }
        Ok(point)
    }

    fn calibrated(&self, point: &Tensor) -> Result<Tensor, TchError> {
        let num_labels = self.logits.size()[1];
        self.logits.f_mul(&point.f_narrow(0, 0, 1)?)?.f_add(&point.f_narrow(0, 1, num_labels)?)
    }

    fn value(&self, point: &Tensor) -> Result<f64, TchError> {
        let likelihood = self.calibrated(point)?.f_log_softmax(1, Kind::Double)?;
        let likelihood =
            likelihood.f_mul(&self.truths)?.f_mul(&self.weights)?.f_sum(Kind::Double)?;
        let distance = point.f_sub(&self.expected)?.f_square()?.f_sum(Kind::Double)?;
        Ok(self.strength / 2.0 * f64::try_from(distance)? - f64::try_from(likelihood)?)
    }

    /// The gradient, `[1 + labels]`, and the second derivatives, `[1 + labels, 1 + labels]`.
    fn derivatives(&self, point: &Tensor) -> Result<(Tensor, Tensor), TchError> {
        let sum = |tensor: Tensor, dim: i64| {
            tensor.f_sum_dim_intlist([dim].as_slice(), true, Kind::Double)
        };
        let shares = self.calibrated(point)?.f_softmax(1, Kind::Double)?;
        let weighted = shares.f_mul(&self.weights)?;
        let errors = shares.f_sub(&self.truths)?.f_mul(&self.weights)?;
        let of_scale = errors.f_mul(&self.logits)?.f_sum(Kind::Double)?.f_view([1])?;
        let of_terms = sum(errors, 0)?.f_view([-1])?;
        let offsets = point.f_sub(&self.expected)?.f_mul_scalar(self.strength)?;
        let gradient = Tensor::f_cat(&[of_scale, of_terms], 0)?.f_add(&offsets)?;

        // Of the softmax: the covariance, under its shares, of what each coordinate adds to the logits.
        let mean = sum(shares.f_mul(&self.logits)?, 1)?;
        let spread = self.logits.f_sub(&mean)?;
        let mixed = weighted.f_mul(&spread)?;
        let of_scale = mixed.f_mul(&spread)?.f_sum(Kind::Double)?.f_view([1, 1])?;
        let mixed = sum(mixed, 0)?;
        let of_terms = sum(weighted.shallow_clone(), 0)?.f_view([-1])?.f_diag(0)?;
        let of_terms = of_terms.f_sub(&weighted.f_transpose(0, 1)?.f_matmul(&shares)?)?;
        let top = Tensor::f_cat(&[&of_scale, &mixed], 1)?;
        let bottom = Tensor::f_cat(&[mixed.f_transpose(0, 1)?, of_terms], 1)?;
        let size = point.size()[0];
        let ridge =
            Tensor::f_eye(size, (Kind::Double, Device::Cpu))?.f_mul_scalar(self.strength)?;
        Ok((gradient, Tensor::f_cat(&[top, bottom], 0)?.f_add(&ridge)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [[f32; 3]; 6] = [
        [2.0, -1.0, 0.5],
        [0.5, 0.0, 1.0],
        [-1.0, 1.5, 0.25],
        [0.25, 0.75, -0.5],
        [1.0, 1.0, 2.0],
        [-2.0, 3.0, 0.0],
    ];
    const TRUTHS: [u32; 6] = [0, 1, 1, 0, 2, 1];
    const COUNTS: [usize; 3] = [4, 8, 2];

    fn fit(num_texts: usize, label_balance: f64, prior_texts: f64) -> Calibration {
        let rows: Vec<Vec<f32>> = LOGITS[..num_texts].iter().map(|row| row.to_vec()).collect();
        let how = Fit { label_balance, prior_texts };
        Calibration::fit(&rows, &TRUTHS[..num_texts], &COUNTS, how).unwrap()
    }

    // z, t, n = numpy.array(LOGITS), numpy.array(TRUTHS), numpy.array(COUNTS)
    // b = -balance * numpy.log(n + 1.0); x0 = numpy.r_[1, b - b.mean()]
    // w = n[t] ** -balance; w = w / w.mean(); p = lambda x: scipy.special.log_softmax(x[0] * z + x[1:], 1)[range(6), t]
    // scipy.optimize.minimize(lambda x: -(w * p(x)).sum() + m / 8 * ((x - x0) ** 2).sum(), x0, options={"gtol": 1e-10}).x
    #[test]
    fn the_fit_is_the_minimum_that_scipy_finds() {
        let cases = [
            (0.0, 8.0, [1.135_895_6, 0.096_479_0, 0.096_492_4, -0.192_971_5]),
            (0.5, 8.0, [1.232_061_8, 0.133_834_7, -0.213_062_3, 0.079_227_6]),
            (1.0, 2.0, [1.610_473_7, 0.307_857_6, -0.523_330_2, 0.215_472_5]),
        ];
        for (label_balance, prior_texts, expected) in cases {
            let Calibration { scale, bias } = fit(6, label_balance, prior_texts);
            let found = [vec![scale], bias].concat();
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-5, "{label_balance}: {found} {expected}");
            }
        }
    }

    #[test]
    fn without_texts_it_is_what_was_expected() {
        let found = fit(0, 1.0, 8.0);
        assert_eq!(found, Calibration::expected(&COUNTS, 1.0));
        // Answers move to the rare label by the logarithm of its share.
        let lead = found.bias[2] - found.bias[1];
        assert!((lead - (9.0_f64 / 3.0).ln()).abs() < 1e-12, "{found:?}");
        assert_eq!(fit(0, 0.0, 8.0), Calibration::none(3));
    }

    #[test]
    fn logits_that_say_the_opposite_are_silenced() {
        let pair = [vec![3.0, -3.0], vec![-3.0, 3.0]];
        let rows: Vec<Vec<f32>> = pair.into_iter().cycle().take(40).collect();
        let truths = [1, 0].repeat(20);
        let how = Fit { label_balance: 0.0, prior_texts: 1.0 };
        assert_eq!(Calibration::fit(&rows, &truths, &[20, 20], how).unwrap().scale, MIN_SCALE);
    }

    #[test]
    fn a_head_takes_a_calibration_in() {
        use std::sync::Arc;

        use crate::params::{Init, Layout, Region};

        let mut layout = Layout::default();
        let weight = layout.register("w", Region::Head, &[2, 3], Init::Zeros);
        let bias = layout.register("b", Region::Head, &[2], Init::Zeros);
        let weights = Tensor::from_slice(&[0.5_f32, -1.0, 2.0, 1.5, 0.25, -0.75]).view([2, 3]);
        let tensors = vec![weights, Tensor::from_slice(&[0.1_f32, -0.2])];
        let params = ParamSet::new(Arc::new(layout), tensors);
        let logits = |params: &ParamSet| {
            let vector = Tensor::from_slice(&[1.0_f32, 2.0, -1.0]);
            let logits = params.get(weight).mv(&vector) + params.get(bias);
            Vec::<f32>::try_from(logits).unwrap()
        };
        let calibration = Calibration { scale: 0.5, bias: vec![0.3, -0.3] };
        let folded = calibration.fold_into(&params, Head { weight, bias }).unwrap();
        let expected = calibration.apply(&logits(&params));
        for (found, expected) in logits(&folded).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
}
