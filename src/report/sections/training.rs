//! How training went: the loss, and the score on the meta-dev domains.

use super::super::charts::curves::{Curve, Curves, Point, Shaded, Style};
use super::super::document::{Cell, DataTable, Figure, Section};
use super::super::run_record::{DevScore, NamedRun, Step};

use crate::eval::Estimate;
use crate::eval::metrics::mean;

/// Outer steps are put together until there are at most so many points.
const MOST_POINTS: usize = 50;
/// With more runs than these their bands would hide the lines.
const MOST_BANDS: usize = 3;

/// A chart of the losses, one of the losses of adaptations, and one of the scores; all runs in each.
pub fn section(runs: &[NamedRun]) -> Section {
    // The same for all runs, so that their lines are alike.
    let most_steps = runs.iter().map(|run| run.record.steps().len()).max().unwrap_or(0);
    let group = most_steps.div_ceil(MOST_POINTS).max(1);
    let shaded: Vec<Shaded> = runs.iter().flat_map(shaded).collect();
    let figure = |caption: &str, y_name: &str, curves: Vec<Curve>| {
        let chart = Curves {
            label: caption,
            names: ("outer step", y_name),
            curves,
            shaded: shaded.clone(),
            ..Curves::default()
        };
        chart.draw().map(|svg| Figure { caption: caption.to_owned(), svg })
    };
    let figures = [
        figure("Query loss", "loss", loss_curves(runs, group)),
        figure(
            "Score on the meta-dev domains",
            "macro F1",
            runs.iter().flat_map(dev_curves).collect(),
        ),
        figure(
            "Support loss",
            "loss",
            runs.iter().flat_map(|run| support_curves(run, group)).collect(),
        ),
    ];
    let mut text = "Losses are means over neighbouring steps, with the smallest and the largest as a band; dashed, the support \
                    loss before the last step of an adaptation. Scores have 95 % intervals, and dashed lines from before \
                    adapting; a ring marks the best."
        .to_owned();
    if !shaded.is_empty() {
        text += " The shading changes where the run was resumed.";
    }
    Section {
        id: "training".to_owned(),
        title: "Training".to_owned(),
        text,
        legend: runs.iter().map(|run| (run.series, run.name.clone())).collect(),
        figures: figures.into_iter().flatten().collect(),
        tables: vec![dev_table(runs), loss_table(runs, group)],
        ..Section::default()
    }
}

/// The parts of a run after it was resumed: every second one is shaded, so that their ends are seen.
fn shaded(run: &NamedRun) -> Vec<Shaded> {
    let starts = run.record.resumed_at();
    let ends = starts.iter().skip(1).copied().chain([run.record.last_step()]);
    let parts = starts.iter().zip(ends).step_by(2).filter(|(start, end)| **start < *end);
    let part = |(start, end): (&u64, u64)| Shaded {
        series: run.series,
        ends: (*start as f64, end as f64),
        tooltip: format!("{} resumed after step {start}", run.name),
    };
    parts.map(part).collect()
}

/// The means of `size` neighbouring values, with their least and largest.
fn grouped(run: &NamedRun, what: &str, values: &[(u64, f64)], size: usize) -> Vec<Point> {
    let point = |group: &[(u64, f64)]| {
        let losses: Vec<f64> = group.iter().map(|(_, loss)| *loss).collect();
        let (first, last) = (group[0].0, group[group.len() - 1].0);
        let steps = if first == last {
            format!("step {first}")
        } else {
            format!("steps {first} to {last}")
        };
        let loss = mean(&losses);
        let low = losses.iter().copied().fold(f64::INFINITY, f64::min);
        let high = losses.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Point {
            x: (first + last) as f64 / 2.0,
            y: loss,
            band: (size > 1).then_some((low, high)),
            tooltip: format!("{}, {steps}: {what} {loss:.3}", run.name),
            is_best: false,
        }
    };
    values.chunks(size).map(point).collect()
}

fn loss_curves(runs: &[NamedRun], group: usize) -> Vec<Curve> {
    let curve = |run: &NamedRun| {
        let steps = run.record.steps();
        let losses: Vec<(u64, f64)> = steps.iter().map(|it| (it.step, it.query_loss)).collect();
        let mut points = grouped(run, "query loss", &losses, group);
        if runs.len() > MOST_BANDS {
            points.iter_mut().for_each(|point| point.band = None);
        }
        Curve { series: run.series, style: Style::Plain, points }
    };
    runs.iter().map(curve).collect()
}

fn support_curves(run: &NamedRun, group: usize) -> [Curve; 2] {
    let steps = run.record.steps();
    let curve = |style, what, which: fn((f64, f64)) -> f64| {
        let loss = |step: &Step| Some((step.step, which(step.support_losses?)));
        let losses: Vec<(u64, f64)> = steps.iter().filter_map(loss).collect();
        let mut points = grouped(run, what, &losses, group);
        // Two bands of one run would hide each other.
        points.iter_mut().for_each(|point| point.band = None);
        Curve { series: run.series, style, points }
    };
    [
        curve(Style::Plain, "support loss before adapting", |(first, _)| first),
        curve(Style::Second, "support loss before the last step", |(_, last)| last),
    ]
}

fn dev_curves(run: &NamedRun) -> [Curve; 2] {
    let best = run.record.best().map(|best| best.step);
    let curve = |style, point: &dyn Fn(&DevScore) -> Point| {
        let points = run.record.dev_scores().iter().map(point).collect();
        Curve { series: run.series, style, points }
    };
    let before = |it: &DevScore| Point {
        x: it.step as f64,
        y: it.zero_step,
        band: None,
        tooltip: format!("{}, step {}: before adapting {:.3}", run.name, it.step, it.zero_step),
        is_best: false,
    };
    let after = |it: &DevScore| Point {
        x: it.step as f64,
        y: it.macro_f1,
        band: it.interval,
        tooltip: format!("{}, step {}: macro F1 {:.3}", run.name, it.step, it.macro_f1),
        is_best: best == Some(it.step),
    };
    [curve(Style::Level, &before), curve(Style::Marked, &after)]
}

fn dev_table(runs: &[NamedRun]) -> DataTable {
    let columns = ["run", "outer step", "accuracy", "macro F1", "macro F1 before adapting", "best"];
    let mut table = DataTable::new("", columns);
    for run in runs {
        let best = run.record.best().map(|best| best.step);
        for score in run.record.dev_scores() {
            let (low, high) = (score.interval.map(|it| it.0), score.interval.map(|it| it.1));
            let is_best = best == Some(score.step);
            table.rows.push(vec![
                Cell::text(&run.name),
                Cell::Count(score.step),
                Cell::Number(score.accuracy, 3),
                Cell::Score(Estimate { mean: score.macro_f1, low, high }),
                Cell::Number(score.zero_step, 3),
                if is_best { Cell::text("yes") } else { Cell::Absent },
            ]);
        }
    }
    table
}

fn loss_table(runs: &[NamedRun], group: usize) -> DataTable {
    let columns =
        ["run", "query loss", "support loss before adapting", "support loss before the last step"];
    let title = match group {
        1 => "Losses, step by step".to_owned(),
        _ => format!("Losses, each a mean of {group} steps"),
    };
    let mut table = DataTable::new(title, columns);
    for run in runs {
        let steps = run.record.steps();
        let losses = |of: fn(&Step) -> Option<f64>| {
            let losses: Vec<f64> = steps.iter().filter_map(of).collect();
            let means: Vec<f64> = losses.chunks(group).map(mean).collect();
            if means.is_empty() { Cell::Absent } else { Cell::Curve(means) }
        };
        if !steps.is_empty() {
            table.rows.push(vec![
                Cell::text(&run.name),
                losses(|step| Some(step.query_loss)),
                losses(|step| step.support_losses.map(|(first, _)| first)),
                losses(|step| step.support_losses.map(|(_, last)| last)),
            ]);
        }
    }
    table.without_empty_columns()
}
