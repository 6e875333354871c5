//! `alerts`: when to alert.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::super::diagnostic::{Code, Draft};
use super::super::policy::{Condition, Match, Rule, Selector, Severity};
use super::super::read::{Fields, Reader, Value};
use super::super::scalar;
use super::super::source::{Span, Spanned};
use super::super::target::{Hold, Target};
use super::super::text::{count, quoted};
use super::receivers::Receivers;
use super::targets::Targets;
use super::{Names, blind, burn_rate, selector};
use crate::outcome::{Phase, TargetName};

const EXAMPLE: &str = "alerts: [{name: down, severity: critical, when: {consecutive_failures: 3}}]";

/// A window is held in memory and starts empty with the process.
pub(super) const WINDOW: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(86_400);
const REMIND: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(365 * 86_400);
/// Certificates live 398 days at most, those of private authorities up to ten years.
const EXPIRY: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(3_650 * 86_400);
const LATENCY: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(600);
const SESSION: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(86_400);
const IN_A_ROW: RangeInclusive<u32> = 1..=10_000;
pub(super) const SAMPLES: RangeInclusive<u32> = 1..=1_000_000;

const DEFAULT_RESOLVE_AFTER: u32 = 2;
const DEFAULT_REMIND: Duration = Duration::from_secs(4 * 3_600);
/// Of failures and latencies a handful is needed before a ratio or a quantile means something.
const DEFAULT_SAMPLES: u32 = 5;
/// A single redirect is never noise.
const DEFAULT_REDIRECT_SAMPLES: u32 = 1;

/// Reads `alerts`; without it, a sensible set.
pub(super) fn read(reader: &Reader<'_>, value: Option<Value<'_>>, targets: &Targets, receivers: &Receivers) -> Vec<Arc<Rule>> {
    let everyone: Vec<Arc<str>> = receivers.receivers.iter().map(|receiver| receiver.name.clone()).collect();
    let Some(value) = value else { return standard(&everyone) };
    let mut names = Names::default();
    let mut rules = vec![];
    for item in value.list("an alert rule", EXAMPLE).unwrap_or_default() {
        let rule = RuleReader { reader, targets, receivers, everyone: &everyone }.rule(&item, &mut names);
        rules.extend(rule.map(Arc::new));
    }
    rules
}

/// The rules that hold when none are written.
fn standard(everyone: &[Arc<str>]) -> Vec<Arc<Rule>> {
    let rule = |name: &str, severity, when| {
        Arc::new(Rule {
            name: name.into(),
            severity,
            targets: Selector::All,
            when,
            resolve_after: DEFAULT_RESOLVE_AFTER,
            remind_every: Some(DEFAULT_REMIND),
            notify: everyone.to_vec(),
            flapping: true,
        })
    };
    let redirects =
        Condition::RedirectRatio { above: 0.0, over: Duration::from_secs(300), min_samples: DEFAULT_REDIRECT_SAMPLES };
    vec![
        rule("down", Severity::Critical, Condition::ConsecutiveFailures(3)),
        rule("redirecting", Severity::Critical, redirects),
        rule("certificate", Severity::Warning, Condition::CertificateExpiresWithin(Duration::from_secs(14 * 86_400))),
    ]
}

struct RuleReader<'a> {
    reader: &'a Reader<'a>,
    targets: &'a Targets,
    receivers: &'a Receivers,
    everyone: &'a [Arc<str>],
}

impl RuleReader<'_> {
    fn rule(&self, item: &Value<'_>, names: &mut Names) -> Option<Rule> {
        let mut fields = item.fields("an alert rule", "- {name: down, severity: critical, when: {consecutive_failures: 3}}")?;
        let name = names.read(self.reader, &mut fields, "alert rule", "name: down");
        let severities = [("critical", Severity::Critical), ("warning", Severity::Warning), ("info", Severity::Info)];
        let severity = fields.get("severity").map(|value| value.choice(&severities));
        let targets = fields.get("targets").map_or(Some(Selector::All), |value| {
            let empty = ("the rule would watch nothing", "remove it to watch every target");
            selector::read(self.reader, self.targets, &value, "a target of a rule", empty)
        });
        let when = fields.require("when", "when: {consecutive_failures: 3}").and_then(|value| self.condition(&value));
        let resolve_after = fields.get("resolve_after").and_then(|value| value.integer(IN_A_ROW, "resolve_after: 2"));
        let remind_every = fields.get("remind_every").map_or(Some(Some(DEFAULT_REMIND)), |value| remind_every(&value));
        let notify = fields.get("notify").map_or(Some(self.everyone.to_vec()), |value| self.notify(&value));
        let flapping = fields.get("flapping").map_or(Some(true), |value| value.boolean().map(|flapping| flapping.value));
        fields.finish();
        let targets = targets?;
        let when = when?;
        self.check_window(&when, &targets);
        if let Some(short) = &when.short {
            burn_rate::check(self.reader, short, &self.watched(&targets));
        }
        if let Some(limit) = &when.blind {
            blind::check(self.reader, limit, &self.watched(&targets));
        }
        self.check_http(&when, &targets);
        if let Some(limit) = &when.session {
            self.check_sessions(limit, &targets);
        }
        // Without a severity it is critical: what nobody has ranked is better too loud than too quiet.
        let severity = severity.map_or(Some(Severity::Critical), |written| written.map(|severity| severity.value));
        Some(Rule {
            name: name?.value.into(),
            severity: severity?,
            targets,
            when: when.condition,
            resolve_after: resolve_after.map_or(DEFAULT_RESOLVE_AFTER, |n| n.value),
            remind_every: remind_every?,
            notify: notify?,
            flapping: flapping?,
        })
    }

    /// The targets of a rule, and where they are written.
    fn watched(&self, selector: &Selector) -> Vec<(&Target, Span)> {
        let all = self.targets.targets.iter().zip(&self.targets.places);
        all.filter(|(target, _)| selector.selects(target)).map(|(target, place)| (&**target, *place)).collect()
    }

    fn notify(&self, value: &Value<'_>) -> Option<Vec<Arc<str>>> {
        let mut notify: Vec<Arc<str>> = vec![];
        for item in value.list("a receiver of a rule", "notify: [slack-ops]")? {
            let name = item.word("notify: [slack-ops]")?;
            let known = self.receivers.names.check(self.reader, &name, "receiver");
            if known && !notify.iter().any(|other| **other == *name.value) {
                notify.push(name.value.into());
            }
        }
        Some(notify)
    }

    fn condition(&self, value: &Value<'_>) -> Option<When> {
        let mut fields = value.fields("`when`", "when: {consecutive_failures: 3}")?;
        let kinds = [
            "consecutive_failures",
            "failure_ratio",
            "redirect_ratio",
            "latency",
            "certificate_expires_within",
            "http_self_redirect",
            "session_shorter_than",
            "burn_rate",
            "no_verdict_for",
        ];
        let when = fields.one_of(&kinds, "consecutive_failures: 3").and_then(|(kind, value)| match kind {
            "consecutive_failures" => {
                let n = value.integer(IN_A_ROW, "consecutive_failures: 3")?;
                Some(When::without_window(Condition::ConsecutiveFailures(n.value)))
            }
            "failure_ratio" | "redirect_ratio" => ratio(kind, &value),
            "latency" => latency(&value),
            "certificate_expires_within" => {
                let within = value.duration(EXPIRY, "certificate_expires_within: 14d")?;
                Some(When::without_window(Condition::CertificateExpiresWithin(within.value)))
            }
            "http_self_redirect" => {
                let n = value.integer(IN_A_ROW, "http_self_redirect: 2")?;
                Some(When { needs_http: Some(value.key_span()), ..When::without_window(Condition::HttpSelfRedirect(n.value)) })
            }
            "session_shorter_than" => {
                let limit = value.duration(SESSION, "session_shorter_than: 60s")?;
                let condition = Condition::SessionShorterThan(limit.value);
                Some(When { session: Some(limit), ..When::without_window(condition) })
            }
            "burn_rate" => burn_rate::read(&value),
            _ => blind::read(&value),
        });
        fields.finish();
        when
    }

    /// Reports a rule on companion GETs that none of its targets makes, or that one of them which it names does not make.
    fn check_http(&self, when: &When, selector: &Selector) {
        let Some(span) = when.needs_http.filter(|_| self.targets.complete) else { return };
        let watched: Vec<_> =
            self.targets.targets.iter().zip(&self.targets.places).filter(|(target, _)| selector.selects(target)).collect();
        let named = |name: &TargetName| match selector {
            Selector::All => false,
            Selector::Any(matches) => matches.contains(&Match::Name(name.clone())),
        };
        let nobody = watched.iter().all(|(target, _)| target.http.is_none());
        let without = watched.iter().find(|(target, _)| target.http.is_none() && (nobody || named(&target.name)));
        if let Some((target, place)) = without {
            let message = format!("the rule can never fire for {}: it has no `http` check", quoted(target.name.as_str()));
            let help =
                "add `http: {url: \"https://example.com/\", every: 5m}` to the target, or name in `targets` those that have one";
            self.reader.report(Draft::new(Code::Conflict, span, message).see(**place, "this target").help(help));
        }
    }

    /// Reports a rule on held connections that watches a target without one, or can't end.
    fn check_sessions(&self, limit: &Spanned<Duration>, selector: &Selector) {
        if !self.targets.complete {
            return;
        }
        let watched = || self.targets.targets.iter().zip(&self.targets.places).filter(|(target, _)| selector.selects(target));
        let named = |target: &Target| match selector {
            Selector::All => false,
            Selector::Any(matches) => matches.iter().any(|m| matches!(m, Match::Name(name) if *name == target.name)),
        };
        let none_is_held = watched().all(|(target, _)| target.hold.is_none());
        let hold = "hold: {for: 10m, ping_every: 20s}";
        if let Some((target, place)) = watched().find(|(target, _)| target.hold.is_none() && (none_is_held || named(target))) {
            let message = format!("the rule can never fire for {}: it has no `hold`", quoted(target.name.as_str()));
            self.reader.report(
                Draft::new(Code::Conflict, limit.span, message)
                    .see(*place, "each probe opens and closes a connection of its own")
                    .help(format!("give the target {}, or let the rule watch those that have it", quoted(hold))),
            );
        }
        let shorter = |hold: Hold| hold.time < limit.value;
        if let Some((target, place)) = watched().find(|(target, _)| target.hold.is_some_and(shorter)) {
            let held = target.hold.map(|hold| scalar::show(hold.time)).unwrap_or_default();
            let message = format!(
                "the rule can never resolve for {}: no connection lasts {}",
                quoted(target.name.as_str()),
                scalar::show(limit.value)
            );
            self.reader.report(
                Draft::new(Code::Conflict, limit.span, message)
                    .see(*place, format!("held for {held}"))
                    .help(format!("write {held} or less, or hold the connection for longer")),
            );
        }
    }

    /// Reports a rule that can never fire for one of its targets.
    fn check_window(&self, when: &When, selector: &Selector) {
        let watched = || self.targets.targets.iter().zip(&self.targets.places).filter(|(target, _)| selector.selects(target));
        if let Some(window) = &when.window {
            let mut starved = watched().filter(|(target, _)| window.holds(target) < u128::from(window.min_samples));
            if let Some((target, place)) = starved.next() {
                let message = format!(
                    "the rule can never fire for {}: {} at most {}, and it needs {}",
                    quoted(target.name.as_str()),
                    format_args!("{} holds", scalar::show(window.over)),
                    count(usize::try_from(window.holds(target)).unwrap_or(usize::MAX), "probe"),
                    window.min_samples,
                );
                let label = format!("probed every {}", scalar::show(target.interval));
                let enough = scalar::show(target.interval.saturating_mul(window.min_samples));
                let mut help = format!("write `over: {enough}` or more, or a smaller `min_samples`");
                match starved.count() {
                    0 => {}
                    n => help.push_str(&format!("; it is the same for {}", count(n, "other target"))),
                }
                self.reader.report(Draft::new(Code::Conflict, window.span, message).see(*place, label).help(help));
            }
        }
        if let Some(above) = &when.above {
            let reachable = watched().any(|(target, _)| target.timeout > above.value);
            if let (false, Some((target, _))) = (reachable, watched().max_by_key(|(target, _)| target.timeout)) {
                let message = format!(
                    "the rule can never fire: {} is not less than the longest timeout of its targets, {}",
                    scalar::show(above.value),
                    scalar::show(target.timeout),
                );
                self.reader.report(Draft::new(Code::Conflict, above.span, message).help("write less than the `timeout`"));
            }
        }
    }
}

/// A condition, and what has to be checked against the targets.
pub(super) struct When {
    pub condition: Condition,
    pub window: Option<Window>,
    /// The short window of a burn rate.
    pub short: Option<Spanned<Duration>>,
    /// How long nothing may be known.
    pub blind: Option<Spanned<Duration>>,
    /// A latency limit.
    pub above: Option<Spanned<Duration>>,
    /// Where a condition stands that looks at the companion GETs.
    pub needs_http: Option<Span>,
    /// A limit for held connections.
    pub session: Option<Spanned<Duration>>,
}

pub(super) struct Window {
    pub over: Duration,
    pub min_samples: u32,
    pub span: Span,
}

impl Window {
    fn holds(&self, target: &Target) -> u128 {
        holds(self.over, target)
    }
}

/// Probes that a window can hold: it is open at its older end.
pub(super) fn holds(over: Duration, target: &Target) -> u128 {
    over.as_nanos().div_ceil(target.interval.as_nanos().max(1))
}

impl When {
    pub fn without_window(condition: Condition) -> Self {
        When { condition, window: None, short: None, blind: None, above: None, needs_http: None, session: None }
    }
}

fn window(fields: &mut Fields<'_>, default_samples: u32) -> Option<Window> {
    let over = fields.require("over", "over: 10m").and_then(|value| value.duration(WINDOW, "over: 10m"));
    let samples = fields.get("min_samples").map(|value| value.integer(SAMPLES, "min_samples: 10"));
    let over = over?;
    let (min_samples, span) = match samples {
        None => (default_samples, over.span),
        Some(written) => written.map(|written| (written.value, written.span))?,
    };
    Some(Window { over: over.value, min_samples, span })
}

fn ratio(kind: &str, value: &Value<'_>) -> Option<When> {
    let redirects = kind == "redirect_ratio";
    let (what, samples) =
        if redirects { ("`redirect_ratio`", DEFAULT_REDIRECT_SAMPLES) } else { ("`failure_ratio`", DEFAULT_SAMPLES) };
    let mut fields = value.fields(what, "failure_ratio: {above: 5%, over: 30m, min_samples: 20}")?;
    let above = fields.require("above", "above: 5%").and_then(|value| {
        let above = value.ratio("above: 5%")?;
        if above.value >= 1.0 {
            value.reject("can never be exceeded: 100%", "write less, for example `above: 95%`");
            return None;
        }
        Some(above.value)
    });
    let window = window(&mut fields, samples);
    fields.finish();
    let (above, window) = (above?, window?);
    let (over, min_samples) = (window.over, window.min_samples);
    let condition = match redirects {
        true => Condition::RedirectRatio { above, over, min_samples },
        false => Condition::FailureRatio { above, over, min_samples },
    };
    Some(When { window: Some(window), ..When::without_window(condition) })
}

fn latency(value: &Value<'_>) -> Option<When> {
    let mut fields = value.fields("`latency`", "latency: {phase: total, quantile: 0.95, above: 800ms, over: 10m}")?;
    let phases: Vec<(&str, Phase)> =
        Phase::TIMED.into_iter().chain([Phase::Total]).map(|phase| (phase.as_str(), phase)).collect();
    let phase = fields.get("phase").map_or(Some(Phase::Total), |value| value.choice(&phases).map(|phase| phase.value));
    let quantile = fields.require("quantile", "quantile: 0.95").and_then(|value| {
        let quantile = value.ratio("quantile: 0.95")?.value;
        if quantile <= 0.0 || quantile >= 1.0 {
            value.reject("has to lie between 0 and 1", "for example `quantile: 0.95`");
            return None;
        }
        Some(quantile)
    });
    let above = fields.require("above", "above: 800ms").and_then(|value| value.duration(LATENCY, "above: 800ms"));
    let window = window(&mut fields, DEFAULT_SAMPLES);
    fields.finish();
    let (phase, quantile, above, window) = (phase?, quantile?, above?, window?);
    let condition =
        Condition::Latency { phase, quantile, above: above.value, over: window.over, min_samples: window.min_samples };
    Some(When { window: Some(window), above: Some(above), ..When::without_window(condition) })
}

fn remind_every(value: &Value<'_>) -> Option<Option<Duration>> {
    match value.text("remind_every: 4h")?.value.as_str() {
        "never" => return Some(None),
        "none" | "no" | "off" | "false" => {
            value.reject("is not a duration", "for no reminders write `never`");
            return None;
        }
        _ => {}
    }
    value.duration(REMIND, "remind_every: 4h").map(|every| Some(every.value))
}
