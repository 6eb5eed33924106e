//! How the score grows with the number of support texts.

use super::super::charts::curves::{Axes, Curve, Curves, Point, Style};
use super::super::comparison::{Candidate, Comparison};
use super::super::document::{Cell, Figure, Section};
use super::super::evaluation::ScoredRecord;
use super::words::{as_number, interval, legend, size_in_words};
use crate::eval::Estimate;
use crate::eval::report::SupportSize;

/// A score of a result: its name, after adapting, before adapting.
type Score = (&'static str, fn(&ScoredRecord) -> Estimate, fn(&ScoredRecord) -> Option<Estimate>);

const SCORES: [Score; 2] = [
    ("macro F1", |it| it.overall.macro_f1, |it| it.overall.zero_step_macro_f1),
    ("accuracy", |it| it.overall.accuracy, |it| it.overall.zero_step_accuracy),
];

/// With more candidates than these their bands would hide the lines.
const MOST_BANDS: usize = 5;

/// A line for each candidate, where there are several sizes. The numbers are those of the scores.
pub fn section(comparison: &Comparison) -> Section {
    let has_bands = comparison.candidates.len() <= MOST_BANDS;
    let mut figures = Vec::new();
    for is_per_label in [false, true] {
        let sizes = comparison.sizes.iter().copied();
        let sizes: Vec<SupportSize> =
            sizes.filter(|size| size.per_label().is_some() == is_per_label).collect();
        if sizes.len() < 2 || sizes.iter().any(|size| as_number(*size) == 0.0) {
            continue;
        }
        let axis = if is_per_label { "support texts of each label" } else { "support texts" };
        for score in SCORES {
            let caption = format!("By {axis}: {}", score.0);
            let mut curves: Vec<Curve> =
                comparison.candidates.iter().flat_map(|it| curves(it, &sizes, score)).collect();
            if !has_bands {
                let points = curves.iter_mut().flat_map(|curve| &mut curve.points);
                points.for_each(|point| point.band = None);
            }
            let floor = floor(comparison, &sizes, score);
            let chart = Curves {
                label: &caption,
                names: (axis, score.0),
                curves: floor.into_iter().chain(curves).collect(),
                axes: Axes::LogX,
                ..Curves::default()
            };
            figures.extend(chart.draw().map(|svg| Figure { caption: caption.clone(), svg }));
        }
    }
    Section {
        id: "support-size".to_owned(),
        title: "Score by number of support texts".to_owned(),
        text: format!(
            "Lines are scores after adapting{}; dashed ones those before adapting. The dotted line is the majority label.",
            if has_bands { ", with 95 % intervals over domains and draws" } else { "" }
        ),
        legend: legend(comparison),
        figures,
        ..Section::default()
    }
}

/// The line of a candidate after adapting, and the one before.
fn curves(candidate: &Candidate, sizes: &[SupportSize], score: Score) -> Vec<Curve> {
    let (name, adapted, before) = score;
    let scored = || sizes.iter().filter_map(|size| candidate.record.of_size(*size));
    let point = |scored: &ScoredRecord, estimate: Estimate, words: &str| Point {
        x: as_number(scored.size),
        y: estimate.mean,
        band: (words.is_empty()).then(|| interval(&estimate)).flatten(),
        tooltip: format!(
            "{}, {}: {name}{words} {}",
            candidate.name,
            size_in_words(scored.size),
            Cell::Score(estimate).shown()
        ),
        is_best: false,
    };
    let lines = [
        (
            Style::Level,
            scored().filter_map(|it| Some(point(it, before(it)?, " before adapting"))).collect(),
        ),
        (Style::Marked, scored().map(|it| point(it, adapted(it), "")).collect::<Vec<_>>()),
    ];
    lines.map(|(style, points)| Curve { series: candidate.series, style, points }).into()
}

/// The majority answer; `None` where none of the sizes has one.
fn floor(comparison: &Comparison, sizes: &[SupportSize], score: Score) -> Option<Curve> {
    let (name, adapted, _) = score;
    let point = |scored: &ScoredRecord| Point {
        x: as_number(scored.size),
        y: adapted(scored).mean,
        band: None,
        tooltip: format!("majority label: {name} {:.3}", adapted(scored).mean),
        is_best: false,
    };
    let points: Vec<Point> =
        sizes.iter().filter_map(|size| comparison.majority(*size)).map(point).collect();
    (points.len() > 1).then_some(Curve { series: 0, style: Style::Floor, points })
}
