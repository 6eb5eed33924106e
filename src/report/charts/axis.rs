//! Axes: from values to coordinates, with ticks at round numbers.

use super::svg::{Anchor, Svg, WIDTH};
use crate::report::document::fixed;

/// The text of an axis begins this far from its line.
const GAP: f64 = 6.0;
/// How many ticks an axis has, about.
const NUM_TICKS: f64 = 6.0;
/// Values beyond are drawn as this one: coordinates stay numbers.
const MOST: f64 = 1e100;
/// How far outside a chart a coordinate may be, in widths of the chart.
const FAR: f64 = 10.0;

/// A way from values to coordinates.
#[derive(Clone, Debug)]
pub struct Scale {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
    is_log: bool,
    ticks: Vec<f64>,
}

impl Scale {
    /// Both ends of `values` and a little more, from `start` to `end`, with round ticks.
    pub fn linear(values: impl IntoIterator<Item = f64>, (start, end): (f64, f64)) -> Self {
        let (low, high) = ends(values);
        let spread = if high > low { high - low } else { high.abs().max(1.0) * 0.1 };
        Self::between((low - 0.05 * spread, high + 0.05 * spread), (start, end))
    }

    /// From `low` to `high` exactly.
    pub fn between((low, high): (f64, f64), (start, end): (f64, f64)) -> Self {
        Self { low, high, start, end, is_log: false, ticks: nice_ticks(low, high) }
    }

    /// By logarithm, with a tick at each of `values`, which are above 0.
    pub fn logarithmic(values: &[f64], (start, end): (f64, f64)) -> Self {
        let (low, high) = ends(values.iter().copied());
        let margin = (high / low).powf(0.06).max(1.15);
        let (low, high) = (low / margin, high * margin);
        Self { low, high, start, end, is_log: true, ticks: values.to_vec() }
    }

    /// From 0 to the nearest round number above all `values`.
    pub fn from_zero(values: impl IntoIterator<Item = f64>, (start, end): (f64, f64)) -> Self {
        let (_, high) = ends(values);
        Self::between((0.0, if high > 0.0 { high * 1.04 } else { 1.0 }), (start, end))
    }

    /// The same with ticks at whole numbers alone.
    pub fn of_whole_numbers(mut self) -> Self {
        self.ticks.retain(|tick| tick.fract() == 0.0);
        self
    }

    /// The coordinate of a value.
    pub fn at(&self, value: f64) -> f64 {
        let value = value.clamp(-MOST, MOST);
        let place = |value: f64| if self.is_log { value.ln() } else { value };
        let (low, high) = (place(self.low), place(self.high));
        let share = ((place(value) - low) / (high - low)).clamp(-FAR, FAR);
        self.start + share * (self.end - self.start)
    }

    /// How a tick is written: all with the same digits.
    fn tick_label(&self, value: f64) -> String {
        if self.is_log {
            return fixed(value, 0);
        }
        let step = self.ticks.get(1).map_or(1.0, |second| second - self.ticks[0]);
        let digits = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
        fixed(value, digits)
    }
}

/// The area that values are drawn in.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The scale from left to right.
    pub x: Scale,
    /// The scale from the bottom to the top.
    pub y: Scale,
}

impl Frame {
    /// The coordinates of a point.
    pub fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (self.x.at(x), self.y.at(y))
    }

    /// Draws grid, ticks and the names of both axes.
    pub fn draw(&self, svg: &mut Svg, x_name: &str, y_name: &str) {
        let (left, bottom, top) = (self.x.start, self.y.start, self.y.end);
        for &tick in &self.y.ticks {
            let y = self.y.at(tick);
            svg.line("grid", (left, y), (self.x.end, y));
            let label = self.y.tick_label(tick);
            svg.text("tick", (left - GAP, y + 4.0), Anchor::End, left, &label);
        }
        draw_x_axis(svg, &self.x, (top, bottom), x_name);
        svg.text("name", (2.0, top - 10.0), Anchor::Start, WIDTH, y_name);
    }
}

/// Draws an axis from left to right below the area from `top` to `bottom`, with its name under it.
pub fn draw_x_axis(svg: &mut Svg, x: &Scale, (top, bottom): (f64, f64), name: &str) {
    svg.line("axis", (x.start, bottom), (x.end, bottom));
    let mut free_from = f64::NEG_INFINITY;
    for &tick in &x.ticks {
        let (at, label) = (x.at(tick), x.tick_label(tick));
        let half = super::svg::width_of(&label) / 2.0;
        svg.line("grid", (at, top), (at, bottom));
        // Ticks of a logarithmic axis may be too close for all of their labels.
        if at - half > free_from {
            svg.text("tick", (at, bottom + 16.0), Anchor::Middle, WIDTH, &label);
            free_from = at + half + 4.0;
        }
    }
    svg.text("name", (x.end, bottom + 33.0), Anchor::End, WIDTH, name);
}

/// The least and the largest of the finite values; 0 and 1 for none.
fn ends(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let finite = values.into_iter().filter(|value| value.is_finite());
    let finite = finite.map(|value| value.clamp(-MOST, MOST));
    let ends = finite.fold(None, |ends: Option<(f64, f64)>, value| {
        let (low, high) = ends.unwrap_or((value, value));
        Some((low.min(value), high.max(value)))
    });
    ends.unwrap_or((0.0, 1.0))
}

/// Multiples of 1, 2 or 5 times a power of ten within both ends.
fn nice_ticks(low: f64, high: f64) -> Vec<f64> {
    let raw = (high - low) / NUM_TICKS;
    let power = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    let step = step.into_iter().find(|step| *step >= raw * 0.999).unwrap_or(10.0 * power);
    let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
    (first..=last).map(|count| count as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within_the_ends() {
        assert_eq!(
            nice_ticks(0.0, 1.0),
            [0.0, 0.2, 0.4, 0.6, 0.8, 1.0].map(|it: f64| { (it / 0.2).round() * 0.2 })
        );
        assert_eq!(nice_ticks(-3.0, 104.0), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(nice_ticks(0.0, 480.0), [0.0, 100.0, 200.0, 300.0, 400.0]);
    }

    #[test]
    fn a_single_value_and_none_have_a_scale() {
        for values in [vec![], vec![0.5], vec![0.0, f64::NAN], vec![-3.0, -3.0]] {
            let scale = Scale::linear(values.clone(), (0.0, 100.0));
            assert!(scale.at(0.5).is_finite(), "{values:?}");
            assert!(scale.ticks.len() > 1, "{values:?}: {:?}", scale.ticks);
        }
    }

    #[test]
    fn a_logarithmic_scale_has_equal_steps_for_equal_ratios() {
        let scale = Scale::logarithmic(&[1.0, 2.0, 4.0], (0.0, 100.0));
        let [first, second, third] = [1.0, 2.0, 4.0].map(|value| scale.at(value));
        assert!((third - second - (second - first)).abs() < 1e-9);
        assert!((second - 50.0).abs() < 1e-9, "{second}");
    }
}
