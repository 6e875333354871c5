//! The JSON API: what the status page shows, for programs.
//!
//! Durations are seconds as numbers, times RFC 3339 in UTC, and what is not known is `null`. The shape of an outcome is not
//! made here.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::routes::{Site, blocking};
use super::{AlertRow, AppState};
use crate::observe::TargetSnapshot;
use crate::outcome::{TargetName, Verdict};
use crate::time::Timestamp;
use crate::views;

/// `GET /api/v1/targets`
pub(super) async fn targets(State(site): State<Site>) -> Response {
    blocking(move || {
        let alerts = site.app.alerts.borrow().clone();
        list(site.app.board.snapshot().iter().map(|t| target_json(&site.app, t, &alerts)).collect())
    })
    .await
}

/// `GET /api/v1/targets/{name}`
pub(super) async fn target(State(site): State<Site>, Path(name): Path<String>) -> Response {
    let alerts = site.app.alerts.borrow().clone();
    match find(&site.app, &name) {
        Some(snapshot) => Json(target_json(&site.app, &snapshot, &alerts)).into_response(),
        None => no_such_target(&name),
    }
}

/// `GET /api/v1/targets/{name}/outcomes?limit=`: newest first; failures are kept longer than other outcomes.
pub(super) async fn outcomes(State(site): State<Site>, Path(name): Path<String>, RawQuery(query): RawQuery) -> Response {
    let limit = match limit(query.as_deref().unwrap_or_default()) {
        Ok(limit) => limit,
        Err(message) => return error(StatusCode::BAD_REQUEST, &message),
    };
    match find(&site.app, &name) {
        Some(snapshot) => {
            list(snapshot.outcomes.iter().take(limit).map(|o| (site.app.outcome_json)(o)).collect()).into_response()
        }
        None => no_such_target(&name),
    }
}

/// `GET /api/v1/alerts`: those that are pending or firing.
pub(super) async fn alerts(State(site): State<Site>) -> Response {
    let alerts = site.app.alerts.borrow().clone();
    list(alerts.iter().map(alert_json).collect()).into_response()
}

/// What no route answers. Programs get JSON, people a sentence.
pub(super) async fn not_found(uri: Uri) -> Response {
    if uri.path().starts_with("/api/") {
        error(StatusCode::NOT_FOUND, "no such resource")
    } else {
        (StatusCode::NOT_FOUND, "not found: the status page is at /\n").into_response()
    }
}

fn find(app: &AppState, name: &str) -> Option<TargetSnapshot> {
    app.board.target(&TargetName::new(name)?)
}

pub(super) fn known_target(app: &AppState, name: &str) -> bool {
    find(app, name).is_some()
}

fn list(items: Vec<Value>) -> Json<Value> {
    Json(json!({ "items": items, "next": null }))
}

pub(super) fn no_such_target(name: &str) -> Response {
    error(StatusCode::NOT_FOUND, &format!("no target is named `{name}`"))
}

pub(super) fn error(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": message }))).into_response()
}

/// The value of `limit`; without one, everything that is kept.
fn limit(query: &str) -> Result<usize, String> {
    match url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "limit") {
        None => Ok(usize::MAX),
        Some((_, value)) => match value.parse() {
            Ok(limit) if limit > 0 => Ok(limit),
            _ => Err(format!("limit={value} is not a whole number above 0")),
        },
    }
}

fn target_json(app: &AppState, snapshot: &TargetSnapshot, alerts: &[AlertRow]) -> Value {
    let target = &snapshot.target;
    let alerts: Vec<_> = alerts.iter().filter(|a| a.target == target.name).map(alert_json).collect();
    json!({
        "name": target.name.as_str(),
        "url": target.url.public(),
        "labels": target.labels,
        "interval": target.interval.as_secs_f64(),
        "timeout": target.timeout.as_secs_f64(),
        "verdict": snapshot.verdict.map(Verdict::as_str),
        "since": time(snapshot.since),
        "consecutive": snapshot.consecutive,
        "inconclusive": snapshot.inconclusive,
        "last_success": time(snapshot.last_success),
        "last_outcome": snapshot.latest().map(|o| (app.outcome_json)(o)),
        "alerts": alerts,
        "muted_by": app.quiet.borrow().of_target(target, app.clock.now()).iter().map(views::mute).collect::<Vec<_>>(),
        "http_check": snapshot.page.as_deref().map(views::page),
    })
}

fn alert_json(alert: &AlertRow) -> Value {
    json!({
        "target": alert.target.as_str(),
        "rule": &*alert.rule,
        "severity": alert.severity.as_str(),
        "state": alert.state.as_str(),
        "since": alert.since.to_string(),
        "cause": alert.cause,
        "muted_by": alert.muted_by.as_ref().map(views::mute),
    })
}

fn time(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_whole_number_above_zero() {
        assert_eq!(limit(""), Ok(usize::MAX));
        assert_eq!(limit("x=1&limit=3"), Ok(3));
        for wrong in ["limit=0", "limit=-1", "limit=many", "limit="] {
            assert!(limit(wrong).is_err(), "{wrong}");
        }
    }
}
