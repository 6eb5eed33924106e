//! Bars that are made of parts, one a row.

use super::axis::{Scale, draw_x_axis};
use super::svg::{Anchor, Svg, WIDTH, width_of};

const TOP: f64 = 8.0;
const RIGHT: f64 = WIDTH - 12.0;
const STEP: f64 = 30.0;
const THICKNESS: f64 = 18.0;
const MOST_NAME: f64 = 150.0;

/// A chart of bars.
#[derive(Debug, Default)]
pub struct Bars<'a> {
    /// What it shows, for those who do not see it.
    pub label: &'a str,
    /// The name of the axis.
    pub name: &'a str,
    /// The bars from top to bottom, each with its name.
    pub bars: Vec<(String, Vec<Part>)>,
}

/// A part of a bar.
#[derive(Clone, Debug)]
pub struct Part {
    /// The kind, which decides about its colour.
    pub kind: usize,
    /// Its length.
    pub length: f64,
    /// What it is.
    pub tooltip: String,
}

impl Bars<'_> {
    /// The chart; `None` without a part.
    pub fn draw(self) -> Option<String> {
        self.bars.iter().flat_map(|(_, parts)| parts).next()?;
        let names = self.bars.iter().map(|(name, _)| width_of(name)).fold(40.0, f64::max);
        let left = names.min(MOST_NAME) + 16.0;
        let lengths = self.bars.iter().map(|(_, parts)| parts.iter().map(|it| it.length).sum());
        let x = Scale::from_zero(lengths, (left, RIGHT));
        let bottom = TOP + STEP * self.bars.len() as f64;
        let mut svg = Svg::default();
        draw_x_axis(&mut svg, &x, (TOP, bottom), self.name);
        for (place, (name, parts)) in (0..).zip(&self.bars) {
            let y = TOP + STEP * f64::from(place) + (STEP - THICKNESS) / 2.0;
            svg.text("row", (left - 10.0, y + 13.0), Anchor::End, left - 10.0, name);
            let mut from = 0.0;
            for Part { kind, length, tooltip } in parts {
                let size = (x.at(from + length) - x.at(from), THICKNESS);
                svg.rectangle(
                    &format!("bar {}", kind_class(*kind)),
                    (x.at(from), y),
                    size,
                    tooltip,
                );
                from += length;
            }
        }
        Some(svg.finish(bottom + 42.0, self.label))
    }
}

/// The class of a kind of part: its colour.
pub fn kind_class(kind: usize) -> String {
    format!("k{}", kind % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other() {
        let part = |kind, length| Part { kind, length, tooltip: String::new() };
        let bars = vec![("a".to_owned(), vec![part(0, 1.0), part(1, 3.0)])];
        let chart = Bars { bars, ..Bars::default() }.draw().unwrap();
        let number = |text: &str| text.split('"').next().unwrap().parse::<f64>().unwrap();
        let found = |name: &str| -> Vec<f64> {
            let rects = chart.split("<rect").skip(1);
            rects.map(|rect| number(rect.split(&format!(" {name}=\"")).nth(1).unwrap())).collect()
        };
        let (x, width) = (found("x"), found("width"));
        assert!((x[0] + width[0] - x[1]).abs() < 0.02, "{x:?} {width:?}");
        assert!((width[1] - 3.0 * width[0]).abs() < 0.05, "{width:?}");
        assert_eq!(Bars::default().draw(), None);
    }
}
