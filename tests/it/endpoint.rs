//! The reference endpoint: what healthy is, byte for byte, and that each fault is the failure it stands for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use wsprobe::config::{Target, TargetUrl};
use wsprobe::endpoint::{Control, Endpoint, Fault, Faults, Options, Tls};
use wsprobe::outcome::{Outcome, Phase, Reason, TargetName};
use wsprobe::probe::{Probe, Shared};
use wsprobe::time::Clock;

const PATIENCE: Duration = Duration::from_secs(20);

const HANDSHAKE: &str = "GET /ws/health/ HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

struct Served {
    url: String,
    addr: std::net::SocketAddr,
    control: Control,
    control_addr: Option<std::net::SocketAddr>,
    root: Option<tempfile::NamedTempFile>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

async fn serve(options: Options) -> Served {
    let endpoint = Endpoint::bind(options).await.expect("endpoint");
    let root = endpoint.root_pem().map(|pem| {
        let file = tempfile::NamedTempFile::new().expect("file");
        std::fs::write(file.path(), pem).expect("write");
        file
    });
    let shutdown = CancellationToken::new();
    Served {
        url: endpoint.url(),
        addr: endpoint.addr(),
        control: endpoint.control(),
        control_addr: endpoint.control_addr(),
        root,
        task: tokio::spawn(endpoint.run(shutdown.clone())),
        shutdown,
    }
}

impl Served {
    async fn probe(&self) -> Outcome {
        let mut target = Target::new(TargetName::lossy("t"), TargetUrl::parse(&self.url).expect("url"));
        target.timeout = Duration::from_secs(1);
        target.tls.ca_file = self.root.as_ref().map(|file| file.path().to_owned());
        let status = "$.status".parse().expect("path");
        target.expect.message =
            Some(wsprobe::config::Matcher::Json { path: status, test: wsprobe::config::JsonTest::Equals("ok".into()) });
        Probe::new(Arc::new(target), &Shared::system(Clock::system())).expect("probe").run().await
    }

    /// Sends bytes and reads until the end.
    async fn ask(addr: std::net::SocketAddr, request: &str) -> String {
        let asked = async {
            let mut stream = TcpStream::connect(addr).await.expect("connect");
            stream.write_all(request.as_bytes()).await.expect("write");
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            String::from_utf8_lossy(&answer).into_owned()
        };
        timeout(PATIENCE, asked).await.expect("an answer in time")
    }

    /// The same over TLS.
    async fn https(&self, request: &str) -> String {
        let pem = self.root.as_ref().expect("TLS").path();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(pem).expect("PEM")).expect("root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let asked = async {
            let tcp = TcpStream::connect(self.addr).await.expect("connect");
            let name = "localhost".try_into().expect("name");
            let mut stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.expect("TLS");
            stream.write_all(request.as_bytes()).await.expect("write");
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            String::from_utf8_lossy(&answer).into_owned()
        };
        timeout(PATIENCE, asked).await.expect("an answer in time")
    }

    async fn http(&self, request: &str) -> String {
        Self::ask(self.addr, request).await
    }
}

#[tokio::test]
async fn the_healthy_conversation_is_this_byte_for_byte() {
    let served = serve(Options::default()).await;
    let mut stream = TcpStream::connect(served.addr).await.expect("connect");
    let request = "GET /ws/health/ HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("write");
    let mut expected = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n".to_vec();
    expected.extend_from_slice(b"\x81\x2d{\"status\":\"ok\",\"message\":\"WebSocket healthy\"}\x88\x02\x03\xe8");
    let mut answer = vec![0u8; expected.len()];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("in time").expect("answer");
    assert_eq!(String::from_utf8_lossy(&answer), String::from_utf8_lossy(&expected));
    stream.write_all(b"\x88\x82\x00\x00\x00\x00\x03\xe8").await.expect("echo");
    let end = timeout(PATIENCE, stream.read(&mut [0u8; 1])).await.expect("in time");
    assert_eq!(end.ok(), Some(0), "the server ends TCP first");
}

#[tokio::test]
async fn plain_requests_meet_the_faults_of_a_stack_that_takes_upgrades_for_plain_http() {
    let served = serve(Options::default()).await;
    let plain = "GET /ws/health/ HTTP/1.1\r\nHost: h\r\n\r\n";
    for (fault, expected) in [("redirect-301", "301"), ("ignore-upgrade", "200"), ("not-found", "404"), ("error-500", "426")] {
        served.control.set(Faults::parse(fault).expect("fault"));
        let answer = served.http(plain).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{fault}: {answer}");
        assert!(served.http("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").await.starts_with("HTTP/1.1 200"), "{fault}");
    }
}

#[tokio::test]
async fn plain_requests_get_plain_and_truthful_answers() {
    let served = serve(Options::default()).await;
    let status = |answer: String| answer.lines().next().unwrap_or_default().to_owned();
    let healthz = served.http("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert!(healthz.starts_with("HTTP/1.1 200 OK\r\n") && healthz.ends_with("\r\n\r\nok"), "{healthz}");
    assert_eq!(status(served.http("GET /ws/health/ HTTP/1.1\r\nHost: h\r\n\r\n").await), "HTTP/1.1 426 Upgrade Required");
    assert_eq!(status(served.http("GET /other HTTP/1.1\r\nHost: h\r\n\r\n").await), "HTTP/1.1 404 Not Found");
    let no_key =
        "GET /ws/health/ HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n";
    assert_eq!(status(served.http(no_key).await), "HTTP/1.1 400 Bad Request");
}

#[tokio::test]
async fn a_bad_handshake_is_told_what_is_wrong_with_it() {
    let served = serve(Options::default()).await;
    let good = HANDSHAKE;
    for (from, to, said) in [
        ("GET", "POST", "the method of an opening handshake is GET"),
        ("Connection: Upgrade", "Connection: close", "the Connection header has no `upgrade`"),
        ("Version: 13", "Version: 8", "Sec-WebSocket-Version is not 13"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ==", "Sec-WebSocket-Key is missing or malformed"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "************************", "Sec-WebSocket-Key is missing or malformed"),
        (good, "SSH-2.0-OpenSSH_9.2\r\n\r\n", "not an HTTP/1.1 request"),
    ] {
        assert!(good.contains(from), "{from}");
        let answer = served.http(&good.replace(from, to)).await;
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n") && answer.contains(said), "{to}: {answer}");
    }
}

#[tokio::test]
async fn every_fault_is_the_failure_it_stands_for() {
    use Phase::*;
    use Reason::*;
    let rows = [
        ("down", ConnectRefused, Connect),
        ("silent-accept", UpgradeTimeout, Upgrade),
        ("redirect-301", UpgradeRedirected, Upgrade),
        ("redirect-302-login", UpgradeRedirected, Upgrade),
        ("redirect-slash", UpgradeRedirected, Upgrade),
        ("redirect-host", UpgradeRedirected, Upgrade),
        ("ignore-upgrade", UpgradeIgnored, Upgrade),
        ("forbidden", UpgradeRejected, Upgrade),
        ("not-found", UpgradeRejected, Upgrade),
        ("error-500", UpgradeServerError, Upgrade),
        ("unavailable-503", UpgradeServerError, Upgrade),
        ("wrong-accept", UpgradeInvalid, Upgrade),
        ("garbage", UpgradeInvalid, Upgrade),
        ("drip", UpgradeTimeout, Upgrade),
        ("reset", UpgradeClosed, Upgrade),
        ("slow=3s", UpgradeTimeout, Upgrade),
        ("slow-message=3s", MessageTimeout, Message),
        ("silent-upgrade", MessageTimeout, Message),
        ("wrong-message", MessageMismatch, Message),
        ("masked-frame", ProtocolError, Message),
        ("bad-utf8", ProtocolError, Message),
        ("no-close", CloseTimeout, Close),
        ("stays-open", CloseTimeout, Close),
        ("abnormal-close", CloseAbnormal, Close),
        ("close-1011", CloseCode, Close),
    ];
    let tested: BTreeSet<&str> = rows.iter().map(|(fault, ..)| fault.split('=').next().unwrap_or(fault)).collect();
    let all: BTreeSet<&str> = Fault::all().map(|(name, _)| name.split('=').next().unwrap_or(name)).collect();
    let left: Vec<_> = all.difference(&tested).collect();
    assert_eq!(left, [&"expired-certificate"], "the one that needs TLS has a test of its own");
    for (fault, reason, phase) in rows {
        let served = serve(Options::default()).await;
        served.control.set(Faults::parse(fault).expect(fault));
        let mut outcome = served.probe().await;
        if fault == "down" {
            // the listener closes a moment after it was told
            let gone = async {
                while outcome.reason != reason {
                    outcome = served.probe().await;
                }
            };
            timeout(PATIENCE, gone).await.expect("it goes down");
        }
        assert_eq!((outcome.reason, outcome.phase), (reason, Some(phase)), "{fault}: {outcome:?}");
        served.control.clear();
        let back = async { while served.probe().await.reason != Ok {} };
        timeout(PATIENCE, back).await.expect("it recovers");
    }
}

#[tokio::test]
async fn its_own_root_makes_tls_trusted_and_the_expired_certificate_is_expired() {
    let served = serve(Options { tls: Some(Tls::SelfMade), ..Options::default() }).await;
    assert_eq!(served.probe().await.reason, Reason::Ok);
    served.control.set(Faults::parse("expired-certificate").expect("fault"));
    assert_eq!(served.probe().await.reason, Reason::TlsExpired);
    let without_tls = Options { faults: Faults::parse("expired-certificate").expect("fault"), ..Options::default() };
    assert!(Endpoint::bind(without_tls).await.is_err());
}

#[tokio::test]
async fn faults_are_switched_over_http_from_this_host_and_from_no_web_page() {
    let served = serve(Options { control: Some(([127, 0, 0, 1], 0).into()), ..Options::default() }).await;
    let request = |method: &str, extra: &str, body: &str| {
        format!("{method} /-/fault HTTP/1.1\r\nHost: h\r\n{extra}Content-Length: {}\r\n\r\n{body}", body.len())
    };
    let put = served.http(&request("PUT", "", "redirect-301,slow=10ms")).await;
    assert!(put.starts_with("HTTP/1.1 200") && put.ends_with("slow=10ms,redirect-301\n"), "{put}");
    assert_eq!(served.probe().await.reason, Reason::UpgradeRedirected);
    assert!(served.http(&request("GET", "", "")).await.ends_with("redirect-301\n"));
    let unknown = served.http(&request("POST", "", "redirect-31")).await;
    assert!(unknown.starts_with("HTTP/1.1 400") && unknown.contains("did you mean `redirect-301`?"), "{unknown}");
    let page = served.http(&request("PUT", "Origin: https://evil.example.com\r\n", "none")).await;
    assert!(page.starts_with("HTTP/1.1 403"), "{page}");
    let proxied = served.http(&request("PUT", "X-Forwarded-For: 203.0.113.9\r\n", "none")).await;
    assert!(proxied.starts_with("HTTP/1.1 403") && proxied.contains("proxy"), "{proxied}");
    assert_eq!(served.control.faults().to_string(), "slow=10ms,redirect-301", "whoever is refused changes nothing");
    assert!(served.http(&request("DELETE", "", "")).await.ends_with("none\n"));
    assert!(served.http(&request("PATCH", "", "")).await.starts_with("HTTP/1.1 405"));

    let down = served.http(&request("PUT", "", "down")).await;
    assert!(down.starts_with("HTTP/1.1 409") && down.contains("--control"), "{down}");
    let control = served.control_addr.expect("a control address");
    assert!(Served::ask(control, &request("PUT", "", "down")).await.starts_with("HTTP/1.1 200"));
    let gone = async { while served.probe().await.reason != Reason::ConnectRefused {} };
    timeout(PATIENCE, gone).await.expect("it goes down");
    assert!(Served::ask(control, &request("DELETE", "", "")).await.starts_with("HTTP/1.1 200"));
    let back = async { while served.probe().await.reason != Reason::Ok {} };
    timeout(PATIENCE, back).await.expect("it comes back");
}

#[tokio::test]
async fn a_fault_that_would_do_nothing_or_lock_the_control_path_is_refused() {
    let put = |fault: &str| format!("PUT /-/fault HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{fault}", fault.len());
    let plain = serve(Options::default()).await;
    let expired = plain.http(&put("expired-certificate")).await;
    assert!(expired.starts_with("HTTP/1.1 409") && expired.contains("--tls"), "{expired}");
    assert!(plain.http(&put("silent-accept")).await.starts_with("HTTP/1.1 200"), "without TLS the path still answers");
    assert!(plain.http(&put("none")).await.starts_with("HTTP/1.1 200"));

    let control = Some(([127, 0, 0, 1], 0).into());
    let secure = serve(Options { tls: Some(Tls::SelfMade), control, ..Options::default() }).await;
    let shared = secure.https(&put("silent-accept")).await;
    assert!(shared.starts_with("HTTP/1.1 409") && shared.contains("`silent-accept`"), "{shared}");
    let separate = Served::ask(secure.control_addr.expect("a control address"), &put("silent-accept")).await;
    assert!(separate.starts_with("HTTP/1.1 200"), "{separate}");
    assert_eq!(secure.probe().await.reason, Reason::TlsTimeout);
}

/// The listener is closed: the shutdown has begun.
async fn refuses(addr: std::net::SocketAddr) {
    let refused = async { while TcpStream::connect(addr).await.is_ok() {} };
    timeout(PATIENCE, refused).await.expect("it stops listening");
}

#[tokio::test]
async fn a_conversation_under_way_ends_as_it_should_after_the_shutdown_began() {
    let faults = Faults::parse("slow-message=200ms").expect("fault");
    let served = serve(Options { faults, ..Options::default() }).await;
    let mut stream = TcpStream::connect(served.addr).await.expect("connect");
    stream.write_all(HANDSHAKE.as_bytes()).await.expect("write");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let read = timeout(PATIENCE, stream.read_buf(&mut head)).await.expect("in time").expect("read");
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&head));
    }
    served.shutdown.cancel();
    refuses(served.addr).await;
    let mut rest = [0u8; 47 + 4];
    timeout(PATIENCE, stream.read_exact(&mut rest)).await.expect("in time").expect("message and close frame");
    assert!(rest.ends_with(b"\x88\x02\x03\xe8"));
    stream.write_all(b"\x88\x82\x00\x00\x00\x00\x03\xe8").await.expect("echo");
    assert_eq!(timeout(PATIENCE, stream.read(&mut [0u8; 1])).await.expect("in time").ok(), Some(0));
    timeout(PATIENCE, served.task).await.expect("ends in time").expect("no panic");
}

#[tokio::test]
async fn shutting_down_waits_for_nobody_for_long() {
    let control = Some(([127, 0, 0, 1], 0).into());
    let faults = Faults::parse("silent-upgrade").expect("fault");
    let served = serve(Options { control, faults, ..Options::default() }).await;
    let mut clients = Vec::new();
    for (addr, bytes) in [
        (served.addr, ""),
        (served.addr, "GET /ws/health/ HTTP/1.1\r\nHo"),
        (served.addr, "PUT /-/fault HTTP/1.1\r\nContent-Length: 500\r\n\r\nslow"),
        (served.control_addr.expect("a control address"), "GET /-/fau"),
    ] {
        let mut client = TcpStream::connect(addr).await.expect("connect");
        client.write_all(bytes.as_bytes()).await.expect("write");
        clients.push(client);
    }
    let mut held = TcpStream::connect(served.addr).await.expect("connect");
    held.write_all(HANDSHAKE.as_bytes()).await.expect("write");
    let mut switched = [0u8; 12];
    timeout(PATIENCE, held.read_exact(&mut switched)).await.expect("in time").expect("the head");
    assert_eq!(&switched, b"HTTP/1.1 101");
    served.shutdown.cancel();
    timeout(Duration::from_secs(5), served.task).await.expect("ends in time").expect("no panic");
}
