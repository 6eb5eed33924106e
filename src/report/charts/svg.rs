//! Writes one `<svg>` element, shape by shape. Colours and widths are those of the page's style sheet, by class.
//!
//! Knows coordinates, not what they mean.

use std::fmt::Write;

use super::super::escape::html;

/// The width of every drawing, in units of about a pixel: narrow enough for a telephone.
pub const WIDTH: f64 = 420.0;
/// Colours of series; further ones begin again with other marks.
const NUM_COLOURS: usize = 6;
/// The width of a letter of the labels, on average.
const LETTER: f64 = 7.4;

/// A drawing.
#[derive(Debug, Default)]
pub struct Svg {
    body: String,
}

/// The side of a text that its coordinate is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// The left one.
    Start,
    /// Half of it is on each side.
    Middle,
    /// The right one.
    End,
}

impl Svg {
    /// The element, of this height, described by `label` for those who do not see it.
    pub fn finish(self, height: f64, label: &str) -> String {
        let (width, height, label) = (short(WIDTH), short(height), html(label));
        let opening =
            format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\">");
        format!("{opening}\n{}</svg>", self.body)
    }

    /// A straight line.
    pub fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(short);
        self.add(format_args!(
            "<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>"
        ));
    }

    /// A line through some points.
    pub fn path(&mut self, class: &str, points: &[(f64, f64)], tooltip: &str) {
        self.add(format_args!(
            "<polyline class=\"{class}\" points=\"{}\">{}</polyline>",
            joined(points),
            title(tooltip)
        ));
    }

    /// The area between the corners.
    pub fn area(&mut self, class: &str, corners: &[(f64, f64)]) {
        self.add(format_args!("<polygon class=\"{class}\" points=\"{}\"/>", joined(corners)));
    }

    /// A rectangle.
    pub fn rectangle(
        &mut self,
        class: &str,
        (x, y): (f64, f64),
        (width, height): (f64, f64),
        tooltip: &str,
    ) {
        let [x, y, width, height] = [x, y, width, height].map(short);
        self.add(format_args!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\">{}</rect>",
            title(tooltip)
        ));
    }

    /// A square of a heat map, whose colour is as strong as `share` says, from 0 to 1.
    pub fn heat(&mut self, class: &str, (x, y): (f64, f64), side: f64, share: f64, tooltip: &str) {
        let [x, y, side] = [x, y, side].map(short);
        self.add(format_args!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{side}\" height=\"{side}\" fill-opacity=\"{}\">{}</rect>",
            short(0.12 + 0.88 * share),
            title(tooltip)
        ));
    }

    /// The mark of a series at a point: each series has a shape beside its colour.
    pub fn mark(&mut self, series: usize, (x, y): (f64, f64), is_hollow: bool, tooltip: &str) {
        let class = format!("{}{}", if is_hollow { "hollow " } else { "mark " }, colour(series));
        let tooltip = title(tooltip);
        let corners = |offsets: &[(f64, f64)]| {
            joined(&offsets.iter().map(|(dx, dy)| (x + dx, y + dy)).collect::<Vec<_>>())
        };
        let polygon = |offsets: &[(f64, f64)]| {
            format!(
                "<polygon class=\"{class}\" points=\"{}\">{tooltip}</polygon>",
                corners(offsets)
            )
        };
        let shape = match mark(series) {
            1 => polygon(&[(-3.5, -3.5), (3.5, -3.5), (3.5, 3.5), (-3.5, 3.5)]),
            2 => polygon(&[(0.0, -4.5), (4.5, 3.5), (-4.5, 3.5)]),
            3 => polygon(&[(0.0, -5.0), (5.0, 0.0), (0.0, 5.0), (-5.0, 0.0)]),
            4 => polygon(&[(0.0, 4.5), (4.5, -3.5), (-4.5, -3.5)]),
            5 => polygon(&[(-2.5, -4.5), (2.5, -4.5), (2.5, 4.5), (-2.5, 4.5)]),
            _ => {
                let [x, y] = [x, y].map(short);
                format!(
                    "<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"4\">{tooltip}</circle>"
                )
            }
        };
        self.add(format_args!("{shape}"));
    }

    /// A ring around a point of a series.
    pub fn ring(&mut self, series: usize, (x, y): (f64, f64)) {
        let ([x, y], class) = ([x, y].map(short), colour(series));
        self.add(format_args!("<circle class=\"ring {class}\" cx=\"{x}\" cy=\"{y}\" r=\"8\"/>"));
    }

    /// A line of text, cut where it would be wider than `room`; the tooltip then has all of it.
    pub fn text(&mut self, class: &str, (x, y): (f64, f64), anchor: Anchor, room: f64, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let most = ((room / LETTER) as usize).max(2);
        let is_cut = text.chars().count() > most;
        let (shown, tooltip) = match is_cut {
            true => {
                let kept: String = text.chars().take(most - 1).collect();
                (format!("{}\u{2026}", kept.trim_end()), title(text))
            }
            false => (text.to_owned(), String::new()),
        };
        let ([x, y], shown) = ([x, y].map(short), html(&shown));
        self.add(format_args!(
            "<text class=\"{class}\" x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{shown}{tooltip}</text>"
        ));
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        writeln!(self.body, "{element}").expect("a string takes every element");
    }
}

/// The class of a series: its colour.
pub fn colour(series: usize) -> String {
    format!("s{}", series % NUM_COLOURS)
}

/// The mark of a series: a colour that occurs again has another one.
pub fn mark(series: usize) -> usize {
    (series + series / NUM_COLOURS) % NUM_COLOURS
}

/// About as wide as a text is shown.
pub fn width_of(text: &str) -> f64 {
    text.chars().count() as f64 * LETTER
}

fn title(tooltip: &str) -> String {
    if tooltip.is_empty() { String::new() } else { format!("<title>{}</title>", html(tooltip)) }
}

fn joined(points: &[(f64, f64)]) -> String {
    let points = points.iter().map(|(x, y)| format!("{},{}", short(*x), short(*y)));
    points.collect::<Vec<_>>().join(" ")
}

/// A coordinate with at most two digits after the point.
fn short(number: f64) -> String {
    let shown = super::super::document::fixed(number, 2);
    shown.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_short_and_text_is_escaped() {
        let mut svg = Svg::default();
        svg.line("axis", (0.0, 1.5), (-0.001, 100.0));
        svg.text("label", (1.0, 2.0), Anchor::End, 500.0, "a<b");
        assert_eq!(
            svg.finish(10.0, "\"x\""),
            "<svg viewBox=\"0 0 420 10\" role=\"img\" aria-label=\"&quot;x&quot;\">\n\
             <line class=\"axis\" x1=\"0\" y1=\"1.5\" x2=\"0\" y2=\"100\"/>\n\
             <text class=\"label\" x=\"1\" y=\"2\" text-anchor=\"end\">a&lt;b</text>\n</svg>"
        );
    }

    #[test]
    fn text_that_is_too_long_is_cut_and_whole_in_its_tooltip() {
        let mut svg = Svg::default();
        svg.text("label", (0.0, 0.0), Anchor::Start, 38.0, "kitchen dining");
        let found = svg.finish(1.0, "");
        assert!(found.contains(">kitc\u{2026}<title>kitchen dining</title>"), "{found}");
    }
}
