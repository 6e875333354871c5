//! `no_verdict_for`: nothing is known of a target.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::diagnostic::{Code, Draft};
use super::super::policy::Condition;
use super::super::read::{Reader, Value};
use super::super::scalar;
use super::super::source::{Span, Spanned};
use super::super::target::Target;
use super::super::text::{count, quoted};
use super::alerts::When;

const LIMIT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);
/// What a verdict may wait for beside its probe: the witnesses, and what is asked beside a failure.
const BESIDE: Duration = Duration::from_secs(3);
/// The longest time between two openings of a held connection, if its interval is shorter.
const BETWEEN_OPENINGS: Duration = Duration::from_secs(30);

/// Reads the condition.
pub(super) fn read(value: &Value<'_>) -> Option<When> {
    let limit = value.duration(LIMIT, "no_verdict_for: 10m")?;
    let condition = Condition::NoVerdictFor(limit.value);
    Some(When { blind: Some(limit), ..When::without_window(condition) })
}

/// The longest time that lies between two verdicts while all is well with the prober: the slot after a verdict that came at
/// once is used by a probe that takes all of its time.
fn usual(target: &Target) -> Duration {
    let between = target.hold.map_or(target.interval, |hold| target.interval.max(hold.ping_every).max(BETWEEN_OPENINGS));
    let probes = if target.confirm { 2 } else { 1 };
    between + target.timeout * probes + BESIDE
}

/// Reports a limit that a target which is probed as it should be would exceed.
pub(super) fn check(reader: &Reader<'_>, limit: &Spanned<Duration>, watched: &[(&Target, Span)]) {
    let too_slow = || watched.iter().filter(|(target, _)| limit.value < usual(target));
    let Some((target, place)) = too_slow().max_by_key(|(target, _)| usual(target)) else { return };
    let message = format!(
        "the rule would fire while {} is probed as it should be: {} may pass between two verdicts",
        quoted(target.name.as_str()),
        scalar::show(usual(target)),
    );
    let label = format!("probed every {}, timeout {}", scalar::show(target.interval), scalar::show(target.timeout));
    let mut help = format!("write `no_verdict_for: {}` or more", scalar::show(usual(target).max(target.interval * 3)));
    match too_slow().count() - 1 {
        0 => {}
        n => help.push_str(&format!("; it is too short for {} as well", count(n, "other target"))),
    }
    reader.report(Draft::new(Code::Conflict, limit.span, message).see(*place, label).help(help));
}
