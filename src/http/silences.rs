//! `/api/v1/silences`: what people mute for a while.
//!
//! Nothing is kept here. A wish goes to the task that owns the state, and is answered once it is kept.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::SilenceCommand;
use super::routes::Site;
use crate::mute::{Refusal, Silence};
use crate::views::{self, SilenceRequest};

/// How long the task that owns the state may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

const EXAMPLE: &str = r#"{"targets": ["prod"], "for": "30m", "reason": "deploy 1234"}"#;

/// `GET /api/v1/silences`: the active ones, and those that ended in the last day; newest first.
pub(super) async fn list(State(site): State<Site>) -> Response {
    let (quiet, now) = (site.app.quiet.borrow().clone(), site.app.clock.now());
    let (active, ended): (Vec<_>, Vec<_>) = quiet.silences.iter().rev().partition(|silence| silence.is_active(now));
    let items: Vec<_> = active.into_iter().chain(ended).map(|silence| views::silence(silence, now)).collect();
    Json(json!({ "items": items, "next": null })).into_response()
}

/// `POST /api/v1/silences`
pub(super) async fn add(State(site): State<Site>, headers: HeaderMap, body: Bytes) -> Response {
    let json_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")));
    if !json_type {
        let remedy = "send the header `Content-Type: application/json`";
        return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a silence is written as JSON", remedy);
    }
    let request = serde_json::from_slice::<SilenceRequest>(&body);
    let request = request.map_err(|error| (error.to_string(), format!("for example {EXAMPLE}")));
    let wish = match request.and_then(SilenceRequest::wish) {
        Ok(wish) => wish,
        Err((problem, remedy)) => return refused(StatusCode::BAD_REQUEST, &problem, &remedy),
    };
    let (answer, answered) = oneshot::channel();
    match ask(&site, SilenceCommand::Add { wish, answer }, answered).await {
        Some(Ok(silence)) => show(StatusCode::CREATED, &site, &silence),
        Some(Err(Refusal { problem, remedy, busy })) => {
            let status = if busy { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::BAD_REQUEST };
            refused(status, &problem, &remedy)
        }
        None => no_answer(),
    }
}

/// `DELETE /api/v1/silences/{id}`: ends it now. The silence stays listed as ended.
pub(super) async fn expire(State(site): State<Site>, Path(id): Path<String>) -> Response {
    let (answer, answered) = oneshot::channel();
    match ask(&site, SilenceCommand::Expire { id, answer }, answered).await {
        Some(Some(silence)) => show(StatusCode::OK, &site, &silence),
        Some(None) => {
            refused(StatusCode::NOT_FOUND, "there is no such silence", "`wsprobe silence list` shows the ids there are")
        }
        None => no_answer(),
    }
}

/// `None`: no answer in time.
async fn ask<T>(site: &Site, command: SilenceCommand, answered: oneshot::Receiver<T>) -> Option<T> {
    let asked = async {
        site.app.silences.send(command).await.ok()?;
        answered.await.ok()
    };
    timeout(PATIENCE, asked).await.ok().flatten()
}

fn show(status: StatusCode, site: &Site, silence: &Silence) -> Response {
    (status, Json(views::silence(silence, site.app.clock.now()))).into_response()
}

fn refused(status: StatusCode, problem: &str, remedy: &str) -> Response {
    (status, Json(json!({ "error": problem, "remedy": remedy }))).into_response()
}

fn no_answer() -> Response {
    let remedy = "the daemon is starting, shutting down or overloaded: list the silences, then try again";
    refused(StatusCode::SERVICE_UNAVAILABLE, "whether that was done is not known", remedy)
}
