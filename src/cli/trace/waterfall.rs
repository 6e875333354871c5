//! The waterfall: one bar per phase, all on one scale, and where it stopped.

use std::time::Duration;

use owo_colors::OwoColorize;

use super::super::output::millis;
use crate::outcome::timeline::Timeline;
use crate::outcome::{Outcome, Phase, Verdict};

/// Columns before the bars: indent, name, time, gaps.
const LABELS: usize = 2 + 8 + 1 + 8 + 2;
/// Columns behind the longest bar, for the mark of the phase that failed.
const MARK: usize = 2;

/// Draws the phases of a probe in lines of at most `width` columns.
pub fn draw(outcome: &Outcome, timeline: &Timeline, width: usize) -> String {
    let room = width.saturating_sub(LABELS + MARK).max(10);
    let total = outcome.timings.total;
    let end = millis(total);
    let scale = format!("0{end:>0$}", room - 1);
    let mut text = format!("  {:8} {:>8}  {}\n", "phase".dimmed(), "took".dimmed(), scale.dimmed());
    for phase in phases(outcome, timeline) {
        let failed = outcome.phase == Some(phase);
        let span = match phase {
            Phase::Total => Some((Duration::ZERO, total)),
            _ => span(phase, outcome, timeline),
        };
        let Some((start, took)) = span else {
            let (took, note) = if failed { ("", "✘".red().to_string()) } else { ("-", "not reached".dimmed().to_string()) };
            text += &format!("  {phase:8} {took:>8}  {note}\n");
            continue;
        };
        let bar = bar(start, took, total, room);
        let (bar, mark) = match (failed, outcome.verdict()) {
            (false, _) => (bar.green().to_string(), String::new()),
            (true, Verdict::Inconclusive) => (bar.yellow().to_string(), " ?".yellow().to_string()),
            (true, _) => (bar.red().to_string(), " ✘".red().to_string()),
        };
        text += &format!("  {phase:8} {:>8}  {bar}{mark}\n", millis(took));
    }
    text
}

/// The phases that ran, and those that would have come had it not stopped.
fn phases(outcome: &Outcome, timeline: &Timeline) -> Vec<Phase> {
    let healthy = outcome.verdict() == Verdict::Healthy;
    let shown = |phase: &Phase| {
        let stopped_before = !healthy && outcome.phase.is_some_and(|failed| failed < *phase);
        let applies = *phase != Phase::Tls || outcome.url.starts_with("wss:");
        span(*phase, outcome, timeline).is_some() || outcome.phase == Some(*phase) || (stopped_before && applies)
    };
    let whole = (outcome.phase == Some(Phase::Total)).then_some(Phase::Total);
    Phase::TIMED.into_iter().filter(shown).chain(whole).collect()
}

/// When a phase began and how long it took; up to the end of the probe, if it was still running.
fn span(phase: Phase, outcome: &Outcome, timeline: &Timeline) -> Option<(Duration, Duration)> {
    let (_, start) = timeline.phases.iter().rev().find(|(p, _)| *p == phase)?;
    let running = || timeline.phases.last().is_some_and(|(last, _)| *last == phase);
    let took = outcome.timings.get(phase).or_else(|| running().then(|| outcome.timings.total.saturating_sub(*start)))?;
    Some((*start, took))
}

/// A bar on a scale of `width` columns for `total`, drawn to an eighth of a column; never longer than the scale.
fn bar(start: Duration, took: Duration, total: Duration, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let share = |d: Duration| if total.is_zero() { 0.0 } else { (d.as_secs_f64() / total.as_secs_f64()).min(1.0) };
    let from = ((share(start) * width as f64) as usize).min(width.saturating_sub(1));
    let eighths = (share(took) * width as f64 * 8.0).round() as usize;
    let eighths = eighths.clamp(1, (width - from) * 8); // what took no time at all still happened
    format!("{}{}{}", " ".repeat(from), "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_drawn_to_scale() {
        let ms = Duration::from_millis;
        assert_eq!(bar(ms(0), ms(100), ms(100), 8), "████████");
        assert_eq!(bar(ms(50), ms(25), ms(100), 8), "    ██");
        assert_eq!(bar(ms(25), ms(30), ms(100), 8), "  ██▍");
        assert_eq!(bar(ms(95), ms(5), ms(100), 8), "       ▍");
        assert_eq!(bar(ms(0), ms(0), ms(100), 8), "▏", "what took no time at all still happened");
        assert_eq!(bar(ms(90), ms(900), ms(100), 8), "       █", "never beyond the scale");
        assert_eq!(bar(ms(0), ms(0), ms(0), 8), "▏");
    }
}
