//! Times and durations as a person reads them at a glance.

use std::time::Duration;

use crate::time::Timestamp;

/// A span of time in its two largest units: `4 s`, `3m 12s`, `2h 5m`, `3d 4h`.
pub(super) fn span(d: Duration) -> String {
    let secs = d.as_secs();
    match secs {
        0..60 => format!("{secs} s"),
        60..3_600 => format!("{}m {}s", secs / 60, secs % 60),
        3_600..86_400 => format!("{}h {}m", secs / 3_600, secs % 3_600 / 60),
        _ => format!("{}d {}h", secs / 86_400, secs % 86_400 / 3_600),
    }
}

/// A latency with three digits at most: `0.8 ms`, `67 ms`, `1.24 s`.
pub(super) fn latency(d: Duration) -> String {
    let ms = d.as_secs_f64() * 1e3;
    match ms {
        ..9.95 => format!("{ms:.1} ms"),
        ..999.5 => format!("{ms:.0} ms"),
        ..9_995.0 => format!("{:.2} s", ms / 1e3),
        _ => format!("{:.1} s", ms / 1e3),
    }
}

/// The same in milliseconds without the unit, for rows that share one.
pub(super) fn millis(d: Duration) -> String {
    let ms = d.as_secs_f64() * 1e3;
    if ms < 9.95 { format!("{ms:.1}") } else { format!("{ms:.0}") }
}

/// `03:04:05 UTC` on the day of `now`, otherwise with the date.
pub(super) fn clock(at: Timestamp, now: Timestamp) -> String {
    let (at, now) = (at.to_string(), now.to_string());
    match (at.split_once('T'), now.split_once('T')) {
        (Some((day, time)), Some((today, _))) => {
            let time = time.split_once('.').map_or(time, |(seconds, _)| seconds);
            if day == today { format!("{time} UTC") } else { format!("{day} {time} UTC") }
        }
        _ => at,
    }
}

/// `1 probe`, `2 probes`.
pub(super) fn count(n: usize, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units_at_most() {
        let secs = [0, 59, 60, 192, 7_500, 273_600];
        let texts = secs.map(|s| span(Duration::from_secs(s)));
        assert_eq!(texts, ["0 s", "59 s", "1m 0s", "3m 12s", "2h 5m", "3d 4h"]);
    }

    #[test]
    fn latencies_have_three_digits_at_most() {
        let micros = [800, 9_960, 67_400, 999_600, 1_238_000, 10_002_000];
        let texts = micros.map(|us| latency(Duration::from_micros(us)));
        assert_eq!(texts, ["0.8 ms", "10 ms", "67 ms", "1.00 s", "1.24 s", "10.0 s"]);
    }

    #[test]
    fn the_date_is_shown_only_when_it_is_not_today() {
        let now = Timestamp::from_secs(1_767_323_045);
        assert_eq!(clock(now.before(Duration::from_secs(5)), now), "03:04:00 UTC");
        assert_eq!(clock(now.before(Duration::from_secs(86_400)), now), "2026-01-01 03:04:05 UTC");
    }
}
