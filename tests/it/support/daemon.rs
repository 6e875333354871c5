//! The real daemon in the test's own process, and an inbox for what it sends.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use wsprobe::config;
use wsprobe::daemon::Daemon;
use wsprobe::observe::{Board, TargetSnapshot};
use wsprobe::time::Clock;

/// Longer than anything here takes, on any machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// An inbox with a place for Slack and one for webhooks, whose messages are awaited one by one.
pub struct Inbox {
    pub base: String,
    pub slack: Messages,
    pub hook: Messages,
}

pub struct Messages(mpsc::UnboundedReceiver<Value>);

impl Inbox {
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let base = format!("http://{}", listener.local_addr().expect("address"));
        let ((to_slack, slack), (to_hook, hook)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let receive = async |State(tx): State<mpsc::UnboundedSender<Value>>, body: axum::Json<Value>| {
            let _ = tx.send(body.0);
            "ok"
        };
        let routes =
            Router::new().route("/slack", post(receive).with_state(to_slack)).route("/hook", post(receive).with_state(to_hook));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Inbox { base, slack: Messages(slack), hook: Messages(hook) }
    }
}

impl Messages {
    /// Whether nothing waits to be read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub async fn next(&mut self) -> Value {
        timeout(PATIENCE, self.0.recv()).await.expect("a message in time").expect("inbox")
    }
}

/// The daemon as it runs in production, and what is needed to end it.
pub struct Running {
    board: Arc<Board>,
    pub base: String,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    pub async fn start(yaml: &str) -> Self {
        Running::start_at(yaml, Clock::system()).await
    }

    /// As [`Running::start`], by another clock.
    pub async fn start_at(yaml: &str, clock: Clock) -> Self {
        let config =
            config::parse(yaml, std::path::Path::new("test.yaml"), &|_| None).unwrap_or_else(|report| panic!("{report}"));
        let daemon = Daemon::bind(config, clock).await.expect("bind");
        let (board, base) = (daemon.board(), format!("http://{}", daemon.addr()));
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(daemon.run(shutdown.clone()));
        Running { board, base, shutdown, task }
    }

    /// Recent outcomes, also after the daemon has ended.
    pub fn board(&self) -> Arc<Board> {
        self.board.clone()
    }

    pub fn target(&self, name: &str) -> TargetSnapshot {
        self.board.target(&wsprobe::outcome::TargetName::lossy(name)).expect("target")
    }

    /// Waits until the board says so; it is asked again and again, since it has no event to wait for.
    pub async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let mut again = tokio::time::interval(Duration::from_millis(20));
        let waiting = async {
            while !holds(self) {
                again.tick().await;
            }
        };
        timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
    }

    pub async fn metrics(&self) -> String {
        get(&format!("{}/metrics", self.base)).await
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        timeout(Duration::from_secs(10), self.task).await.expect("drains within 10 s").expect("no panic");
    }
}

/// A plain GET: the whole answer.
pub async fn get(url: &str) -> String {
    call("GET", url, &[], "").await
}

/// Any request with a body: the whole answer.
pub async fn call(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let rest = url.strip_prefix("http://").expect("http");
    let (host, path) = rest.split_once('/').expect("path");
    let mut stream = tokio::net::TcpStream::connect(host).await.expect("connect");
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = format!("{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}{length}\r\n");
    stream.write_all((head + body).as_bytes()).await.expect("write");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("read");
    answer
}
