//! What was, on the page: the latest incidents, and messages that nobody got.

use std::time::Duration;

use maud::{Markup, html};

use super::{AppState, format};
use crate::outcome::TargetName;
use crate::store::{Incident, IncidentFilter};
use crate::time::Timestamp;

/// Incidents that the page lists; the API has all.
const LATEST: usize = 10;
/// Incidents that a target's card lists.
const LATEST_OF_TARGET: usize = 5;
/// How long the page speaks of a message that was given up.
const SPEAK_OF: Duration = Duration::from_secs(86_400);

/// The latest incidents of all targets.
pub(super) fn recent(app: &AppState, now: Timestamp) -> Markup {
    let incidents = app.records.latest_incidents(&IncidentFilter::default(), LATEST);
    html! {
        @if !incidents.is_empty() {
            section.alerts {
                h2 { "Recent incidents" }
                ul { @for incident in &incidents { (line(incident, true, now)) } }
                p.muted { "all of them at " a href="/api/v1/incidents" { "/api/v1/incidents" } }
            }
        }
    }
}

/// The latest incidents of one target.
pub(super) fn of_target(app: &AppState, target: &TargetName, now: Timestamp) -> Markup {
    let filter = IncidentFilter { target: Some(target.as_str().to_owned()), ..IncidentFilter::default() };
    let incidents = app.records.latest_incidents(&filter, LATEST_OF_TARGET);
    html! {
        @if !incidents.is_empty() {
            details {
                summary { "Recent incidents" }
                ul { @for incident in &incidents { (line(incident, false, now)) } }
                p.links { a href={ "/api/v1/targets/" (target.as_str()) "/history?over=24h" } { "Last 24 hours" } }
            }
        }
    }
}

fn line(incident: &Incident, named: bool, now: Timestamp) -> Markup {
    let ended = incident.end.as_ref();
    let lasted = format::span(ended.map_or(now, |end| end.at).since(incident.since));
    html! {
        li {
            time datetime=(incident.since) { (format::clock(incident.since, now)) } " "
            @if named { b { (incident.target.as_str()) } " " }
            (&*incident.rule) " "
            @if let Some(reason) = &incident.reason { code { (reason) } " " }
            span.cause { (incident.cause) } " "
            span.muted {
                @match ended {
                    Some(end) => { (end.how) " after " (lasted) }
                    None => { "for " (lasted) ", not over" }
                }
            }
        }
    }
}

/// That messages did not arrive: whoever reads this may have been paged by nothing.
pub(super) fn undelivered(app: &AppState, now: Timestamp) -> Markup {
    let lost = app.records.letters_since(now.before(SPEAK_OF));
    html! {
        @if lost > 0 {
            p.notice {
                strong { (format::count(lost, "message")) " could not be delivered." }
                " In the last 24 hours, to whom and why: "
                a href="/api/v1/notifications/failed" { "/api/v1/notifications/failed" }
            }
        }
    }
}
