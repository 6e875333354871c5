//! A server that answers each request by what it asks for, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::stage::frame;

/// What becomes of a request.
pub enum Answer {
    /// These bytes, then the end of the connection.
    Http(String),
    /// A healthy conversation.
    Healthy,
    /// The connection ends without a word.
    Nothing,
    /// No word, and no end.
    Silence,
    /// This beginning, then a line as often as it is taken.
    Endless(&'static str, &'static str),
}

/// A request head as it came.
#[derive(Clone, Debug)]
pub struct Head(pub String);

impl Head {
    pub fn is_upgrade(&self) -> bool {
        self.0.contains("Upgrade: websocket\r\n")
    }

    /// `/ws/health/?a=b`
    pub fn path(&self) -> &str {
        self.0.split(' ').nth(1).unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.lines().filter_map(|line| line.split_once(": ")).find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }
}

pub struct Front {
    pub addr: SocketAddr,
    asked: Arc<Mutex<Vec<Head>>>,
    task: JoinHandle<()>,
}

type Script = Arc<dyn Fn(&Head) -> Answer + Send + Sync>;

impl Front {
    pub async fn answering(script: impl Fn(&Head) -> Answer + Send + Sync + 'static) -> Front {
        Front::answering_at(([127, 0, 0, 1], 0).into(), script).await
    }

    pub async fn answering_at(addr: SocketAddr, script: impl Fn(&Head) -> Answer + Send + Sync + 'static) -> Front {
        Front::start(addr, Arc::new(script), None).await
    }

    pub async fn answering_over_tls(tls: TlsAcceptor, script: impl Fn(&Head) -> Answer + Send + Sync + 'static) -> Front {
        Front::start(([127, 0, 0, 1], 0).into(), Arc::new(script), Some(tls)).await
    }

    async fn start(addr: SocketAddr, script: Script, tls: Option<TlsAcceptor>) -> Front {
        let listener = TcpListener::bind(addr).await.expect("bind");
        let addr = listener.local_addr().expect("address");
        let asked = Arc::<Mutex<Vec<Head>>>::default();
        let seen = asked.clone();
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (script, tls, seen) = (script.clone(), tls.clone(), seen.clone());
                tokio::spawn(async move {
                    match tls {
                        None => drop(serve(tcp, &script, &seen).await),
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(tcp).await {
                                drop(serve(stream, &script, &seen).await);
                            }
                        }
                    }
                });
            }
        });
        Front { addr, asked, task }
    }

    pub fn url(&self) -> String {
        format!("ws://{}/ws/health/", self.addr)
    }

    pub fn tls_url(&self) -> String {
        format!("wss://localhost:{}/ws/health/", self.addr.port())
    }

    /// Every request so far.
    pub fn asked(&self) -> Vec<Head> {
        self.asked.lock().expect("list").clone()
    }

    /// Requests so far, upgrades and plain ones.
    pub fn counted(&self) -> (usize, usize) {
        let asked = self.asked();
        let upgrades = asked.iter().filter(|head| head.is_upgrade()).count();
        (upgrades, asked.len() - upgrades)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, script: &Script, seen: &Mutex<Vec<Head>>) -> std::io::Result<()> {
    let mut bytes = vec![];
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    }
    let head = Head(String::from_utf8_lossy(&bytes).into_owned());
    seen.lock().expect("list").push(head.clone());
    match script(&head) {
        Answer::Http(answer) => stream.write_all(answer.as_bytes()).await?,
        Answer::Healthy => {
            let accept = derive_accept_key(head.header("sec-websocket-key").unwrap_or_default().as_bytes());
            let switch = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
            );
            let conversation = [switch.as_bytes(), &frame(1, br#"{"status":"ok"}"#), &frame(8, &1000u16.to_be_bytes())].concat();
            stream.write_all(&conversation).await?;
        }
        Answer::Nothing => {}
        Answer::Endless(beginning, line) => {
            stream.write_all(beginning.as_bytes()).await?;
            loop {
                stream.write_all(line.as_bytes()).await?;
            }
        }
        Answer::Silence => while stream.read(&mut [0u8; 1024]).await? > 0 {},
    }
    // Ends like a server: what the client still has to say is read, so that closing does not reset.
    stream.shutdown().await?;
    while stream.read(&mut [0u8; 1024]).await? > 0 {}
    Ok(())
}

/// `HTTP/1.1 404 Not Found` with a page.
pub fn page(status: &str, body: &str) -> Answer {
    Answer::Http(format!("HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

pub fn redirect(to: &str) -> Answer {
    Answer::Http(format!("HTTP/1.1 301 Moved Permanently\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"))
}

/// What Django's SECURE_SSL_REDIRECT sends.
pub fn django_redirect(to: &str) -> Answer {
    Answer::Http(format!(
        "HTTP/1.1 301 Moved Permanently\r\nContent-Type: text/html; charset=utf-8\r\nLocation: {to}\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: same-origin\r\nCross-Origin-Opener-Policy: same-origin\r\nServer: daphne\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ))
}
