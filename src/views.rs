//! The shapes that leave the process: API, `--output json`, page data and webhook bodies all carry these objects.
//!
//! Times are RFC 3339 in UTC, durations seconds as numbers, absent knowledge is `null` and never 0. Nothing is decided in
//! here, and nothing is read but the value given; a field that is renamed here breaks somebody's script.

mod quiet;
mod trace;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::alert::{Alert, State, Status};
use crate::config::{Condition, Rule, Target};
use crate::diagnose::{self, Diagnosis};
use crate::outcome::{
    Attempt, CloseEvidence, FollowUp, HttpEvidence, MessageEvidence, Outcome, PageOutcome, Phase, Reason, Reply, SessionEvidence,
    TargetName, Timings, TlsEvidence, Verdict,
};
use crate::time::Timestamp;
pub use quiet::{MuteView, SilenceRequest, SilenceView, mute, silence};
pub use trace::{TraceView, trace};

/// Makes the links into the status page and its runbook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Links {
    base: Arc<str>,
}

impl Links {
    /// Links below this base, which is `server.external_url`. Without a base (no daemon is known) the runbook is named by
    /// its place in the source tree.
    pub fn new(base: &str) -> Self {
        Links { base: base.trim_end_matches('/').into() }
    }

    /// The status page.
    pub fn page(&self) -> String {
        format!("{}/", self.base)
    }

    /// A target's place on the status page.
    pub fn target(&self, name: &TargetName) -> String {
        format!("{}/#{name}", self.base)
    }

    /// An entry of the runbook: a reason word or a diagnosis code.
    pub fn runbook(&self, anchor: &str) -> String {
        format!("{}#{anchor}", self.whole_runbook())
    }

    /// The runbook entry that helps most with this alert: its diagnosis, otherwise the reason of its evidence, otherwise
    /// what its rule watches.
    pub fn alert_runbook(&self, alert: &Alert, diagnosis: Option<&Diagnosis>) -> String {
        let reason = alert.evidence.as_ref().map(|o| o.reason).filter(|r| *r != Reason::Ok);
        match (diagnosis, reason.or_else(|| usual_reason(&alert.rule.when))) {
            (Some(diagnosis), _) => self.runbook(diagnosis.code),
            (None, Some(reason)) => self.runbook(reason.runbook_anchor()),
            (None, None) => self.whole_runbook(),
        }
    }

    fn whole_runbook(&self) -> String {
        if self.base.is_empty() { "docs/runbook.md".to_owned() } else { format!("{}/runbook", self.base) }
    }
}

/// The reason that goes with a rule which fires on healthy outcomes, too.
fn usual_reason(when: &Condition) -> Option<Reason> {
    match when {
        Condition::ConsecutiveFailures(_)
        | Condition::FailureRatio { .. }
        | Condition::HttpSelfRedirect(_)
        | Condition::BurnRate { .. } => None,
        Condition::NoVerdictFor(_) => Some(Reason::LocalError),
        Condition::RedirectRatio { .. } => Some(Reason::UpgradeRedirected),
        Condition::Latency { .. } => Some(Reason::TooSlow),
        Condition::CertificateExpiresWithin(_) => Some(Reason::TlsExpired),
        Condition::SessionShorterThan(_) => Some(Reason::SessionCut),
    }
}

/// One outcome, in the one shape that API, `--output json` and webhooks share.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutcomeView<'a> {
    target: &'a str,
    url: &'a str,
    address: Option<String>,
    started_at: Time,
    #[serde(serialize_with = "word")]
    verdict: Verdict,
    #[serde(serialize_with = "word")]
    reason: Reason,
    phase: Option<&'static str>,
    detail: Option<&'a str>,
    timings: TimingsView,
    http: Option<HttpView<'a>>,
    tls: Option<TlsView<'a>>,
    message: Option<MessageView<'a>>,
    close: Option<CloseView<'a>>,
    diagnosis: Option<DiagnosisView>,
    /// With `addresses: all`, the outcome of each address in the same shape.
    addresses: Option<Vec<OutcomeView<'a>>>,
    follow_up: Option<FollowUpView<'a>>,
    session: Option<SessionView>,
    /// `first` or `confirmation`, when it is one of two probes of a slot.
    attempt: Option<&'static str>,
    /// What the first of them found.
    confirms: Option<ConfirmsView>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct TimingsView {
    dns: Option<Seconds>,
    connect: Option<Seconds>,
    tls: Option<Seconds>,
    upgrade: Option<Seconds>,
    message: Option<Seconds>,
    close: Option<Seconds>,
    total: Seconds,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct HttpView<'a> {
    status: u16,
    location: Option<&'a str>,
    headers: &'a [(String, String)],
    body: Option<&'a str>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct TlsView<'a> {
    version: Option<&'static str>,
    not_after: Option<Time>,
    subject: &'a str,
    issuer: &'a str,
    names: &'a [String],
    chain_length: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct MessageView<'a> {
    r#type: &'static str,
    bytes: usize,
    text: &'a str,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct CloseView<'a> {
    code: Option<u16>,
    reason: &'a str,
    ended: &'static str,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct FollowUpView<'a> {
    asked_at: Time,
    plain_get: Option<ReplyView<'a>>,
    at_location: Option<ReplyView<'a>>,
    with_origin: Option<ReplyView<'a>>,
    origin: Option<&'a str>,
    site_root: Option<ReplyView<'a>>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct ReplyView<'a> {
    url: &'a str,
    /// A proper 101 came.
    upgraded: bool,
    http: Option<HttpView<'a>>,
    failure: Option<&'a str>,
    self_redirect: bool,
}

/// What a companion GET found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PageView<'a> {
    url: &'a str,
    started_at: Time,
    took: Seconds,
    http: Option<HttpView<'a>>,
    failure: Option<&'a str>,
    self_redirect: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct SessionView {
    opened_at: Time,
    lasted: Seconds,
    hold: Seconds,
    ping_every: Seconds,
    pongs: u32,
    last_rtt: Option<Seconds>,
    messages: u64,
    idle: Seconds,
    ended_by: &'static str,
}

/// The first of two probes of a slot, as the second tells of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct ConfirmsView {
    #[serde(serialize_with = "word")]
    reason: Reason,
    apart: Seconds,
}

/// A diagnosis, with the link to its runbook entry.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DiagnosisView {
    code: &'static str,
    summary: String,
    cause: String,
    fix: String,
    hop: Option<&'static str>,
    runbook: String,
    checked: Option<String>,
}

/// The view of an outcome, diagnosed on the way.
pub fn outcome<'a>(outcome: &'a Outcome, links: &Links) -> OutcomeView<'a> {
    OutcomeView {
        target: outcome.target.as_str(),
        url: &outcome.url,
        address: outcome.address.map(|a| a.to_string()),
        started_at: Time(outcome.started_at),
        verdict: outcome.verdict(),
        reason: outcome.reason,
        phase: outcome.phase.map(Phase::as_str),
        detail: (!outcome.detail.is_empty()).then_some(outcome.detail.as_str()),
        timings: timings(&outcome.timings),
        http: outcome.http.as_ref().map(http),
        tls: outcome.tls.as_ref().map(tls),
        message: outcome.message.as_ref().map(message),
        close: outcome.close.as_ref().map(close),
        diagnosis: diagnose::diagnose(outcome).map(|d| diagnosis(d, links)),
        addresses: (!outcome.addresses.is_empty()).then(|| outcome.addresses.iter().map(|o| self::outcome(o, links)).collect()),
        follow_up: outcome.follow_up.as_deref().map(follow_up),
        session: outcome.session.as_ref().map(session),
        attempt: outcome.attempt.map(Attempt::as_str),
        confirms: match outcome.attempt {
            Some(Attempt::Confirmation { first, apart }) => Some(ConfirmsView { reason: first, apart: Seconds(apart) }),
            Some(Attempt::First) | None => None,
        },
    }
}

fn follow_up(f: &FollowUp) -> FollowUpView<'_> {
    FollowUpView {
        asked_at: Time(f.asked_at),
        plain_get: f.plain_get.as_ref().map(reply),
        at_location: f.at_location.as_ref().map(reply),
        with_origin: f.with_origin.as_ref().map(reply),
        origin: f.origin.as_deref(),
        site_root: f.site_root.as_ref().map(reply),
    }
}

fn reply(r: &Reply) -> ReplyView<'_> {
    ReplyView {
        url: &r.url,
        upgraded: r.upgraded(),
        http: r.http.as_ref().map(http),
        failure: r.failure.as_deref(),
        self_redirect: r.self_redirect,
    }
}

/// The view of a companion GET.
pub fn page(page: &PageOutcome) -> PageView<'_> {
    let Reply { url, http: answer, failure, self_redirect } = &page.reply;
    PageView {
        url,
        started_at: Time(page.started_at),
        took: Seconds(page.took),
        http: answer.as_ref().map(http),
        failure: failure.as_deref(),
        self_redirect: *self_redirect,
    }
}

/// What an alert's evidence says.
pub fn alert_diagnosis(alert: &Alert) -> Option<Diagnosis> {
    let page = alert.page.as_deref().and_then(diagnose::diagnose_page);
    page.or_else(|| alert.evidence.as_deref().and_then(diagnose::diagnose))
}

/// The view of a diagnosis.
pub fn diagnosis(diagnosis: Diagnosis, links: &Links) -> DiagnosisView {
    let Diagnosis { code, summary, cause, fix, checked, hop } = diagnosis;
    DiagnosisView { code, summary, cause, fix, hop, runbook: links.runbook(code), checked }
}

fn timings(t: &Timings) -> TimingsView {
    TimingsView {
        dns: t.dns.map(Seconds),
        connect: t.connect.map(Seconds),
        tls: t.tls.map(Seconds),
        upgrade: t.upgrade.map(Seconds),
        message: t.message.map(Seconds),
        close: t.close.map(Seconds),
        total: Seconds(t.total),
    }
}

fn http(h: &HttpEvidence) -> HttpView<'_> {
    HttpView { status: h.status, location: h.location.as_deref(), headers: &h.headers, body: h.body.as_deref() }
}

fn tls(t: &TlsEvidence) -> TlsView<'_> {
    TlsView {
        version: t.version,
        not_after: t.not_after.map(Time),
        subject: &t.subject,
        issuer: &t.issuer,
        names: &t.names,
        chain_length: t.chain_length,
    }
}

fn message(m: &MessageEvidence) -> MessageView<'_> {
    MessageView { r#type: m.kind.as_str(), bytes: m.bytes, text: &m.text }
}

fn close(c: &CloseEvidence) -> CloseView<'_> {
    CloseView { code: c.code, reason: &c.reason, ended: c.ended.as_str() }
}

fn session(s: &SessionEvidence) -> SessionView {
    SessionView {
        opened_at: Time(s.opened_at),
        lasted: Seconds(s.lasted),
        hold: Seconds(s.hold),
        ping_every: Seconds(s.ping_every),
        pongs: s.pongs,
        last_rtt: s.last_rtt.map(Seconds),
        messages: s.messages,
        idle: Seconds(s.idle),
        ended_by: s.ended_by.as_str(),
    }
}

/// One (target, rule) and its episode, as API, page and webhooks show it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlertView<'a> {
    /// `null` while nothing has fired.
    id: Option<&'a str>,
    target: &'a str,
    /// Without credentials and query.
    url: String,
    rule: &'a str,
    severity: &'static str,
    /// `inactive`, `pending`, `firing` or `resolved`.
    state: &'static str,
    since: Option<Time>,
    fired_at: Option<Time>,
    resolved_at: Option<Time>,
    cause: Option<&'a str>,
    labels: &'a BTreeMap<String, String>,
    runbook: Option<String>,
    /// It fired again and again, and resolves only once the trouble has stayed away for a while.
    flapping: bool,
}

/// What came of two probes in one slot, in a sentence; `None` where there was one.
pub fn attempts(outcome: &Outcome) -> Option<String> {
    let Attempt::Confirmation { first, apart } = outcome.attempt? else { return None };
    let apart = match apart.as_millis() {
        ms @ 0..1_000 => format!("{ms} ms"),
        ms => format!("{:.1} s", ms as f64 / 1e3),
    };
    Some(match outcome.verdict() {
        Verdict::Failed if first == outcome.reason => format!("failed twice in a row, {apart} apart"),
        Verdict::Failed => format!("failed twice in a row, {apart} apart, the first time with {first}"),
        verdict => format!("{verdict} when probed again after {apart}; the first probe failed with {first}"),
    })
}

/// The view of an episode that has fired, and may have resolved.
pub fn alert<'a>(alert: &'a Alert, links: &Links) -> AlertView<'a> {
    let diagnosis = alert_diagnosis(alert);
    AlertView {
        id: Some(&alert.id),
        since: Some(Time(alert.since)),
        fired_at: Some(Time(alert.fired_at)),
        resolved_at: alert.resolved_at.map(Time),
        cause: Some(&alert.cause),
        runbook: Some(links.alert_runbook(alert, diagnosis.as_ref())),
        flapping: alert.flapping.is_some(),
        ..idle(&alert.target, &alert.rule, if alert.resolved_at.is_some() { "resolved" } else { "firing" })
    }
}

/// The view of a rule's state on one target, whether or not anything has fired.
pub fn status<'a>(status: &'a Status, links: &Links) -> AlertView<'a> {
    match (&status.alert, status.state) {
        (Some(running), State::Firing) => alert(running, links),
        (_, state) => idle(&status.target, &status.rule, state_word(state)),
    }
}

/// The word for a state, in JSON and on the page.
pub const fn state_word(state: State) -> &'static str {
    match state {
        State::Inactive => "inactive",
        State::Pending => "pending",
        State::Firing => "firing",
    }
}

fn idle<'a>(target: &'a Target, rule: &'a Rule, state: &'static str) -> AlertView<'a> {
    AlertView {
        id: None,
        target: target.name.as_str(),
        url: target.url.public(),
        rule: &rule.name,
        severity: rule.severity.as_str(),
        state,
        since: None,
        fired_at: None,
        resolved_at: None,
        cause: None,
        labels: &target.labels,
        runbook: None,
        flapping: false,
    }
}

/// A point in time as RFC 3339 in UTC; whole seconds, such as certificates have, without a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.to_string();
        match text.strip_suffix(".000Z") {
            Some(seconds) => serializer.collect_str(&format_args!("{seconds}Z")),
            None => serializer.serialize_str(&text),
        }
    }
}

/// A duration as a number of seconds, rounded to microseconds: finer digits are noise of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds(pub Duration);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let micros = self.0.as_nanos().saturating_add(500) / 1_000;
        serializer.serialize_f64(micros as f64 / 1e6)
    }
}

fn word<T: std::fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
