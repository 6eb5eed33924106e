//! How the training loss falls while a checkpoint adapts.

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
        text: "The training loss of each inner step's minibatch, with dropout and weighted by label: the mean over domains \
               and draws."
            .to_owned(),
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

/// The mean over the domains, for the steps that all of them take, up to the first loss that is not finite.
fn losses(scored: &ScoredRecord) -> Vec<f64> {
    let domains: Vec<&Vec<Option<f64>>> =
        scored.domains.iter().map(|result| &result.of_domain.inner_losses).collect();
    let num_steps = domains.iter().map(|losses| losses.len()).min().unwrap_or(0);
    let at = |step: usize| {
        let of_domains: Option<Vec<f64>> = domains.iter().map(|losses| losses[step]).collect();
        of_domains.map(|losses| mean(&losses)).filter(|loss| loss.is_finite())
    };
    (0..num_steps).map_while(at).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::evaluation::EvaluationRecord;
    use super::super::super::evaluation::tests::result;
    use super::*;

    #[test]
    fn losses_end_before_the_first_that_is_not_finite() {
        let of_domain = |domain: &str, losses: &str| {
            let more = format!(r#", "confusion": [[1]], "inner_losses": {losses}"#);
            result("a", domain, 8, 0.5, &more)
        };
        let results = [
            of_domain("boots", "[0.5, 0.75, 0.25, 1]"),
            of_domain("kettles", "[1.5, 0.25, null, 1]"),
            result("a", "all", 8, 0.5, ""),
        ];
        let json = format!(r#"{{"results": [{}]}}"#, results.join(","));
        let read = EvaluationRecord::parse("e.json", json.as_bytes()).unwrap();
        assert_eq!(losses(&read.candidates[0].scored[0]), [1.0, 0.5]);
    }
}
