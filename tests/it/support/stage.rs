//! A peer that plays a script: read the request, write these bytes, end the connection that way. Each connection is
//! played anew. One row of a table of behaviours is one list of acts.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ProtocolVersion;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// One thing that a scripted peer does.
#[derive(Clone, Debug)]
pub enum Act {
    /// Reads a request head.
    Request,
    /// Writes these bytes.
    Write(Vec<u8>),
    /// Writes these bytes one by one, with a pause before each.
    Drip(Vec<u8>, Duration),
    /// A proper 101 for the request that was read, with further header lines (each ended by CRLF).
    Switch(&'static str),
    /// A 101 written by hand; `{accept}` becomes the right key.
    Head(&'static str),
    /// Writes the bytes again and again, as fast as they are taken.
    Flood(Vec<u8>),
    /// Waits until the client's close frame, or its end, has come.
    AwaitClose,
    /// Answers one ping with its pong.
    AnswerPing,
    /// Reads a message, and goes on only if it is this text.
    Hear(&'static str),
    /// Answers pings with their pongs until the client's close frame, or its end, has come.
    AnswerPings,
    Pause(Duration),
    /// Stays connected and silent until the client goes.
    Hold,
    /// Ends TCP properly.
    Fin,
    /// Resets TCP.
    Rst,
}

/// A frame from a server: final, unmasked.
pub fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | opcode];
    match payload.len() {
        n if n < 126 => bytes.push(n as u8),
        n if n < 65536 => bytes.extend([&[126][..], &(n as u16).to_be_bytes()].concat()),
        n => bytes.extend([&[127][..], &(n as u64).to_be_bytes()].concat()),
    }
    bytes.extend_from_slice(payload);
    bytes
}

pub fn text(payload: &str) -> Act {
    Act::Write(frame(1, payload.as_bytes()))
}

pub fn health() -> Act {
    text(r#"{"status":"ok","message":"WebSocket healthy"}"#)
}

pub fn close(code: u16) -> Act {
    Act::Write(frame(8, &code.to_be_bytes()))
}

pub fn close_with(code: u16, reason: &str) -> Act {
    Act::Write(frame(8, &[&code.to_be_bytes(), reason.as_bytes()].concat()))
}

pub fn write(bytes: impl AsRef<[u8]>) -> Act {
    Act::Write(bytes.as_ref().to_vec())
}

/// What a peer got to see of its last client.
#[derive(Clone, Debug, Default)]
struct Seen {
    request: String,
    sni: Option<String>,
    version: Option<ProtocolVersion>,
    /// Certificates that the client sent.
    chain: usize,
}

/// A peer that plays `acts` on every connection until it is dropped.
pub struct Peer {
    pub addr: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Peer {
    pub async fn plays(acts: Vec<Act>) -> Peer {
        Peer::start(vec![acts], None).await
    }

    pub async fn plays_over_tls(acts: Vec<Act>, tls: TlsAcceptor) -> Peer {
        Peer::start(vec![acts], Some(tls)).await
    }

    /// Plays the first on the first connection and so on, and the last on all that follow.
    pub async fn plays_in_turn(turns: Vec<Vec<Act>>) -> Peer {
        Peer::start(turns, None).await
    }

    async fn start(turns: Vec<Vec<Act>>, tls: Option<TlsAcceptor>) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let addr = listener.local_addr().expect("address");
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let sees = seen.clone();
        let task = tokio::spawn(async move {
            let mut turn = 0;
            while let Ok((tcp, _)) = listener.accept().await {
                let (acts, tls, seen) = (turns[turn].clone(), tls.clone(), sees.clone());
                turn = (turn + 1).min(turns.len() - 1);
                tokio::spawn(async move {
                    match tls {
                        None => drop(play(tcp, &acts, &seen).await),
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(tcp).await {
                                let connection = stream.get_ref().1;
                                *seen.lock().expect("lock") = Seen {
                                    request: String::new(),
                                    sni: connection.server_name().map(str::to_owned),
                                    version: connection.protocol_version(),
                                    chain: connection.peer_certificates().map_or(0, <[_]>::len),
                                };
                                drop(play(stream, &acts, &seen).await);
                            }
                        }
                    }
                });
            }
        });
        Peer { addr, seen, task }
    }

    pub fn url(&self) -> String {
        format!("ws://{}/ws/health/", self.addr)
    }

    fn seen(&self) -> Seen {
        self.seen.lock().expect("lock").clone()
    }

    /// The head of the last request that it read.
    pub fn request(&self) -> String {
        self.seen().request
    }

    /// The lines of that head that begin like this.
    pub fn header(&self, name: &str) -> Vec<String> {
        self.request().lines().filter(|line| line.to_lowercase().starts_with(name)).map(str::to_owned).collect()
    }

    /// The server name, TLS version and number of certificates of its last client.
    pub fn handshake(&self) -> (Option<String>, Option<ProtocolVersion>, usize) {
        let seen = self.seen();
        (seen.sni, seen.version, seen.chain)
    }

    pub fn tls_url(&self) -> String {
        format!("wss://localhost:{}/ws/health/", self.addr.port())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An address that answers TCP handshakes while it is open, and is dead silent while it is shut.
pub struct Gate {
    pub addr: SocketAddr,
    listener: Arc<TcpListener>,
    /// What fills the queue while it is shut.
    queued: Vec<TcpStream>,
    accepting: Option<JoinHandle<()>>,
    /// Connections that it let in.
    pub let_in: Arc<AtomicUsize>,
}

impl Gate {
    pub fn open() -> Gate {
        let socket = TcpSocket::new_v4().expect("socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("bind");
        let listener = Arc::new(socket.listen(0).expect("listen"));
        let addr = listener.local_addr().expect("address");
        let mut gate = Gate { addr, listener, queued: vec![], accepting: None, let_in: Arc::default() };
        gate.reopen();
        gate
    }

    pub async fn shut() -> Gate {
        let mut gate = Gate::open();
        gate.close().await;
        gate
    }

    pub fn reopen(&mut self) {
        self.queued.clear();
        let (listener, let_in) = (self.listener.clone(), self.let_in.clone());
        self.accepting = Some(tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                let_in.fetch_add(1, Relaxed);
            }
        }));
    }

    /// Once the queue of a listener is full, the kernel drops every further SYN.
    pub async fn close(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            let _ = accepting.await;
        }
        while let Ok(Ok(stream)) = timeout(Duration::from_millis(300), TcpStream::connect(self.addr)).await {
            self.queued.push(stream);
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.accepting.iter().for_each(JoinHandle::abort);
    }
}

/// What both a bare and a TLS connection can do.
trait Connection: AsyncRead + AsyncWrite + Unpin + Send {
    fn tcp(&self) -> &TcpStream;
}

impl Connection for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Connection for tokio_rustls::server::TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

fn play<'a, C: Connection + 'static>(
    mut stream: C,
    acts: &'a [Act],
    seen: &'a Mutex<Seen>,
) -> Pin<Box<dyn Future<Output = std::io::Result<()>> + Send + 'a>> {
    Box::pin(async move {
        stream.tcp().set_nodelay(true)?;
        let mut key = String::new();
        for act in acts {
            match act {
                Act::Request => {
                    let head = request(&mut stream).await?;
                    key = head.lines().find_map(|l| l.strip_prefix("Sec-WebSocket-Key: ")).unwrap_or_default().to_owned();
                    seen.lock().expect("lock").request = head;
                }
                Act::Write(bytes) => {
                    stream.write_all(bytes).await?;
                    stream.flush().await?;
                }
                Act::Drip(bytes, pause) => {
                    for byte in bytes {
                        tokio::time::sleep(*pause).await; // the behaviour itself, not a wait for something
                        stream.write_all(&[*byte]).await?;
                        stream.flush().await?;
                    }
                }
                Act::Switch(extra) => {
                    let accept = derive_accept_key(key.as_bytes());
                    let head = format!(
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n{extra}\r\n"
                    );
                    stream.write_all(head.as_bytes()).await?;
                    stream.flush().await?;
                }
                Act::Head(head) => {
                    stream.write_all(head.replace("{accept}", &derive_accept_key(key.as_bytes())).as_bytes()).await?;
                    stream.flush().await?;
                }
                Act::Flood(bytes) => loop {
                    stream.write_all(bytes).await?;
                },
                Act::AwaitClose => {
                    let mut seen = Vec::new();
                    // a masked close frame begins with 0x88
                    while !seen.contains(&0x88) && stream.read_buf(&mut seen).await? > 0 {}
                }
                Act::AnswerPing => drop(answer_ping(&mut stream).await?),
                Act::AnswerPings => while answer_ping(&mut stream).await? {},
                Act::Hear(expected) => {
                    let heard = message(&mut stream).await?;
                    if heard != *expected {
                        eprintln!("heard {heard}\nnot   {expected}");
                        return Err(std::io::ErrorKind::InvalidData.into());
                    }
                }
                Act::Pause(pause) => tokio::time::sleep(*pause).await,
                Act::Hold => while stream.read(&mut [0u8; 1024]).await? > 0 {},
                Act::Fin => return stream.shutdown().await,
                Act::Rst => {
                    stream.tcp().set_zero_linger()?;
                    return Ok(());
                }
            }
        }
        // Ends like a server: the client's close frame is read, so that closing does not reset.
        stream.shutdown().await?;
        while stream.read(&mut [0u8; 1024]).await? > 0 {}
        Ok(())
    })
}

/// Reads one text message of a client, in one frame.
async fn message(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<String> {
    let mut length = usize::from(stream.read_u16().await? & 0x7f);
    if length == 126 {
        length = usize::from(stream.read_u16().await?);
    }
    let mut frame = vec![0u8; 4 + length];
    stream.read_exact(&mut frame).await?;
    let (mask, payload) = frame.split_at(4);
    let text = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    Ok(String::from_utf8(text).expect("UTF-8"))
}

/// Reads one frame; answers it when it is a ping, otherwise returns false.
async fn answer_ping(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> std::io::Result<bool> {
    let mut head = [0u8; 6]; // masked, with a short payload
    stream.read_exact(&mut head).await?;
    let mut payload = vec![0u8; usize::from(head[1] & 0x7f)];
    stream.read_exact(&mut payload).await?;
    if head[0] != 0x89 {
        return Ok(false);
    }
    let payload: Vec<u8> = payload.iter().enumerate().map(|(i, b)| b ^ head[2 + i % 4]).collect();
    stream.write_all(&frame(10, &payload)).await?;
    stream.flush().await?;
    Ok(true)
}

/// Reads a request head.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}
