//! A local HTTP endpoint shaped like a Slack incoming webhook: what it receives is what Slack would have received.

use std::net::SocketAddr;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::notify::slack;

/// A message as a person would read it.
pub struct Message {
    pub text: String,
    /// It tells of the end of an alert.
    pub resolved: bool,
}

pub struct Inbox {
    listener: TcpListener,
    addr: SocketAddr,
}

impl Inbox {
    pub async fn bind() -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        Ok(Inbox { addr: listener.local_addr()?, listener })
    }

    /// What goes into `webhook_url`.
    pub fn url(&self) -> String {
        format!("http://{}/services/demo", self.addr)
    }

    /// Receives until `shutdown`. The channel is bounded: a reader that is gone makes the inbox answer all the same.
    pub fn run(self, shutdown: CancellationToken) -> mpsc::Receiver<Message> {
        let (messages, received) = mpsc::channel(64);
        let routes = Router::new().route("/services/demo", post(receive)).with_state(messages);
        tokio::spawn(async move { axum::serve(self.listener, routes).with_graceful_shutdown(shutdown.cancelled_owned()).await });
        received
    }
}

async fn receive(State(messages): State<mpsc::Sender<Message>>, Json(payload): Json<Value>) -> &'static str {
    let resolved = payload["attachments"][0]["color"] == slack::RESOLVED;
    let message = Message { text: slack::as_text(&payload), resolved };
    let _ = messages.try_send(message);
    "ok" // exactly what Slack answers
}
