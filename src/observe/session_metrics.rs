//! What held connections of a target add up to, and the families that show it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use prometheus::proto::MetricType::COUNTER;

use super::exposition::{EncodeError, Writer, counter, label};
use super::histogram::{Histogram, PHASE, SESSION};
use super::metrics::name_label;
use super::target_metrics::TargetMetrics;
use crate::outcome::SessionEnd;

/// What held connections add up to.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    lasted: Histogram<12>,
    rtt: Histogram<11>,
    /// By what ended them; only cuts are shown.
    ends: [AtomicU64; SessionEnd::ALL.len()],
}

impl Sessions {
    /// A ping was answered.
    pub fn pong(&self, rtt: Duration) {
        self.rtt.observe(&PHASE, rtt);
    }

    /// A connection ended.
    pub fn ended(&self, by: SessionEnd, lasted: Duration) {
        self.lasted.observe(&SESSION, lasted);
        if let Some(count) = self.ends.get(by as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    fn cuts(&self) -> impl Iterator<Item = (SessionEnd, u64)> {
        let all = SessionEnd::ALL.iter().zip(&self.ends);
        all.filter(|(end, _)| end.is_cut()).map(|(&end, count)| (end, count.load(Relaxed)))
    }
}

/// Writes the families of the targets that are held.
pub(super) fn encode(targets: &[Arc<TargetMetrics>], w: &mut Writer<'_>) -> Result<(), EncodeError> {
    let sessions = || targets.iter().filter_map(|t| Some((t, t.sessions()?)));
    w.histograms(
        "wsprobe_session_duration_seconds",
        "How long held connections lasted that ended: cut, or closed by us when their time was over, in seconds.",
        &SESSION,
        sessions().map(|(t, s)| (format!("target=\"{}\",", t.target().name), &s.lasted)),
    )?;
    w.family(
        COUNTER,
        "wsprobe_sessions_cut_total",
        "Held connections that ended before their time, by cause: close_code, abnormal, ping_timeout, refused.",
        sessions()
            .flat_map(|(t, s)| s.cuts().map(|(end, count)| counter(vec![name_label(t), label("cause", end.as_str())], count))),
    )?;
    w.histograms(
        "wsprobe_session_ping_rtt_seconds",
        "Time from a ping on a held connection to its pong, in seconds.",
        &PHASE,
        sessions().map(|(t, s)| (format!("target=\"{}\",", t.target().name), &s.rtt)),
    )
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{config, name, outcome, shows, target, value};
    use super::super::metrics::Metrics;
    use crate::config::Hold;
    use crate::outcome::{Outcome, Reason, SessionEnd, SessionEvidence};
    use crate::time::Timestamp;
    use std::time::Duration;

    #[test]
    fn held_connections_are_counted_by_what_ended_them_and_not_as_the_time_of_a_probe() {
        let mut feed = target("prod", "ws://prod.example/");
        feed.hold = Some(Hold { time: Duration::from_secs(600), ping_every: Duration::from_secs(20) });
        let metrics = Metrics::new(&config(vec![feed]), "1");
        let handle = metrics.target(&name("prod")).unwrap();
        let cut = |by| format!(r#"wsprobe_sessions_cut_total{{target="prod",cause="{by}"}}"#);
        shows(&metrics, &cut("abnormal"), "0");
        shows(&metrics, r#"wsprobe_probe_failures_total{target="prod",reason="session_cut"}"#, "0");

        handle.record(&outcome("prod", 1, Reason::Ok));
        handle.pong(Timestamp::from_secs(21), Duration::from_millis(3));
        shows(&metrics, r#"wsprobe_session_ping_rtt_seconds_bucket{target="prod",le="0.005"}"#, "1");
        shows(&metrics, r#"wsprobe_last_probe_timestamp_seconds{target="prod"}"#, "21");
        shows(&metrics, r#"wsprobe_last_success_timestamp_seconds{target="prod"}"#, "21");

        handle.record(&cut_after(60, SessionEnd::Abnormal));
        shows(&metrics, &cut("abnormal"), "1");
        shows(&metrics, r#"wsprobe_session_duration_seconds_bucket{target="prod",le="61"}"#, "1");
        shows(&metrics, r#"wsprobe_probe_duration_seconds_count{target="prod"}"#, "1");
        shows(&metrics, r#"wsprobe_phase_duration_seconds_count{target="prod",phase="connect"}"#, "1");
        shows(&metrics, r#"wsprobe_up{target="prod"}"#, "0");
        shows(&metrics, r#"wsprobe_probes_total{target="prod"}"#, "2");

        handle.session_completed(Timestamp::from_secs(700), Duration::from_secs(600));
        handle.record(&cut_after(600, SessionEnd::OurEnd));
        shows(&metrics, r#"wsprobe_session_duration_seconds_count{target="prod"}"#, "3");
        assert_eq!(value(&metrics, &cut("our_end")), None, "our own end is never a cut");
    }

    fn cut_after(lasted: u64, ended_by: SessionEnd) -> Outcome {
        let session = SessionEvidence::ended_after(Duration::from_secs(lasted), ended_by);
        Outcome { session: Some(session), ..outcome("prod", 61, Reason::SessionCut) }
    }

    #[test]
    fn only_held_targets_have_series_of_sessions() {
        let metrics = Metrics::new(&config(vec![target("prod", "ws://prod.example/")]), "1");
        let handle = metrics.target(&name("prod")).unwrap();
        handle.pong(Timestamp::from_secs(1), Duration::from_millis(1));
        assert!(!metrics.encode(Timestamp::EPOCH).unwrap().contains("wsprobe_session"));
    }
}
