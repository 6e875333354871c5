//! What a rule saw, in numbers, and as a sentence for whoever is woken by it.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::outcome::Phase;
use crate::time::Timestamp;

/// The numbers behind an alert. Small: the sentence is made when someone reads it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Finding {
    Run {
        failures: u32,
    },
    Ratio {
        bad: usize,
        total: usize,
        over: Duration,
        counted: Counted,
    },
    Latency {
        phase: Phase,
        quantile: f64,
        value: Duration,
        limit: Duration,
        over: Duration,
    },
    Certificate {
        not_after: Timestamp,
    },
    /// `websocket`: whether the last probe beside it was healthy, where there was one.
    SelfRedirect {
        url: Arc<str>,
        status: u16,
        websocket: Option<bool>,
    },
    Session {
        lasted: Duration,
        limit: Duration,
    },
    Burn {
        objective: f64,
        long: Share,
        short: Share,
    },
    /// `said`: the detail of the last inconclusive probe.
    Blind {
        lasted: Duration,
        inconclusive: u32,
        said: Option<String>,
    },
}

/// How many of the probes of a window failed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Share {
    pub bad: usize,
    pub total: usize,
    pub over: Duration,
}

impl Share {
    fn ratio(self) -> f64 {
        self.bad as f64 / self.total.max(1) as f64
    }
}

/// Error budgets are mostly those of 30 days.
const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// What a ratio counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Counted {
    Failed,
    Redirected,
}

impl Counted {
    const fn verb(self) -> &'static str {
        match self {
            Counted::Failed => "failed",
            Counted::Redirected => "redirected",
        }
    }
}

impl Finding {
    /// The sentence while it is so.
    pub fn present(&self, now: Timestamp) -> String {
        match *self {
            Finding::Latency { phase, quantile, value, limit, over } => format!(
                "{} of {phase} is {} over the last {}, limit {}",
                percentile(quantile),
                spell(value),
                spell(over),
                spell(limit)
            ),
            Finding::Ratio { over, .. } => format!("{} in the last {}", self.counted(), spell(over)),
            Finding::Certificate { not_after } => {
                let (left, gone) = (whole_seconds(not_after.since(now)), whole_seconds(now.since(not_after)));
                let when = rfc3339(not_after);
                match (left.is_zero(), gone.is_zero()) {
                    (true, true) => format!("certificate expires just now ({when})"),
                    (true, false) => format!("certificate expired {} ago ({when})", spell(gone)),
                    (false, _) => format!("certificate expires in {} ({when})", spell(left)),
                }
            }
            Finding::SelfRedirect { ref url, status, websocket } => {
                let beside = match websocket {
                    Some(true) => " while the WebSocket is healthy",
                    Some(false) => ", and the WebSocket fails, too",
                    None => "",
                };
                let pages = if url.starts_with("https:") { "HTTPS page" } else { "page" };
                format!("{url} redirects to itself ({status}){beside}: most likely every {pages} loops")
            }
            Finding::Burn { objective, long, short } => {
                let budget = 1.0 - objective;
                let factor = long.ratio() / budget;
                format!(
                    "budget burns {}x too fast: {} of the probes failed over the last {}, {} over {}; at this rate a 30-day budget \
                     is gone in {}",
                    trimmed(factor, if factor < 10.0 { 1 } else { 0 }),
                    percent(long.ratio()),
                    spell(long.over),
                    percent(short.ratio()),
                    spell(short.over),
                    until_gone(MONTH.as_secs_f64() / factor.max(f64::MIN_POSITIVE))
                )
            }
            Finding::Blind { lasted, inconclusive, ref said } => {
                let (probes, look_at) = match inconclusive {
                    0 => ("no probe has ended".to_owned(), "log of wsprobe itself"),
                    1 => ("the last probe was inconclusive".to_owned(), "network of the host that wsprobe runs on"),
                    n => (format!("the last {n} probes were inconclusive"), "network of the host that wsprobe runs on"),
                };
                let said = said.as_deref().map(|said| format!(": {said}")).unwrap_or_default();
                let lasted = spell(whole_seconds(lasted));
                format!("no verdict for {lasted}: {probes}{said}. Look at the {look_at}: the target may be well")
            }
            Finding::Run { .. } | Finding::Session { .. } => self.counted(),
        }
    }

    /// The sentence once it is over.
    pub fn past(&self) -> String {
        match *self {
            Finding::Latency { phase, quantile, value, limit, over } => {
                format!("{} of {phase} was {} over {}, limit {}", percentile(quantile), spell(value), spell(over), spell(limit))
            }
            Finding::Ratio { over, .. } => format!("{} within {}", self.counted(), spell(over)),
            Finding::Certificate { not_after } => format!("certificate was to expire at {}", rfc3339(not_after)),
            Finding::SelfRedirect { ref url, status, .. } => format!("{url} redirected to itself ({status})"),
            Finding::Burn { objective, long, short } => {
                let factor = long.ratio() / (1.0 - objective);
                format!(
                    "budget burned {}x too fast: {} of the probes failed within {}, {} within {}",
                    trimmed(factor, if factor < 10.0 { 1 } else { 0 }),
                    percent(long.ratio()),
                    spell(long.over),
                    percent(short.ratio()),
                    spell(short.over)
                )
            }
            Finding::Blind { lasted, .. } => format!("there was no verdict for {} and longer", spell(whole_seconds(lasted))),
            Finding::Run { .. } | Finding::Session { .. } => self.counted(),
        }
    }

    fn counted(&self) -> String {
        match *self {
            Finding::Run { failures: 1 } => "1 probe failed".to_owned(),
            Finding::Run { failures } => format!("{failures} probes in a row failed"),
            Finding::Ratio { bad, total, counted, .. } => {
                let (probes, verb) = (if total == 1 { "probe" } else { "probes" }, counted.verb());
                format!("{bad} of {total} {probes} ({}) {verb}", percent(bad as f64 / total.max(1) as f64))
            }
            Finding::Session { lasted, limit } => format!("a connection was cut after {}, limit {}", spell(lasted), spell(limit)),
            _ => String::new(),
        }
    }
}

const fn whole_seconds(d: Duration) -> Duration {
    Duration::from_secs(d.as_secs())
}

fn rfc3339(t: Timestamp) -> String {
    let nanos = u64::try_from(t.as_nanos()).unwrap_or(0);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_nanos(nanos)).to_string()
}

/// `p95`, `p99.9`.
fn percentile(quantile: f64) -> String {
    format!("p{}", trimmed(quantile * 100.0, 3))
}

/// `20%`, `5.3%`, `0.04%`.
fn percent(ratio: f64) -> String {
    format!("{}%", trimmed(ratio * 100.0, if ratio < 0.01 { 2 } else { 1 }))
}

/// At most so many decimals, without trailing zeros.
fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// `43m`, `31h`, `10d`: a rough time, in the one unit that says enough.
fn until_gone(secs: f64) -> String {
    match secs {
        0.0..3_600.0 => format!("{:.0}m", (secs / 60.0).max(1.0)),
        3_600.0..259_200.0 => format!("{:.0}h", secs / 3_600.0),
        _ => format!("{:.0}d", secs / 86_400.0),
    }
}

/// A duration as people say it: `800ms`, `1.24s`, `5m`, `1m 30s`, `6d 4h`. From a minute on the two largest units, cut off.
pub(super) fn spell(d: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let secs = d.as_secs();
    if secs == 0 {
        return format!("{}ms", trimmed(d.as_secs_f64() * 1e3, 1));
    }
    if secs < 60 {
        return format!("{}s", trimmed(d.as_secs_f64(), 3));
    }
    let mut text = String::new();
    let largest = UNITS.iter().position(|(unit, _)| secs >= *unit).unwrap_or(0);
    let mut rest = secs;
    for (unit, name) in UNITS.iter().skip(largest).take(2) {
        let (count, left) = (rest / unit, rest % unit);
        rest = left;
        if count > 0 {
            let gap = if text.is_empty() { "" } else { " " };
            let _ = write!(text, "{gap}{count}{name}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_spelled_as_people_say_them() {
        let table = [
            (Duration::ZERO, "0ms"),
            (Duration::from_micros(400), "0.4ms"),
            (Duration::from_millis(800), "800ms"),
            (Duration::from_millis(1240), "1.24s"),
            (Duration::from_secs(59), "59s"),
            (Duration::from_secs(60), "1m"),
            (Duration::from_secs(90), "1m 30s"),
            (Duration::from_secs(3_601), "1h"),
            (Duration::from_secs(14 * 86_400), "14d"),
            (Duration::from_secs(6 * 86_400 + 4 * 3_600 + 59), "6d 4h"),
            (Duration::from_secs(400 * 86_400), "400d"),
        ];
        for (d, text) in table {
            assert_eq!(spell(d), text);
        }
    }

    #[test]
    fn every_finding_reads_as_a_sentence_while_it_is_so_and_once_it_is_over() {
        let (secs, mins) = (Duration::from_secs, |m: u64| Duration::from_secs(m * 60));
        let now = Timestamp::from_secs(1_798_761_600); // 2027-01-01
        let later = now + secs(6 * 86_400 + 4 * 3_600);
        let loops = |url: &str, websocket| Finding::SelfRedirect { url: url.into(), status: 301, websocket };
        let table = [
            (
                loops("https://api.example.com/", Some(true)),
                "https://api.example.com/ redirects to itself (301) while the WebSocket is healthy: most likely every HTTPS page loops",
                "https://api.example.com/ redirected to itself (301)",
            ),
            (
                loops("https://api.example.com/", Some(false)),
                "https://api.example.com/ redirects to itself (301), and the WebSocket fails, too: most likely every HTTPS page loops",
                "https://api.example.com/ redirected to itself (301)",
            ),
            (
                loops("http://10.0.0.1/", None),
                "http://10.0.0.1/ redirects to itself (301): most likely every page loops",
                "http://10.0.0.1/ redirected to itself (301)",
            ),
            (Finding::Run { failures: 1 }, "1 probe failed", "1 probe failed"),
            (Finding::Run { failures: 3 }, "3 probes in a row failed", "3 probes in a row failed"),
            (
                Finding::Ratio { bad: 2, total: 10, over: mins(5), counted: Counted::Redirected },
                "2 of 10 probes (20%) redirected in the last 5m",
                "2 of 10 probes (20%) redirected within 5m",
            ),
            (
                Finding::Ratio { bad: 1, total: 19, over: mins(30), counted: Counted::Failed },
                "1 of 19 probes (5.3%) failed in the last 30m",
                "1 of 19 probes (5.3%) failed within 30m",
            ),
            (
                Finding::Latency {
                    phase: Phase::Total,
                    quantile: 0.95,
                    value: Duration::from_millis(1240),
                    limit: Duration::from_millis(800),
                    over: mins(10),
                },
                "p95 of total is 1.24s over the last 10m, limit 800ms",
                "p95 of total was 1.24s over 10m, limit 800ms",
            ),
            (
                Finding::Session { lasted: Duration::from_millis(1_020), limit: secs(60) },
                "a connection was cut after 1.02s, limit 1m",
                "a connection was cut after 1.02s, limit 1m",
            ),
            (
                Finding::Burn {
                    objective: 0.999,
                    long: Share { bad: 6, total: 260, over: mins(60) },
                    short: Share { bad: 2, total: 50, over: mins(5) },
                },
                "budget burns 23x too fast: 2.3% of the probes failed over the last 1h, 4% over 5m; at this rate a 30-day budget is gone \
                 in 31h",
                "budget burned 23x too fast: 2.3% of the probes failed within 1h, 4% within 5m",
            ),
            (
                Finding::Blind { lasted: mins(10), inconclusive: 20, said: Some("this host is offline".to_owned()) },
                "no verdict for 10m: the last 20 probes were inconclusive: this host is offline. Look at the network of the host that \
                 wsprobe runs on: the target may be well",
                "there was no verdict for 10m and longer",
            ),
            (
                Finding::Blind { lasted: mins(10), inconclusive: 0, said: None },
                "no verdict for 10m: no probe has ended. Look at the log of wsprobe itself: the target may be well",
                "there was no verdict for 10m and longer",
            ),
            (
                Finding::Certificate { not_after: later },
                "certificate expires in 6d 4h (2027-01-07T04:00:00Z)",
                "certificate was to expire at 2027-01-07T04:00:00Z",
            ),
            (
                Finding::Certificate { not_after: now.before(secs(3 * 3_600)) },
                "certificate expired 3h ago (2026-12-31T21:00:00Z)",
                "certificate was to expire at 2026-12-31T21:00:00Z",
            ),
        ];
        for (finding, present, past) in table {
            assert_eq!(finding.present(now), present);
            assert_eq!(finding.past(), past);
        }
    }

    #[test]
    fn percentiles_and_small_ratios_keep_their_digits() {
        assert_eq!(percentile(0.5), "p50");
        assert_eq!(percentile(0.999), "p99.9");
        assert_eq!(percent(0.0004), "0.04%");
        assert_eq!(percent(1.0), "100%");
        assert_eq!(percent(0.1), "10%");
    }
}
