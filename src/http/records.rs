//! The JSON API of what is kept: incidents, history, messages that were given up. Newest first, paged.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::api::{error, known_target, no_such_target};
use super::routes::Site;
use crate::store::{Bucket, DeadLetter, History, Incident, IncidentFilter, Page, Place, ReadError, Span};
use crate::time::Timestamp;
use crate::views::{Seconds, Time};

/// Items of a page, unless asked for.
const PAGE: usize = 100;
/// Items of a page at most.
const LARGEST_PAGE: usize = 1_000;
/// What a history covers, unless asked for.
const DAY: Duration = Duration::from_secs(86_400);
/// The least and the most that a history covers.
const OVER: std::ops::RangeInclusive<Duration> = Duration::from_secs(300)..=Duration::from_secs(3_650 * 86_400);

/// `GET /api/v1/incidents?target=&rule=&state=open|ended&since=&limit=&cursor=`
pub(super) async fn incidents(State(site): State<Site>, RawQuery(query): RawQuery) -> Response {
    let query = Query(query.unwrap_or_default());
    let asked = (|| {
        let open = match query.get("state").as_deref() {
            None => None,
            Some("open") => Some(true),
            Some("ended") => Some(false),
            Some(other) => return Err(format!("state={other} is neither open nor ended")),
        };
        let (target, rule) = (query.get("target"), query.get("rule"));
        let since = query.since(site.app.clock.now())?;
        Ok((IncidentFilter { target, rule, open, since }, query.cursor()?, query.limit()?))
    })();
    match asked {
        Ok((filter, cursor, limit)) => answer(site.app.records.incidents(filter, cursor, limit).await, incident_json),
        Err(message) => error(StatusCode::BAD_REQUEST, &message),
    }
}

/// `GET /api/v1/notifications/failed?limit=&cursor=`
pub(super) async fn dead_letters(State(site): State<Site>, RawQuery(query): RawQuery) -> Response {
    let query = Query(query.unwrap_or_default());
    match query.cursor().and_then(|cursor| Ok((cursor, query.limit()?))) {
        Ok((cursor, limit)) => answer(site.app.records.letters(cursor, limit).await, letter_json),
        Err(message) => error(StatusCode::BAD_REQUEST, &message),
    }
}

/// `GET /api/v1/targets/{name}/history?over=24h`
pub(super) async fn history(State(site): State<Site>, Path(name): Path<String>, RawQuery(query): RawQuery) -> Response {
    let over = match Query(query.unwrap_or_default()).over() {
        Ok(over) => over,
        Err(message) => return error(StatusCode::BAD_REQUEST, &message),
    };
    if !known_target(&site.app, &name) {
        return no_such_target(&name);
    }
    match site.app.records.history(name.clone(), Span::before(site.app.clock.now(), over)).await {
        Ok(history) => Json(history_json(&name, &history)).into_response(),
        Err(problem) => unreadable(&problem),
    }
}

fn answer<T>(read: Result<Page<T>, ReadError>, shape: fn(&T) -> Value) -> Response {
    match read {
        Ok(page) => {
            let next = page.next.map(|place| place.to_string());
            Json(json!({ "items": page.items.iter().map(shape).collect::<Vec<_>>(), "next": next })).into_response()
        }
        Err(problem) => unreadable(&problem),
    }
}

fn unreadable(problem: &ReadError) -> Response {
    let status = match problem {
        ReadError::NotKept => StatusCode::NOT_FOUND,
        ReadError::Trouble(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    error(status, &problem.to_string())
}

fn incident_json(incident: &Incident) -> Value {
    let end = incident.end.as_ref();
    json!({
        "id": &*incident.id,
        "target": incident.target.as_str(),
        "url": incident.url,
        "rule": &*incident.rule,
        "severity": incident.severity,
        "state": if end.is_some() { "ended" } else { "open" },
        "since": Time(incident.since),
        "fired_at": Time(incident.fired_at),
        "ended_at": end.map(|end| Time(end.at)),
        "ended": end.map(|end| &end.how),
        "lasted": end.map(|end| Seconds(end.at.since(incident.since))),
        "cause": incident.cause,
        "reason": incident.reason,
        "phase": incident.phase,
        "detail": incident.detail,
        "diagnosis": incident.diagnosis.as_ref().map(|found| json!({ "code": found.code, "summary": found.summary })),
    })
}

fn letter_json(letter: &DeadLetter) -> Value {
    json!({
        "id": &*letter.id,
        "receiver": &*letter.receiver,
        "kind": letter.kind,
        "target": letter.target.as_str(),
        "rule": &*letter.rule,
        "severity": letter.severity,
        "happened_at": Time(letter.happened_at),
        "given_up_at": Time(letter.given_up_at),
        "reason": letter.reason,
        "text": letter.text,
    })
}

fn history_json(name: &str, history: &History) -> Value {
    let items = history.buckets.iter().map(|(start, bucket)| {
        let mut item = json!({ "start": Time(*start) });
        merge(&mut item, bucket_json(bucket));
        item
    });
    json!({
        "target": name,
        "from": Time(history.span.from),
        "to": Time(history.span.to),
        "step": Seconds(history.span.step),
        "total": bucket_json(&history.total),
        "items": items.collect::<Vec<_>>(),
        "next": null,
    })
}

fn merge(item: &mut Value, more: Value) {
    if let (Value::Object(item), Value::Object(more)) = (item, more) {
        item.extend(more);
    }
}

fn bucket_json(bucket: &Bucket) -> Value {
    let quantile = |share| bucket.quantile(share).map(Seconds);
    json!({
        "probes": bucket.probes,
        "healthy": bucket.healthy(),
        "failed": bucket.failed(),
        "inconclusive": bucket.inconclusive,
        "redirects": bucket.redirects,
        "availability": bucket.availability(),
        "failures": bucket.failures,
        "latency": { "p50": quantile(0.5), "p95": quantile(0.95), "max": bucket.longest.map(Seconds) },
    })
}

/// What stands behind the question mark. An error names the value and what would be right.
struct Query(String);

impl Query {
    fn get(&self, key: &str) -> Option<String> {
        let found = url::form_urlencoded::parse(self.0.as_bytes()).find(|(name, _)| name == key);
        found.map(|(_, value)| value.into_owned()).filter(|value| !value.is_empty())
    }

    fn limit(&self) -> Result<usize, String> {
        match self.get("limit") {
            None => Ok(PAGE),
            Some(value) => match value.parse() {
                Ok(limit) if (1..=LARGEST_PAGE).contains(&limit) => Ok(limit),
                _ => Err(format!("limit={value} is not a whole number from 1 to {LARGEST_PAGE}")),
            },
        }
    }

    fn cursor(&self) -> Result<Option<Place>, String> {
        let wrong = || "cursor has to be the `next` of an earlier answer".to_owned();
        self.get("cursor").map(|value| Place::parse(&value).ok_or_else(wrong)).transpose()
    }

    /// A point in time, or how long ago it is.
    fn since(&self, now: Timestamp) -> Result<Option<Timestamp>, String> {
        let Some(value) = self.get("since") else { return Ok(None) };
        let at = humantime::parse_rfc3339(&value).map(Timestamp::from);
        let at = at.or_else(|_| humantime::parse_duration(&value).map(|ago| now.before(ago)));
        at.map(Some).map_err(|_| format!("since={value} is neither a time like 2026-01-02T03:04:05Z nor a duration like 24h"))
    }

    fn over(&self) -> Result<Duration, String> {
        let Some(value) = self.get("over") else { return Ok(DAY) };
        let over = humantime::parse_duration(&value).ok().filter(|over| OVER.contains(over));
        over.ok_or_else(|| format!("over={value} is not a duration from 5m to 3650d"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_767_323_045);

    #[test]
    fn a_time_is_given_as_such_or_as_how_long_ago_it_is() {
        let since = |text: &str| Query(text.to_owned()).since(NOW);
        assert_eq!(since(""), Ok(None));
        assert_eq!(since("since=2026-01-02T03:04:05Z"), Ok(Some(NOW)));
        assert_eq!(since("since=1h%2030m"), Ok(Some(NOW.before(Duration::from_secs(5_400)))));
        assert!(since("since=yesterday").is_err());
    }

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        let query = |text: &str| Query(text.to_owned());
        assert_eq!((query("").limit(), query("limit=7").limit()), (Ok(PAGE), Ok(7)));
        assert!(query("limit=0").limit().is_err() && query("limit=1001").limit().is_err());
        assert_eq!((query("").over(), query("over=7d").over()), (Ok(DAY), Ok(7 * DAY)));
        assert!(query("over=1s").over().is_err() && query("over=long").over().is_err());
        assert!(query("cursor=here").cursor().is_err());
    }
}
