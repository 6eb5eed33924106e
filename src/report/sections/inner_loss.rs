//! How the loss on the support set falls while a checkpoint adapts.

use super::super::charts::curves::{Curve, Curves, Point, Style};
use super::super::comparison::{Candidate, Comparison};
use super::super::document::{Cell, DataTable, Figure, Section};
use super::super::evaluation::ScoredRecord;
use super::words::{legend, size_in_words};
use crate::eval::metrics::mean;
use crate::eval::report::SupportSize;

/// A chart for each support size with which a candidate takes several steps.
pub fn section(comparison: &Comparison) -> Section {
    let mut table = DataTable::new("", ["support", "checkpoint", "loss before each step"]);
    let mut figures = Vec::new();
    for &size in &comparison.sizes {
        let scored = comparison.of_size(size);
        let losses = scored.map(|(candidate, scored)| (candidate, losses(scored)));
        let losses = losses.filter(|(_, losses)| losses.len() > 1);
        let losses: Vec<(&Candidate, Vec<f64>)> = losses.collect();
        for (candidate, losses) in &losses {
            table.rows.push(vec![
                Cell::text(size_in_words(size)),
                Cell::text(&candidate.name),
                Cell::Curve(losses.clone()),
            ]);
        }
        figures.extend(figure(size, &losses));
    }
    Section {
        id: "inner-loss".to_owned(),
        title: "Inner loss".to_owned(),
        text: "The loss on the minibatch of each inner step before it is taken, the mean over domains and draws.".to_owned(),
        legend: legend(comparison),
        figures,
        tables: vec![table],
        ..Section::default()
    }
}

fn figure(size: SupportSize, losses: &[(&Candidate, Vec<f64>)]) -> Option<Figure> {
    let curve = |(candidate, losses): &(&Candidate, Vec<f64>)| {
        let point = |(step, loss): (u32, &f64)| Point {
            x: f64::from(step),
            y: *loss,
            band: None,
            tooltip: format!("{}, step {step}: {loss:.3}", candidate.name),
            is_best: false,
        };
        let points: Vec<Point> = (1..).zip(losses).map(point).collect();
        let style = if points.len() > 30 { Style::Plain } else { Style::Marked };
        Curve { series: candidate.series, style, points }
    };
    let caption = format!("Adapting to {}", size_in_words(size));
    let label = format!("Inner loss: {caption}");
    let chart = Curves {
        label: &label,
        names: ("inner step", "loss"),
        curves: losses.iter().map(curve).collect(),
        ..Curves::default()
    };
    chart.draw().map(|svg| Figure { caption, svg })
}

/// The mean over the domains, for the steps that all of them take.
fn losses(scored: &ScoredRecord) -> Vec<f64> {
    let domains: Vec<&Vec<f64>> =
        scored.domains.iter().map(|result| &result.of_domain.inner_losses).collect();
    let num_steps = domains.iter().map(|losses| losses.len()).min().unwrap_or(0);
    let at = |step: usize| mean(&domains.iter().map(|losses| losses[step]).collect::<Vec<_>>());
    (0..num_steps).map(at).filter(|loss| loss.is_finite()).collect()
}
