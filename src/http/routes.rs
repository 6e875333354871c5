//! The list of routes, and what is common to every answer.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::map_response;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{delete, get, post};
use bytes::Bytes;
use hyper::body::Frame;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{AppState, api, layout, records, runbook, silences, status_page, writes};

/// Largest request body: far above any silence.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Scrapes at a time. Each holds a blocking thread for as long as its reader reads.
const MAX_SCRAPES: usize = 4;

/// What `/metrics` answers, as the text format wants it.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What every handler sees. Cheap to clone.
#[derive(Clone)]
pub(super) struct Site {
    pub app: AppState,
    scrapes: Arc<Semaphore>,
    runbook: Bytes,
}

/// Every route.
pub(super) fn router(app: AppState) -> Router {
    let site =
        Site { scrapes: Arc::new(Semaphore::new(MAX_SCRAPES)), runbook: runbook::page(&app.version).into_string().into(), app };
    let headers = security_headers();
    Router::new()
        .route("/", get(page))
        .route("/runbook", get(|State(site): State<Site>| async move { Html(site.runbook) }))
        .route("/metrics", get(metrics))
        .route("/-/healthy", get(async || "healthy\n"))
        .route("/-/ready", get(ready))
        .route("/api/v1/targets", get(api::targets))
        .route("/api/v1/targets/{name}", get(api::target))
        .route("/api/v1/targets/{name}/outcomes", get(api::outcomes))
        .route("/api/v1/targets/{name}/history", get(records::history))
        .route("/api/v1/alerts", get(api::alerts))
        .route("/api/v1/incidents", get(records::incidents))
        .route("/api/v1/notifications/failed", get(records::dead_letters))
        .route("/api/v1/silences", get(silences::list))
        .merge(writes::guarded(writing()))
        .fallback(api::not_found)
        .with_state(site)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(map_response(move |mut response: Response| {
            for (name, value) in &headers {
                response.headers_mut().insert(name, value.clone());
            }
            std::future::ready(response)
        }))
}

/// The routes that change state.
fn writing() -> Router<Site> {
    Router::new()
        .route("/-/reload", post(reload))
        .route("/api/v1/silences", post(silences::add))
        .route("/api/v1/silences/{id}", delete(silences::expire))
}

/// No script ever runs, and the one style sheet that applies is ours: it is named by its hash. Answers show the present, so
/// nothing may keep them.
fn security_headers() -> HeaderMap {
    let policy = format!(
        "default-src 'none'; style-src '{}'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        layout::style_hash()
    );
    let mut headers = HeaderMap::new();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers
}

async fn page(State(site): State<Site>, RawQuery(query): RawQuery) -> Response {
    let refresh = query.as_deref() != Some("refresh=off");
    blocking(move || Html(status_page::render(&site.app, refresh).into_string())).await
}

async fn ready(State(site): State<Site>) -> Response {
    if site.app.ready.load(Ordering::SeqCst) {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: starting or shutting down\n").into_response()
    }
}

/// Reads the configuration again; answers when it is in force, or was refused. The text is for people, and for the log of a
/// deployment.
async fn reload(State(site): State<Site>) -> Response {
    let (answer, result) = oneshot::channel();
    if let Err(error) = site.app.reload.try_send(answer) {
        let why = match error {
            mpsc::error::TrySendError::Full(_) => "too many reloads are waiting already: try again in a moment\n",
            mpsc::error::TrySendError::Closed(_) => "not reloaded: shutting down\n",
        };
        return (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    }
    match result.await {
        Ok(Ok(changes)) => format!("reloaded: {changes}\n").into_response(),
        Ok(Err(why)) => {
            let text = format!("reload refused, the configuration before stays in force:\n{why}\n");
            (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
        }
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "not reloaded: shutting down\n").into_response(),
    }
}

async fn metrics(State(site): State<Site>) -> Response {
    let Ok(permit) = site.scrapes.try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many scrapes at once\n").into_response();
    };
    let (pieces, reader) = mpsc::channel(2);
    let now = site.app.clock.now();
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let mut send = |piece: String| match pieces.blocking_send(piece) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        if let Err(error) = site.app.metrics.encode_pieces(now, &mut send) {
            tracing::debug!(%error, "exposition ended early");
        }
    });
    ([(CONTENT_TYPE, METRICS_TYPE)], Body::new(Pieces(reader))).into_response()
}

/// Makes an answer off the async threads: with many targets it takes milliseconds.
pub(super) async fn blocking<R: IntoResponse + Send + 'static>(make: impl FnOnce() -> R + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(make).await {
        Ok(response) => response.into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer could not be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A body that arrives in pieces from another thread.
struct Pieces(mpsc::Receiver<String>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece.into()))))
    }
}
