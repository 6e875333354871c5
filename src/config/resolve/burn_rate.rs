//! `burn_rate`: an error budget that is used up too fast, over a long and a short window.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::diagnostic::{Code, Draft};
use super::super::policy::Condition;
use super::super::read::{Reader, Value};
use super::super::scalar;
use super::super::source::{Span, Spanned};
use super::super::target::Target;
use super::super::text::{count, quoted};
use super::alerts::{SAMPLES, WINDOW, When, Window, holds};

/// The slowest alert of the SRE Workbook (table 5-8) looks back three days.
const LONG: RangeInclusive<Duration> = Duration::from_millis(120)..=Duration::from_secs(3 * 86_400);
/// The SRE Workbook's part of the long window that the short one takes.
const SHORT_PART: u32 = 12;
/// Fewer probes say too little of a whole window.
const DEFAULT_SAMPLES: u32 = 10;
/// Failed probes in the short window without which the rule never fires; the reason stands at `alert::condition::Burn`.
const FAILURES: u32 = 2;

/// Reads the condition.
pub(super) fn read(value: &Value<'_>) -> Option<When> {
    let mut fields = value.fields("`burn_rate`", "burn_rate: {objective: 99.9%, above: 14.4, over: 1h, and_over: 5m}")?;
    let objective = fields.require("objective", "objective: 99.9%").and_then(|value| objective(&value));
    let above = fields.require("above", "above: 14.4").and_then(|value| Some((factor(&value)?, value)));
    let over = fields.require("over", "over: 1h").and_then(|value| value.duration(LONG, "over: 1h"));
    let and_over = fields.get("and_over").map(|value| Some((value.duration(WINDOW, "and_over: 5m")?, value)));
    let samples = fields.get("min_samples").map(|value| value.integer(SAMPLES, "min_samples: 10"));
    fields.finish();
    if let (Some(objective), Some((above, value))) = (objective, &above) {
        check_factor(objective, *above, value)?;
    }
    let (objective, (above, _), over) = (objective?, above?, over?);
    let short = match and_over {
        None => Spanned { value: over.value / SHORT_PART, span: over.span },
        Some(written) => {
            let (short, value) = written?;
            if short.value >= over.value {
                let help = format!("write less than `over: {}`; a twelfth of it is usual", scalar::show(over.value));
                value.reject("is no shorter than the long window", help);
                return None;
            }
            short
        }
    };
    let (min_samples, span) = match samples {
        None => (DEFAULT_SAMPLES, over.span),
        Some(written) => written.map(|written| (written.value, written.span))?,
    };
    let condition = Condition::BurnRate { objective, above, over: over.value, and_over: short.value, min_samples };
    let window = Window { over: over.value, min_samples, span };
    Some(When { window: Some(window), short: Some(short), ..When::without_window(condition) })
}

fn objective(value: &Value<'_>) -> Option<f64> {
    let objective = value.ratio("objective: 99.9%")?.value;
    if objective >= 1.0 {
        value.reject("leaves no error budget: 100%", "write less, for example `objective: 99.9%`");
        return None;
    }
    if objective <= 0.0 {
        value.reject("asks for nothing: 0%", "the part of the probes that has to be healthy, for example `objective: 99.9%`");
        return None;
    }
    Some(objective)
}

fn factor(value: &Value<'_>) -> Option<f64> {
    let text = value.word("above: 14.4")?.value;
    let factor = text.parse::<f64>().ok().filter(|factor| factor.is_finite() && *factor > 0.0);
    if factor.is_none() {
        value.reject(&format!("is not a factor: {}", quoted(&text)), "for example `above: 14.4`: 14.4 times too fast");
    }
    factor
}

/// A budget burns fastest when every probe fails.
fn check_factor(objective: f64, above: f64, value: &Value<'_>) -> Option<()> {
    let fastest = 1.0 / (1.0 - objective);
    if above < fastest * (1.0 - 1e-9) {
        return Some(());
    }
    let fastest = trimmed(fastest);
    value.reject(
        &format!("can never be exceeded: when every probe fails, the budget burns {fastest} times too fast"),
        format!("write less than {fastest}, for example `above: {}`", example(objective)),
    );
    None
}

fn trimmed(factor: f64) -> String {
    format!("{factor:.2}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The Workbook's 14.4 where it can be reached, otherwise half of what can.
fn example(objective: f64) -> String {
    let half = 0.5 / (1.0 - objective);
    if half >= 14.4 { "14.4".to_owned() } else { trimmed(half) }
}

/// Reports a short window that can't hold the failures it takes.
pub(super) fn check(reader: &Reader<'_>, short: &Spanned<Duration>, watched: &[(&Target, Span)]) {
    let mut starved = watched.iter().filter(|(target, _)| holds(short.value, target) < u128::from(FAILURES));
    let Some((target, place)) = starved.next() else { return };
    let message = format!(
        "the rule can never fire for {}: its short window of {} holds at most 1 probe, and it takes {FAILURES} failed ones",
        quoted(target.name.as_str()),
        scalar::show(short.value),
    );
    let (least, interval) = (target.interval * FAILURES, scalar::show(target.interval));
    let mut help = format!("write `and_over: {}` or more, or probe more often", scalar::show(least));
    match starved.count() {
        0 => {}
        n => help.push_str(&format!("; it is the same for {}", count(n, "other target"))),
    }
    let draft = Draft::new(Code::Conflict, short.span, message).see(*place, format!("probed every {interval}"));
    reader.report(draft.help(help));
}
