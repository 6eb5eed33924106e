//! Lines over a common axis, each with a band and marks where it has them.

use super::axis::{Frame, Scale};
use super::svg::{Anchor, Svg, WIDTH, colour};

/// Where the frame begins and ends.
const LEFT: f64 = 46.0;
const RIGHT: f64 = WIDTH - 10.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 226.0;
const HEIGHT: f64 = 266.0;

/// A chart of lines.
#[derive(Debug, Default)]
pub struct Curves<'a> {
    /// What it shows, for those who do not see it.
    pub label: &'a str,
    /// The names of the axes.
    pub names: (&'a str, &'a str),
    /// The lines.
    pub curves: Vec<Curve>,
    /// Parts of the axis from left to right that are shaded.
    pub shaded: Vec<Shaded>,
    /// How values become coordinates.
    pub axes: Axes,
}

/// How values become coordinates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Axes {
    /// Both as they are, the one from left to right in whole numbers.
    #[default]
    Linear,
    /// The one from left to right by logarithm, with a tick at every value.
    LogX,
    /// Both from 0 to 1, with the diagonal.
    Shares,
}

/// A line.
#[derive(Clone, Debug)]
pub struct Curve {
    /// The series, which decides about its colour.
    pub series: usize,
    /// How it is drawn.
    pub style: Style,
    /// Its points from left to right.
    pub points: Vec<Point>,
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A line with a mark at each point.
    Marked,
    /// A line alone.
    Plain,
    /// A dashed line alone: the second of a series.
    Second,
    /// A dashed line alone: a level to compare with.
    Level,
    /// A dotted grey line: a floor.
    Floor,
}

/// A point of a line.
#[derive(Clone, Debug)]
pub struct Point {
    /// From left to right.
    pub x: f64,
    /// Upwards.
    pub y: f64,
    /// The ends of its interval.
    pub band: Option<(f64, f64)>,
    /// What it is.
    pub tooltip: String,
    /// Whether it is marked as the best.
    pub is_best: bool,
}

/// A part of the axis.
#[derive(Clone, Debug)]
pub struct Shaded {
    /// Whose part it is.
    pub series: usize,
    /// Where it begins and ends.
    pub ends: (f64, f64),
    /// What it is.
    pub tooltip: String,
}

impl Curves<'_> {
    /// The chart; `None` without a point.
    pub fn draw(self) -> Option<String> {
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        points().next()?;
        let mut svg = Svg::default();
        let frame = self.frame();
        let bottom_to_top = |x: f64| (frame.x.at(x), TOP);
        for Shaded { series, ends: (from, to), tooltip } in &self.shaded {
            let (x, y) = bottom_to_top(*from);
            let size = (frame.x.at(*to) - x, BOTTOM - TOP);
            svg.rectangle(&format!("part {}", colour(*series)), (x, y), size, tooltip);
        }
        frame.draw(&mut svg, self.names.0, self.names.1);
        if self.axes == Axes::Shares {
            svg.line("zero", frame.at((0.0, 0.0)), frame.at((1.0, 1.0)));
        }
        for curve in &self.curves {
            draw_band(&mut svg, &frame, curve);
        }
        for curve in &self.curves {
            draw_line(&mut svg, &frame, curve);
        }
        Some(svg.finish(HEIGHT, self.label))
    }

    fn frame(&self) -> Frame {
        let (across, upwards) = ((LEFT, RIGHT), (BOTTOM, TOP));
        if self.axes == Axes::Shares {
            let [x, y] = [across, upwards].map(|ends| Scale::between((0.0, 1.0), ends));
            return Frame { x, y };
        }
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let y = Scale::linear(self.values_that_decide(), upwards);
        let mut places: Vec<f64> = points().map(|point| point.x).collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        let x = match self.axes {
            Axes::LogX => Scale::logarithmic(&places, across),
            _ => Scale::linear(places, across).of_whole_numbers(),
        };
        Frame { x, y }
    }

    /// The values that decide about the ends of the axis: all but levels that are far below the others.
    fn values_that_decide(&self) -> Vec<f64> {
        let values = |is_level: bool| {
            let curves = self.curves.iter().filter(move |it| it.style.is_level() == is_level);
            let points = curves.flat_map(|curve| &curve.points);
            points.flat_map(|point| {
                let (low, high) = point.band.unwrap_or((point.y, point.y));
                [low, point.y, high]
            })
        };
        let mut decide: Vec<f64> = values(false).collect();
        let low = decide.iter().copied().fold(f64::INFINITY, f64::min);
        let high = decide.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let least = low - (FAR * (high - low)).max(NEAR);
        // Also where nothing else is there.
        decide.extend(values(true).filter(|value| low == f64::INFINITY || *value >= least));
        decide
    }
}

impl Style {
    fn is_level(self) -> bool {
        matches!(self, Self::Level | Self::Floor)
    }
}

/// Levels to compare with may be so far below the other values that the chart would show nothing else: this many times the
/// range of the others.
const FAR: f64 = 1.0;
/// A distance, in scores, that is not far however close the others are to each other.
const NEAR: f64 = 0.2;

fn draw_band(svg: &mut Svg, frame: &Frame, curve: &Curve) {
    let bands = curve.points.iter().filter_map(|point| Some((point.x, point.band?)));
    let (lower, upper): (Vec<_>, Vec<_>) =
        bands.map(|(x, (low, high))| (frame.at((x, low)), frame.at((x, high)))).unzip();
    match lower.len() {
        0 => {}
        1 => svg.line(&format!("whisker {}", colour(curve.series)), lower[0], upper[0]),
        _ => {
            let corners: Vec<_> = lower.into_iter().chain(upper.into_iter().rev()).collect();
            svg.area(&format!("band {}", colour(curve.series)), &corners);
        }
    }
}

fn draw_line(svg: &mut Svg, frame: &Frame, curve: &Curve) {
    let class = match curve.style {
        Style::Marked | Style::Plain => format!("line {}", colour(curve.series)),
        Style::Second | Style::Level => format!("line dashed {}", colour(curve.series)),
        Style::Floor => "line floor".to_owned(),
    };
    let place = |point: &Point| {
        let (x, y) = frame.at((point.x, point.y));
        (x, y.min(BOTTOM - 3.0))
    };
    let places: Vec<_> = curve.points.iter().map(place).collect();
    let is_below = |point: &Point| frame.y.at(point.y) > BOTTOM;
    if curve.style.is_level() && curve.points.first().is_some_and(is_below) {
        svg.text(
            "tick",
            (LEFT + 4.0, BOTTOM - 9.0),
            Anchor::Start,
            WIDTH,
            "\u{2193} below the chart",
        );
    }
    if places.len() > 1 {
        let tooltip = match curve.style {
            Style::Marked => "",
            _ => curve.points.last().map_or("", |point| &point.tooltip),
        };
        svg.path(&class, &places, tooltip);
    }
    for (&place, point) in places.iter().zip(&curve.points) {
        if curve.style == Style::Marked || places.len() == 1 {
            let is_hollow = curve.style != Style::Marked;
            svg.mark(curve.series, place, is_hollow, &point.tooltip);
        }
        if point.is_best {
            svg.ring(curve.series, place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(x: f64, y: f64) -> Point {
        let band = Some((y - 0.1, y + 0.1));
        Point { x, y, band, tooltip: format!("{x}"), is_best: x == 2.0 }
    }

    #[test]
    fn a_chart_without_a_point_is_none() {
        let empty = Curve { series: 0, style: Style::Marked, points: Vec::new() };
        assert_eq!(Curves { curves: vec![empty], ..Curves::default() }.draw(), None);
    }

    #[test]
    fn points_have_marks_bands_and_the_best_a_ring() {
        let points = vec![point(1.0, 0.5), point(2.0, 0.7)];
        let curve = Curve { series: 1, style: Style::Marked, points };
        let chart = Curves { curves: vec![curve], ..Curves::default() }.draw().unwrap();
        for part in
            ["class=\"band s1\"", "class=\"line s1\"", "class=\"ring s1\"", "<title>2</title>"]
        {
            assert!(chart.contains(part), "expected {part} in {chart}");
        }
        assert_eq!(chart.matches("class=\"mark s1\"").count(), 2);
    }
}
