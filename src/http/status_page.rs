//! The status page: the truth in its first line, then what fails and what to do, then the rest.
//!
//! Made for the engineer who was paged and opens it on a phone. Rendered here, complete without script; what is not known is
//! said to be unknown. Everything that came from a peer is escaped by maud.

use std::cmp::Reverse;
use std::time::Duration;

use maud::{Markup, html};

use super::layout::{Frame, Mark, REFRESH, document};
use super::{AlertRow, AlertRowState, AppState, format, graphics, history};
use crate::config::{Severity, Target};
use crate::observe::TargetSnapshot;
use crate::outcome::{Outcome, Verdict};
use crate::time::Timestamp;

/// Failing targets that get a card; beyond, the cause is most likely one and the same.
const MAX_CARDS: usize = 100;

/// Rows of a table; beyond, the page would no longer load on a phone.
const MAX_ROWS: usize = 500;

/// What the page is made of, sorted into what a reader has to see first.
struct View<'a> {
    app: &'a AppState,
    now: Timestamp,
    alerts: Vec<AlertRow>,
    failing: Vec<TargetSnapshot>,
    /// Without a conclusive probe so far.
    unjudged: Vec<TargetSnapshot>,
    healthy: Vec<TargetSnapshot>,
}

/// The whole page. `refresh`: it loads itself again every few seconds.
pub(super) fn render(app: &AppState, refresh: bool) -> Markup {
    let view = View::new(app);
    let (mark, headline) = view.headline();
    let short =
        if view.failing.is_empty() { "wsprobe".to_owned() } else { format!("{} failing – wsprobe", view.failing.len()) };
    let frame = Frame { title: &short, mark, refresh, version: &app.version };
    let body = html! {
        header class=(mark.class()) {
            h1 { (mark.icon()) span { (headline) } }
            p { (view.subline(refresh)) }
        }
        main {
            (view.notices())
            (view.alerts())
            @for (rank, target) in view.failing.iter().enumerate().take(MAX_CARDS) { (view.card(target, rank == 0)) }
            (view.table("Failing too", view.failing.get(MAX_CARDS..).unwrap_or_default()))
            (view.table("No verdict yet", &view.unjudged))
            (view.table("Healthy", &view.healthy))
            (history::recent(app, view.now))
        }
    };
    document(&frame, &body)
}

impl<'a> View<'a> {
    fn new(app: &'a AppState) -> Self {
        let mut alerts: Vec<_> = app.alerts.borrow().to_vec();
        alerts.sort_by_key(|a| (Reverse(a.state), Reverse(a.severity), a.since));
        let (mut failing, mut unjudged, mut healthy) = (vec![], vec![], vec![]);
        for snapshot in app.board.snapshot() {
            match snapshot.verdict {
                Some(Verdict::Failed) => failing.push(snapshot),
                Some(Verdict::Healthy) => healthy.push(snapshot),
                Some(Verdict::Inconclusive) | None => unjudged.push(snapshot),
            }
        }
        let urgency = |t: &TargetSnapshot| -> Option<Severity> {
            alerts.iter().filter(|a| a.state == AlertRowState::Firing && a.target == t.target.name).map(|a| a.severity).max()
        };
        failing.sort_by_cached_key(|t| (Reverse(urgency(t)), t.since));
        View { app, now: app.clock.now(), alerts, failing, unjudged, healthy }
    }

    fn total(&self) -> usize {
        self.failing.len() + self.unjudged.len() + self.healthy.len()
    }

    /// The overall truth in one line.
    fn headline(&self) -> (Mark, String) {
        let (total, failing, unjudged) = (self.total(), self.failing.len(), self.unjudged.len());
        match (failing, unjudged) {
            _ if total == 0 => (Mark::Unknown, "No target is configured".to_owned()),
            (0, 0) if total == 1 => (Mark::Good, "The one target is healthy".to_owned()),
            (0, 0) => (Mark::Good, format!("All {total} targets healthy")),
            (0, _) if unjudged == total => (Mark::Unknown, format!("No verdict yet on {}", format::count(total, "target"))),
            (0, _) => {
                (Mark::Unknown, format!("{} of {total} targets healthy, {unjudged} without a verdict yet", total - unjudged))
            }
            _ => (Mark::Bad, format!("{failing} of {} failing", format::count(total, "target"))),
        }
    }

    fn subline(&self, refresh: bool) -> Markup {
        html! {
            "as of " (self.time(self.now))
            @if let Some(at) = self.app.metrics.last_heartbeat() { ", last heartbeat " (self.ago(at)) " ago" }
            @if refresh {
                ", refreshed every " (REFRESH) " s " a href="/?refresh=off" { "pause" }
            } @else {
                ", paused " a href="/" { "resume" }
            }
        }
    }

    /// What limits the page's truth: this host could not probe, or probes have stopped.
    fn notices(&self) -> Markup {
        let all = || self.failing.iter().chain(&self.unjudged).chain(&self.healthy);
        let blind: Vec<_> = all().filter(|t| t.inconclusive > 0).collect();
        let why = blind.iter().find_map(|t| t.latest()).map(|o| o.detail.as_str()).filter(|d| !d.is_empty());
        let stale = all().filter(|t| self.overdue(t).is_some()).count();
        html! {
            @if let Some(trouble) = self.app.metrics.heartbeat_trouble() {
                p.notice { strong { "No heartbeat gets out." } " Whoever listens for it will be paged: " (trouble) }
            }
            @if let Some(trouble) = self.app.metrics.storage_trouble() {
                p.notice {
                    strong { "State is in memory only." }
                    " The database can't be used, so alerts and undelivered messages would not survive a restart: " (trouble)
                }
            }
            (history::undelivered(self.app, self.now))
            @if !blind.is_empty() {
                p.notice {
                    strong { "This prober could not judge " (format::count(blind.len(), "target")) " just now." }
                    " Its own network or resources failed, so the verdicts below are the last known ones"
                    @if let Some(why) = why { ": " (why) } @else { "." }
                }
            }
            @if stale > 0 {
                p.notice {
                    strong { "No recent probe of " (format::count(stale, "target")) "." }
                    " Probes are overdue; what is shown may no longer be true."
                }
            }
        }
    }

    fn alerts(&self) -> Markup {
        html! {
            @if !self.alerts.is_empty() {
                section.alerts {
                    h2 { "Alerts" }
                    ul {
                        @for alert in self.alerts.iter().take(MAX_CARDS) {
                            li {
                                (self.pill(alert)) " "
                                a href={ "#" (alert.target.as_str()) } { (alert.target.as_str()) }
                                span.cause { (alert.cause) }
                                @if let Some(mute) = &alert.muted_by { span.doubt { "nobody is told: " (mute) } }
                                span.muted { "since " (self.time(alert.since)) " (" (format::span(self.now - alert.since)) ")" }
                            }
                        }
                    }
                    @if self.alerts.len() > MAX_CARDS {
                        p.muted { "and " (self.alerts.len() - MAX_CARDS) " more at " a href="/api/v1/alerts" { "/api/v1/alerts" } }
                    }
                }
            }
        }
    }

    fn pill(&self, alert: &AlertRow) -> Markup {
        html! {
            span class={ "pill " (alert.state.as_str()) " " (alert.severity.as_str()) } {
                (&*alert.rule) " " (alert.state.as_str())
            }
            " " span.muted { (alert.severity.as_str()) }
        }
    }

    /// A failing target with all that helps to act; the first one shows its evidence unfolded.
    fn card(&self, snapshot: &TargetSnapshot, first: bool) -> Markup {
        let name = snapshot.target.name.as_str();
        html! {
            article.card id=(name) {
                h2 { (Mark::Bad.icon()) span { (name) } (self.labels(snapshot)) }
                (self.mutes(snapshot))
                @if let Some(since) = snapshot.since {
                    p.since {
                        "failing for " strong { (format::span(self.now - since)) }
                        ", since " (self.time(since)) ", " (format::count(snapshot.consecutive as usize, "probe")) " in a row"
                        @if let Some(success) = snapshot.last_success { ", last healthy " (self.time(success)) }
                    }
                }
                (graphics::strip(&snapshot.samples, self.now))
                @if let Some(failure) = snapshot.last_failure() {
                    p.reason {
                        code { (failure.reason.as_str()) }
                        @if let Some(phase) = failure.phase { " in the " (phase.as_str()) " phase" }
                    }
                    @if !failure.detail.is_empty() { p.detail { (failure.detail) } }
                    (self.diagnosis(failure))
                    (self.facts(snapshot, failure))
                    (self.evidence(failure, first))
                }
                (history::of_target(self.app, &snapshot.target.name, self.now))
            }
        }
    }

    fn labels(&self, snapshot: &TargetSnapshot) -> Markup {
        html! {
            @for (name, value) in &snapshot.target.labels { span.label { (name) "=" (value) } }
        }
    }

    /// Why nobody is told of this target now.
    fn mutes(&self, snapshot: &TargetSnapshot) -> Markup {
        html! {
            @for mute in self.app.quiet.borrow().of_target(&snapshot.target, self.now) { span.doubt { (mute) } }
        }
    }

    fn diagnosis(&self, failure: &Outcome) -> Markup {
        let reason = failure.reason.runbook_anchor();
        html! {
            @if let Some(found) = (self.app.diagnose)(failure) {
                div.diagnosis {
                    p { strong { (with_code(&found.summary)) } }
                    dl {
                        @if let Some(checked) = &found.checked { dt { "Checked" } dd { (with_code(checked)) } }
                        dt { "Cause" } dd { (with_code(&found.cause)) }
                        dt { "Fix" } dd.fix { (with_code(&found.fix)) }
                    }
                    p.links {
                        a href={ "/runbook#" (found.code) } { "Runbook: " (found.code) } " "
                        a href={ "/runbook#" (reason) } { (reason) }
                    }
                }
            } @else {
                p.links { a href={ "/runbook#" (reason) } { "Runbook: " (reason) } }
            }
        }
    }

    fn facts(&self, snapshot: &TargetSnapshot, failure: &Outcome) -> Markup {
        html! {
            dl.facts {
                dt { "URL" } dd { (failure.url) }
                @if let Some(http) = &failure.http {
                    dt { "Status" } dd { (http.status_line()) }
                    @if let Some(location) = &http.location { dt { "Location" } dd { (location) } }
                }
                @if let Some(close) = &failure.close {
                    dt { "Close" }
                    dd {
                        @if let Some(code) = close.code { (code) } @else { "without a code" }
                        @if !close.reason.is_empty() { " " (close.reason) }
                    }
                }
                @if let Some(address) = failure.address { dt { "Address" } dd { (address) } }
                @if let Some(tls) = &failure.tls {
                    dt { "Certificate" } dd { (tls.subject) @if let Some(end) = tls.not_after { ", " (self.validity(end)) } }
                }
                dt { "Probed" }
                dd {
                    (self.ago(failure.ended_at())) " ago, took " (format::latency(failure.timings.total))
                    ", " (rhythm(&snapshot.target))
                    (self.doubts(snapshot))
                }
            }
        }
    }

    /// What the peer said, word for word.
    fn evidence(&self, failure: &Outcome, open: bool) -> Markup {
        let message = failure.message.as_ref();
        html! {
            details open[open] {
                summary { "Evidence" }
                (graphics::phases(failure))
                @if let Some(http) = &failure.http {
                    pre { (http.status_line()) "\n" @for (name, value) in &http.headers { (name) ": " (value) "\n" } }
                    @if let Some(body) = http.body.as_deref().filter(|b| !b.trim().is_empty()) { pre { (body) } }
                }
                @if let Some(message) = message {
                    p.muted { (message.kind.as_str()) " message of " (format::count(message.bytes, "byte")) }
                    pre { (message.text) }
                }
            }
        }
    }

    fn table(&self, title: &str, targets: &[TargetSnapshot]) -> Markup {
        html! {
            @if !targets.is_empty() {
                section {
                    h2 { (title) " " span.muted { (targets.len()) } }
                    table {
                        thead {
                            tr { th { "Target" } th { "Last probe" } th { "Time by phase" } th { "Certificate" } th { "Recent" } }
                        }
                        tbody { @for target in targets.iter().take(MAX_ROWS) { (self.row(target)) } }
                    }
                    @if targets.len() > MAX_ROWS {
                        p.muted { "and " (targets.len() - MAX_ROWS) " more at " a href="/api/v1/targets" { "/api/v1/targets" } }
                    }
                }
            }
        }
    }

    fn row(&self, snapshot: &TargetSnapshot) -> Markup {
        let target = &snapshot.target;
        let last = snapshot.latest_conclusive().or_else(|| snapshot.latest());
        let certificate = last.and_then(|o| o.tls.as_ref()).and_then(|tls| tls.not_after);
        html! {
            tr id=(target.name.as_str()) {
                td.target {
                    b { (target.name.as_str()) } (self.labels(snapshot)) (self.mutes(snapshot))
                    span.muted { (target.url.public()) }
                }
                td.last {
                    @match last {
                        Some(outcome) => {
                            @match outcome.verdict() {
                                Verdict::Healthy => strong { (format::latency(outcome.timings.total)) },
                                _ => code { (outcome.reason.as_str()) },
                            }
                            span.muted { (self.ago(outcome.ended_at())) " ago, " (rhythm(target)) }
                            (self.doubts(snapshot))
                        }
                        None => span.muted { "not probed yet, " (rhythm(target)) },
                    }
                }
                td.time { @if let Some(outcome) = last { (graphics::phases(outcome)) } }
                td.certificate { @if let Some(end) = certificate { (self.validity(end)) } @else { span.muted { "–" } } }
                td { (graphics::strip(&snapshot.samples, self.now)) }
            }
        }
    }

    /// What makes a verdict less than fresh.
    fn doubts(&self, snapshot: &TargetSnapshot) -> Markup {
        html! {
            @if snapshot.inconclusive > 0 {
                span.doubt { (format::count(snapshot.inconclusive as usize, "inconclusive probe")) " since" }
            }
            @if let Some(overdue) = self.overdue(snapshot) { span.doubt { "next probe overdue by " (format::span(overdue)) } }
        }
    }

    /// How long the next outcome has been missing, when it is more than an interval late.
    fn overdue(&self, snapshot: &TargetSnapshot) -> Option<Duration> {
        Some(self.now - snapshot.due()?).filter(|&late| late > snapshot.target.interval)
    }

    /// Days left of a certificate, marked when they are few.
    fn validity(&self, end: Timestamp) -> Markup {
        let left = self.now_until(end);
        let days = left.as_secs() / 86_400;
        html! {
            @if left.is_zero() { span.doubt { "expired " (self.time(end)) } }
            @else if days < 14 { span.doubt { "ends in " (format::span(left)) } }
            @else { (days) " days left" }
        }
    }

    fn now_until(&self, at: Timestamp) -> Duration {
        at - self.now
    }

    fn ago(&self, at: Timestamp) -> String {
        format::span(self.now - at)
    }

    fn time(&self, at: Timestamp) -> Markup {
        html! { time datetime=(at) { (format::clock(at, self.now)) } }
    }
}

/// A sentence in which `backticks` mark code.
fn with_code(text: &str) -> Markup {
    html! {
        @for (at, part) in text.split('`').enumerate() {
            @if at % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// `every 30s`, `held for 10m`.
fn rhythm(target: &Target) -> String {
    match target.hold {
        None => format!("every {}", humantime::format_duration(target.interval)),
        Some(hold) => format!("held for {}", humantime::format_duration(hold.time)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backticks_mark_code_and_nothing_else_is_markup() {
        let html = with_code("set `A = <b>` or <i>").into_string();
        assert_eq!(html, "set <code>A = &lt;b&gt;</code> or &lt;i&gt;");
    }
}
