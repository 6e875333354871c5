//! PORT=8080 cargo run

use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::routing::get;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::var("PORT").unwrap_or("8080".into());
    let app = Router::new().route("/ws/health/", get(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(health)));
    axum::serve(tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?, app).await
}

async fn health(mut socket: WebSocket) {
    let _ = socket.send(r#"{"status":"ok","message":"WebSocket healthy"}"#.into()).await;
    let _ = socket.send(Message::Close(Some(CloseFrame { code: close_code::NORMAL, reason: "".into() }))).await;
    while let Some(Ok(_)) = socket.recv().await {} // until the client has closed, too
}
