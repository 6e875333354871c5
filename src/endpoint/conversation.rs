//! One connection: plain answers, the healthy conversation, and every fault.

use std::io;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use super::fault::{Fault, Faults, Stage};
use super::request::Request;
use super::{HEALTHY, PATH};

/// How long the peer may take to echo the close frame.
const ECHO_WAIT: Duration = Duration::from_secs(5);
/// How long a fault keeps a silent connection open, unless the peer goes first.
const SILENCE: Duration = Duration::from_secs(600);
/// How long a connection that stays open does so: longer than anybody holds one.
const FEED: Duration = Duration::from_secs(2 * 86_400);
/// The headers that Django's default settings put on every answer (5.2).
const DJANGO: &str =
    "X-Content-Type-Options: nosniff\r\nReferrer-Policy: same-origin\r\nCross-Origin-Opener-Policy: same-origin\r\n";
const LARGEST_MESSAGE: usize = 64 * 1024;

/// How a connection is to be ended by whoever owns the socket.
#[derive(PartialEq, Eq)]
pub enum End {
    Fin,
    Reset,
}

/// Serves one request to its end.
pub async fn serve<S>(mut stream: S, faults: &Faults, request: Request) -> io::Result<End>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let pause = |stage| match faults.at(stage) {
        Some(Fault::Slow(d) | Fault::SlowMessage(d)) => d,
        _ => Duration::ZERO,
    };
    if request.path == "/healthz" {
        answer(&mut stream, "200 OK", "Content-Type: text/plain\r\n", "ok").await?;
        return Ok(End::Fin);
    }
    if let Some(fault) = faults.at(Stage::Answer)
        && (request.wants_upgrade() || fault.meets_plain_requests())
    {
        return refuse(&mut stream, fault, &request).await;
    }
    if request.path != PATH {
        answer(&mut stream, "404 Not Found", "Content-Type: text/plain\r\n", "not found\n").await?;
        return Ok(End::Fin);
    }
    if !request.wants_upgrade() {
        let headers = "Upgrade: websocket\r\nConnection: Upgrade\r\nContent-Type: text/plain\r\n";
        answer(&mut stream, "426 Upgrade Required", headers, "this is a WebSocket endpoint\n").await?;
        return Ok(End::Fin);
    }
    let key = match request.websocket_key() {
        Ok(key) => key,
        Err(wrong) => {
            answer(&mut stream, "400 Bad Request", "Sec-WebSocket-Version: 13\r\nContent-Type: text/plain\r\n", wrong).await?;
            return Ok(End::Fin);
        }
    };
    sleep_if(pause(Stage::BeforeAnswer)).await;
    switch(&mut stream, &derive_accept_key(key.as_bytes())).await?;
    sleep_if(pause(Stage::BeforeMessage)).await;
    let limits = WebSocketConfig::default()
        .read_buffer_size(4096)
        .max_message_size(Some(LARGEST_MESSAGE))
        .max_frame_size(Some(LARGEST_MESSAGE));
    talk(WebSocketStream::from_raw_socket(stream, Role::Server, Some(limits)).await, faults).await
}

/// After the 101: message and close, or the fault that stands in for them.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(mut ws: WebSocketStream<S>, faults: &Faults) -> io::Result<End> {
    let message = match faults.at(Stage::Message) {
        Some(Fault::SilentUpgrade) => return hold(ws.get_mut()).await,
        Some(Fault::MaskedFrame) => {
            ws.get_mut().write_all(b"\x81\x82\x00\x00\x00\x00ok").await?;
            return hold(ws.get_mut()).await;
        }
        Some(Fault::BadUtf8) => {
            ws.get_mut().write_all(b"\x81\x02\xff\xfe").await?;
            return hold(ws.get_mut()).await;
        }
        Some(Fault::WrongMessage) => r#"{"status":"degraded","message":"database unreachable"}"#,
        _ => HEALTHY,
    };
    let close = match faults.at(Stage::Close) {
        Some(Fault::NoClose) => {
            let _ = ws.send(Message::text(message)).await;
            return hold(ws.get_mut()).await;
        }
        Some(Fault::StaysOpen) => {
            let _ = ws.send(Message::text(message)).await;
            let gone = async { while let Some(Ok(_)) = ws.next().await {} };
            let _ = timeout(FEED, gone).await;
            return Ok(End::Fin);
        }
        Some(Fault::AbnormalClose) => {
            let _ = ws.send(Message::text(message)).await;
            return Ok(End::Fin);
        }
        Some(Fault::Close1011) => CloseCode::Error,
        _ => CloseCode::Normal,
    };
    // message and close frame leave in one write
    let _ = ws.feed(Message::text(message)).await;
    let _ = ws.close(Some(CloseFrame { code: close, reason: Default::default() })).await;
    let echoed = async { while let Some(Ok(_)) = ws.next().await {} };
    let _ = timeout(ECHO_WAIT, echoed).await;
    // The server ends TCP first (RFC 6455 section 7.1.1), so that TIME_WAIT stays on its side.
    let _ = ws.get_mut().shutdown().await;
    Ok(End::Fin)
}

async fn switch<S: AsyncWrite + Unpin>(stream: &mut S, accept: &str) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.flush().await
}

/// The faults that take the place of the 101.
async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, fault: Fault, request: &Request) -> io::Result<End> {
    let (host, path) = (request.host(), request.path.as_str());
    let html = "Content-Type: text/html; charset=utf-8\r\n";
    match fault {
        Fault::Redirect301 => {
            // byte for byte what Daphne sends for it
            let head = format!(
                "HTTP/1.1 301 Moved Permanently\r\n{html}Location: https://{host}{path}\r\n{DJANGO}Server: daphne\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await?;
        }
        Fault::Redirect302Login => {
            let headers = format!("{html}Location: /login/?next={path}\r\n{DJANGO}X-Frame-Options: DENY\r\nVary: Cookie\r\n");
            answer(stream, "302 Found", &headers, "").await?;
        }
        Fault::RedirectSlash => {
            let other = path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned);
            answer(stream, "301 Moved Permanently", &format!("{html}Location: {other}\r\n{DJANGO}"), "").await?;
        }
        Fault::RedirectHost => {
            let headers = format!("Server: nginx\r\nContent-Type: text/html\r\nLocation: https://www.example.com{path}\r\n");
            let body = "<html>\r\n<head><title>301 Moved Permanently</title></head>\r\n<body>\r\n<center><h1>301 Moved Permanently</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n";
            answer(stream, "301 Moved Permanently", &headers, body).await?;
        }
        Fault::IgnoreUpgrade => {
            answer(stream, "200 OK", html, "<!doctype html><title>Welcome</title><div id=\"root\"></div>").await?
        }
        Fault::Forbidden => answer(stream, "403 Forbidden", "Content-Type: text/plain\r\n", "Access denied").await?,
        Fault::NotFound => {
            answer(stream, "404 Not Found", html, "<h1>Not Found</h1><p>The requested resource was not found on this server.</p>")
                .await?
        }
        Fault::Error500 => answer(stream, "500 Internal Server Error", html, "<h1>Server Error (500)</h1>").await?,
        Fault::Unavailable503 => {
            answer(stream, "503 Service Unavailable", &format!("Retry-After: 30\r\n{html}"), "<h1>Back soon</h1>").await?;
        }
        Fault::WrongAccept => {
            switch(stream, "d3JvbmcgYWNjZXB0IGtleSEhIQ==").await?;
            return hold(stream).await;
        }
        Fault::Garbage => stream.write_all(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n").await?,
        Fault::Drip => {
            for byte in
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Filler: slow\r\n".repeat(10)
            {
                stream.write_all(&[byte]).await?;
                stream.flush().await?;
                sleep(Duration::from_millis(100)).await;
            }
        }
        Fault::ResetAfterRequest => return Ok(End::Reset),
        _ => {}
    }
    stream.flush().await?;
    Ok(End::Fin)
}

/// Answers and leaves the connection to be closed.
pub async fn answer<S: AsyncWrite + Unpin>(stream: &mut S, status: &str, headers: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    let response = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(response.as_bytes()).await?;
    stream.flush().await
}

/// Stays silent until the peer goes.
pub async fn hold<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<End> {
    let mut scratch = [0u8; 512];
    let gone = async { while stream.read(&mut scratch).await.is_ok_and(|n| n > 0) {} };
    let _ = timeout(SILENCE, gone).await;
    Ok(End::Fin)
}

async fn sleep_if(pause: Duration) {
    if !pause.is_zero() {
        sleep(pause).await;
    }
}
