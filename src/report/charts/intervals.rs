//! Dots with intervals in named rows: the scores of domains, and differences with their zero line.

use super::axis::{Scale, draw_x_axis};
use super::svg::{Anchor, Svg, WIDTH, colour, width_of};

const TOP: f64 = 8.0;
const RIGHT: f64 = WIDTH - 12.0;
/// From one dot to the next in a row, and what a row has beside its dots.
const STEP: f64 = 12.0;
const PADDING: f64 = 8.0;
/// The most room for the names of rows.
const MOST_NAME: f64 = 150.0;

/// A chart of dots.
#[derive(Debug, Default)]
pub struct Intervals<'a> {
    /// What it shows, for those who do not see it.
    pub label: &'a str,
    /// The name of the axis.
    pub name: &'a str,
    /// Whether a line at zero is in it.
    pub has_zero_line: bool,
    /// The rows from top to bottom.
    pub rows: Vec<Row>,
}

/// A row.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Whether it sums up the others.
    pub is_total: bool,
    /// Its dots from top to bottom.
    pub dots: Vec<Dot>,
    /// A level that is marked across the row, and what it is.
    pub level: Option<(f64, String)>,
}

/// A dot.
#[derive(Clone, Debug)]
pub struct Dot {
    /// The series, which decides about its colour.
    pub series: usize,
    /// Where it is.
    pub value: f64,
    /// The ends of its interval.
    pub interval: Option<(f64, f64)>,
    /// A second, hollow dot.
    pub other: Option<f64>,
    /// What it is.
    pub tooltip: String,
}

impl Intervals<'_> {
    /// The chart; `None` without a dot.
    pub fn draw(self) -> Option<String> {
        let dots = || self.rows.iter().flat_map(|row| &row.dots);
        dots().next()?;
        let names = self.rows.iter().map(|row| width_of(&row.name)).fold(40.0, f64::max);
        let left = names.min(MOST_NAME) + 16.0;
        let values = dots().flat_map(|dot| {
            let (low, high) = dot.interval.unwrap_or((dot.value, dot.value));
            [low, dot.value, high, dot.other.unwrap_or(dot.value)]
        });
        let levels = self.rows.iter().filter_map(|row| Some(row.level.as_ref()?.0));
        let zero = self.has_zero_line.then_some(0.0);
        let x = Scale::linear(values.chain(levels).chain(zero), (left, RIGHT));
        let height_of = |row: &Row| row.dots.len().max(1) as f64 * STEP + PADDING;
        let bottom = TOP + self.rows.iter().map(height_of).sum::<f64>();

        let mut svg = Svg::default();
        draw_x_axis(&mut svg, &x, (TOP, bottom), self.name);
        if self.has_zero_line {
            svg.line("zero", (x.at(0.0), TOP), (x.at(0.0), bottom));
        }
        let mut y = TOP;
        for row in &self.rows {
            let height = height_of(row);
            if row.is_total {
                svg.line("axis", (0.0, y), (RIGHT, y));
            }
            let class = if row.is_total { "row total" } else { "row" };
            let middle = y + height / 2.0;
            svg.text(class, (left - 10.0, middle + 4.0), Anchor::End, left - 10.0, &row.name);
            if let Some((level, tooltip)) = &row.level {
                let (x, size) = (x.at(*level) - 1.0, (2.0, height - 4.0));
                svg.rectangle("level", (x, y + 2.0), size, tooltip);
            }
            for (place, dot) in (0..).zip(&row.dots) {
                let middle = y + PADDING / 2.0 + STEP * (f64::from(place) + 0.5);
                dot.draw(&mut svg, &x, middle);
            }
            y += height;
        }
        Some(svg.finish(bottom + 42.0, self.label))
    }
}

impl Dot {
    fn draw(&self, svg: &mut Svg, x: &Scale, y: f64) {
        if let Some((low, high)) = self.interval {
            let class = format!("whisker {}", colour(self.series));
            svg.line(&class, (x.at(low), y), (x.at(high), y));
        }
        if let Some(other) = self.other {
            svg.mark(self.series, (x.at(other), y), true, &self.tooltip);
        }
        svg.mark(self.series, (x.at(self.value), y), false, &self.tooltip);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_its_name_dots_interval_and_level() {
        let dot = Dot {
            series: 0,
            value: 0.5,
            interval: Some((0.4, 0.6)),
            other: Some(0.45),
            tooltip: "t".into(),
        };
        let level = Some((0.3, "majority".to_owned()));
        let row = Row { name: "<b>".into(), is_total: false, dots: vec![dot], level };
        let chart = Intervals { rows: vec![row], has_zero_line: true, ..Intervals::default() };
        let chart = chart.draw().unwrap();
        for part in ["&lt;b&gt;", "whisker s0", "hollow s0", "mark s0", "class=\"level\"", "zero"] {
            assert!(chart.contains(part), "expected {part} in {chart}");
        }
        assert_eq!(Intervals::default().draw(), None);
    }
}
