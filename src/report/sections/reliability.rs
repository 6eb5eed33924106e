//! Whether answers are right as often as their probability says.

use super::super::charts::curves::{Axes, Curve, Curves, Point, Style};
use super::super::comparison::Comparison;
use super::super::document::{Cell, DataTable, Figure, Section};
use super::super::evaluation::{DomainRecord, ScoredRecord};
use super::words::{legend, size_in_words};
use crate::eval::outcome::Reliability;
use crate::eval::report::SupportSize;

/// Intervals of confidence that results are sorted into.
const NUM_BINS: f64 = 15.0;

/// A diagram for each support size.
pub fn section(comparison: &Comparison) -> Section {
    let mut table = DataTable::new(
        "",
        ["support", "checkpoint", "adapting", "texts", "confidence", "share of right answers"],
    );
    let mut figures = Vec::new();
    for &size in &comparison.sizes {
        let curves = curves(comparison, size, &mut table);
        let caption = format!("Answers with {}", size_in_words(size));
        let label = format!("Reliability diagram: {caption}");
        let chart = Curves {
            label: &label,
            names: ("confidence", "share of right answers"),
            curves,
            axes: Axes::Shares,
            ..Curves::default()
        };
        figures.extend(chart.draw().map(|svg| Figure { caption, svg }));
    }
    Section {
        id: "reliability".to_owned(),
        title: "Reliability".to_owned(),
        text: "Answers of all domains and draws by their confidence. On the diagonal an answer is right as often as it says; \
               below it, it promises too much. Dashed lines are from before adapting."
            .to_owned(),
        legend: legend(comparison),
        figures,
        tables: vec![table],
        ..Section::default()
    }
}

fn curves(comparison: &Comparison, size: SupportSize, table: &mut DataTable) -> Vec<Curve> {
    let mut curves = Vec::new();
    for (candidate, scored) in comparison.of_size(size) {
        let curve = |bins: &[Reliability], style| {
            let point = |bin: &Reliability| Point {
                x: bin.confidence,
                y: bin.accuracy,
                band: None,
                tooltip: format!(
                    "{}: {:.3} right at a confidence of {:.3}, {} texts",
                    candidate.name, bin.accuracy, bin.confidence, bin.texts
                ),
                is_best: false,
            };
            let points = bins.iter().map(point).collect();
            Curve { series: candidate.series, style, points }
        };
        let before = pooled(scored, |it| &it.zero_step_reliability);
        let after = pooled(scored, |it| &it.reliability);
        curves.push(curve(&before, Style::Level));
        curves.push(curve(&after, Style::Marked));
        let before = before.into_iter().map(|bin| ("before", bin));
        for (when, bin) in before.chain(after.into_iter().map(|bin| ("after", bin))) {
            table.rows.push(vec![
                Cell::text(size_in_words(size)),
                Cell::text(&candidate.name),
                Cell::text(when),
                Cell::Count(bin.texts),
                Cell::Number(bin.confidence, 3),
                Cell::Number(bin.accuracy, 3),
            ]);
        }
    }
    curves
}

/// The intervals of all domains together.
fn pooled(scored: &ScoredRecord, of: fn(&DomainRecord) -> &Vec<Reliability>) -> Vec<Reliability> {
    let mut bins = [(0, 0.0, 0.0); NUM_BINS as usize];
    for bin in scored.domains.iter().flat_map(|result| of(&result.of_domain)) {
        // As intervals include their upper ends.
        let place = ((bin.confidence * NUM_BINS).ceil() as usize).saturating_sub(1);
        let (texts, confidence, right) = &mut bins[place.min(NUM_BINS as usize - 1)];
        *texts += bin.texts;
        *confidence += bin.texts as f64 * bin.confidence;
        *right += bin.texts as f64 * bin.accuracy;
    }
    let used = bins.into_iter().filter(|(texts, ..)| *texts > 0);
    let mean = |(texts, confidence, right): (u64, f64, f64)| Reliability {
        texts,
        confidence: confidence / texts as f64,
        accuracy: right / texts as f64,
    };
    used.map(mean).collect()
}
