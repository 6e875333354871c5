//! The two drawings of the status page, as inline SVG: no script, and nothing is said by colour alone.

use maud::{Markup, html};

use super::format;
use crate::observe::Sample;
use crate::outcome::{Outcome, Phase, Verdict};
use crate::time::Timestamp;

/// Cells of the strip; a target with fewer probes leaves the left side empty.
const CELLS: usize = 32;

/// The last probes, newest at the right: healthy ones are low bars, failures full ones, inconclusive ones hollow.
pub(super) fn strip(samples: &[Sample], now: Timestamp) -> Markup {
    let shown = samples.get(samples.len().saturating_sub(CELLS)..).unwrap_or(samples);
    let failed = shown.iter().filter(|s| s.reason.verdict() == Verdict::Failed).count();
    let label = format!("last {}: {failed} failed", format::count(shown.len(), "probe"));
    html! {
        svg class="strip" viewBox={ "0 0 " (CELLS * 6) " 20" } role="img" aria-label=(label) {
            line x1="0" y1="19.5" x2=(CELLS * 6) y2="19.5" {}
            @for (sample, cell) in shown.iter().zip(CELLS - shown.len()..) {
                (self::cell(sample, cell * 6, now))
            }
        }
    }
}

fn cell(sample: &Sample, x: usize, now: Timestamp) -> Markup {
    let at = format::clock(sample.started_at, now);
    let took = format::latency(sample.took());
    let (class, y, height, what) = match sample.reason.verdict() {
        Verdict::Healthy => ("good", 9, 10, "healthy"),
        Verdict::Failed => ("bad", 0, 19, sample.reason.as_str()),
        Verdict::Inconclusive => ("unknown", 9, 10, "inconclusive"),
    };
    html! {
        rect class=(class) x=(x) y=(y) width="5" height=(height) {
            title { (at) ": " (what) ", " (took) }
        }
    }
}

/// Where the time of one probe went: a bar of its phases, and the same in words.
pub(super) fn phases(outcome: &Outcome) -> Markup {
    let timed: Vec<_> = Phase::TIMED.into_iter().filter_map(|p| Some((p, outcome.timings.get(p)?))).collect();
    let total: f64 = timed.iter().map(|(_, took)| took.as_secs_f64()).sum();
    let mut x = 0.0;
    let bars: Vec<_> = timed
        .iter()
        .map(|(phase, took)| {
            let width = if total > 0.0 { took.as_secs_f64() / total * 100.0 } else { 0.0 };
            let bar = (phase, x, width, took);
            x += width;
            bar
        })
        .collect();
    html! {
        svg class="phases" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" {
            @for (phase, x, width, took) in bars {
                rect class=(phase.as_str()) x=(format!("{x:.2}")) y="0" width=(format!("{width:.2}")) height="4" {
                    title { (phase.as_str()) " " (format::latency(*took)) }
                }
            }
        }
        div.legend {
            @for (rank, (phase, took)) in timed.iter().enumerate() {
                span {
                    i class=(phase.as_str()) {} (phase.as_str()) " " (format::millis(*took))
                    @if rank + 1 == timed.len() { " ms" }
                }
                " "
            }
        }
    }
}
