//! A running HTTP server with a board to write on, and a plain client for it.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use wsprobe::config::{
    Condition, Config, Mentions, Receiver, ReceiverKind, Rule, Secret, Selector, Server as ServerConfig, Severity, Storage,
    Target, TargetUrl,
};
use wsprobe::http::{AlertRow, AppState, DiagnosisRow, Server};
use wsprobe::observe::{Board, Metrics};
use wsprobe::outcome::{HttpEvidence, Outcome, Phase, Reason, TargetName, Timings, TlsEvidence};
use wsprobe::store::Records;
use wsprobe::time::{Clock, Timestamp};

/// Nothing here takes longer, unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// 2026-01-02T03:04:05Z: where the clock of every site stands.
pub const NOW: Timestamp = Timestamp::from_secs(1_767_323_045);

/// A running server, and both ends of what it shows.
pub struct Site {
    pub addr: SocketAddr,
    pub state: AppState,
    pub alerts: watch::Sender<Arc<Vec<AlertRow>>>,
    pub shutdown: CancellationToken,
    pub task: JoinHandle<()>,
}

/// A response as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("not JSON: {e}: {}", self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

impl Site {
    /// Serves these targets on a free port.
    pub async fn start(targets: Vec<Target>) -> Site {
        let config = config(targets);
        let (alerts, rows) = watch::channel(Arc::default());
        let state = AppState {
            reload: tokio::sync::mpsc::channel(1).0,
            metrics: Metrics::new(&config, "1.2.3"),
            board: Arc::new(Board::new(&config)),
            records: Arc::new(Records::in_memory()),
            alerts: rows,
            quiet: watch::channel(Arc::default()).1,
            silences: tokio::sync::mpsc::channel(1).0,
            ready: Arc::new(AtomicBool::new(true)),
            clock: Clock::manual(NOW),
            version: "1.2.3".into(),
            diagnose: Arc::new(|outcome| {
                (outcome.reason == Reason::UpgradeRedirected).then(|| DiagnosisRow {
                    summary: "The upgrade is redirected to the URL it was sent to.".to_owned(),
                    checked: None,
                    cause: "Django takes the request for plain HTTP.".to_owned(),
                    fix: "Set `SECURE_PROXY_SSL_HEADER`.".to_owned(),
                    code: "redirect-same-url".to_owned(),
                })
            }),
            outcome_json: Arc::new(|outcome| json!({ "target": outcome.target.as_str(), "reason": outcome.reason.as_str() })),
        };
        let server = Server::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let addr = server.addr();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(server.run(state.clone(), shutdown.clone()));
        Site { addr, state, alerts, shutdown, task }
    }

    /// Takes in an outcome, as the daemon does.
    pub fn record(&self, outcome: Outcome) {
        if let Some(handle) = self.state.metrics.target(&outcome.target) {
            handle.record(&outcome);
        }
        self.state.board.record(&Arc::new(outcome));
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.request("GET", path).await
    }

    pub async fn request(&self, method: &str, path: &str) -> Answer {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: wsprobe\r\nConnection: close\r\n\r\n");
        tokio::time::timeout(PATIENCE, exchange(self.addr, request.as_bytes())).await.expect("an answer in time")
    }
}

async fn exchange(addr: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut bytes = vec![];
    stream.read_to_end(&mut bytes).await.unwrap();
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Answer {
    let mut slots = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut slots);
    let end = head.parse(bytes).unwrap().unwrap();
    let headers: BTreeMap<_, _> =
        head.headers.iter().map(|h| (h.name.to_ascii_lowercase(), String::from_utf8_lossy(h.value).into_owned())).collect();
    let chunked = headers.get("transfer-encoding").is_some_and(|v| v == "chunked");
    let body = if chunked { unchunk(&bytes[end..]) } else { bytes[end..].to_vec() };
    Answer { status: head.code.unwrap(), body: String::from_utf8(body).unwrap(), headers }
}

fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = vec![];
    while !bytes.is_empty() {
        let httparse::Status::Complete((begin, size)) = httparse::parse_chunk_size(bytes).unwrap() else { panic!("cut off") };
        let size = size as usize;
        body.extend_from_slice(&bytes[begin..begin + size]);
        bytes = &bytes[begin + size + 2..];
    }
    body
}

pub fn name(name: &str) -> TargetName {
    TargetName::new(name).unwrap()
}

pub fn target(name_: &str, url: &str) -> Target {
    Target::new(name(name_), TargetUrl::parse(url).unwrap())
}

/// These targets, watched by the rule `down`, and one receiver, `ops`.
pub fn config(targets: Vec<Target>) -> Config {
    Config {
        path: None,
        server: ServerConfig { listen: ([127, 0, 0, 1], 0).into(), external_url: "http://127.0.0.1".into() },
        storage: Storage::default(),
        targets: targets.into_iter().map(Arc::new).collect(),
        rules: vec![Arc::new(Rule {
            name: "down".into(),
            severity: Severity::Critical,
            targets: Selector::All,
            when: Condition::ConsecutiveFailures(3),
            resolve_after: 1,
            remind_every: None,
            notify: vec![],
            flapping: true,
        })],
        receivers: vec![Arc::new(Receiver::new(
            "ops",
            ReceiverKind::Slack { webhook_url: Secret::inline("http://127.0.0.1/hook"), mentions: Mentions::default() },
        ))],
        witnesses: vec![],
        maintenance: vec![],
        heartbeat: None,
        cloudwatch: None,
        target_files: Default::default(),
    }
}

/// A probe of a wss target that ended this long before [`NOW`].
pub fn outcome(name_: &str, ago: Duration, reason: Reason) -> Outcome {
    let ms = |ms| Some(Duration::from_millis(ms));
    let healthy = reason == Reason::Ok;
    let answer = match reason {
        Reason::Ok => Some((101, None)),
        Reason::UpgradeRedirected => Some((301, Some(format!("https://{name_}.example.com/ws/health/")))),
        Reason::UpgradeServerError => Some((502, None)),
        _ => None,
    };
    Outcome {
        address: Some(([203, 0, 113, 7], 443).into()),
        phase: (!healthy).then_some(Phase::Upgrade),
        detail: if healthy { String::new() } else { format!("{reason} at the upgrade") },
        timings: Timings {
            dns: Some(Duration::from_micros(1_200)),
            connect: ms(11),
            tls: ms(24),
            upgrade: ms(30),
            message: ms(if healthy { 3 } else { 0 }).filter(|_| healthy),
            close: Some(Duration::from_micros(400)).filter(|_| healthy),
            total: Duration::from_millis(67),
        },
        http: answer.map(|(status, location)| HttpEvidence {
            status,
            reason_phrase: String::new(),
            location,
            headers: vec![("server".to_owned(), "nginx/1.26.0".to_owned())],
            lowercase_names: false,
            body: (status != 101).then(|| "<html><body>moved</body></html>".to_owned()),
        }),
        tls: Some(TlsEvidence {
            version: Some("TLSv1.3"),
            not_after: Some(NOW + Duration::from_secs(60 * 86_400)),
            subject: format!("CN={name_}.example.com"),
            issuer: "CN=R11".to_owned(),
            names: vec![format!("{name_}.example.com")],
            chain_length: 2,
        }),
        ..Outcome::new(
            name(name_),
            format!("wss://{name_}.example.com/ws/health/"),
            NOW.before(ago + Duration::from_millis(67)),
            reason,
        )
    }
}

/// promtool finds nothing to complain about in this exposition.
#[track_caller]
pub fn promtool_accepts(text: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is needed for this test: apt-get install prometheus");
    let mut stdin = promtool.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let checked = promtool.wait_with_output().unwrap();
    let said = [checked.stdout, checked.stderr].concat();
    assert!(checked.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}
