//! What a healthy probe costs in CPU time, beside the least that any tokio program could spend on the same bytes.
//!
//! Run it with `cargo bench --bench probe_cost`. The server is a process of its own on one core, the prober runs on the
//! other; the variants take turns, so that noise hits all of them. Reported: medians with minimum and maximum over the
//! rounds, in microseconds of CPU of the probing thread per probe, and the ratio to the floor.
//!
//! - floor: connect, write a fixed request, read until the close frame, answer it, read to the end (by hand, tokio)
//! - tungstenite: a bare tokio-tungstenite client that reads the message and the close
//! - wsprobe: `Probe::run`, with timings, evidence and verdict
//! - wsprobe, recorded: the same, and the outcome through metrics, board and the default alert rules

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use futures_util::StreamExt;
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use wsprobe::alert::Book;
use wsprobe::config::{self, Config};
use wsprobe::observe::{Board, Metrics};
use wsprobe::outcome::Verdict;
use wsprobe::probe::{Probe, Shared};
use wsprobe::time::Clock;

const ROUNDS: usize = 7;
const PROBES_WS: usize = 3_000;
const PROBES_WSS: usize = 500;

fn main() {
    pin(0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(async {
        let plain = Endpoint::start(None);
        compare("ws://", &plain, PROBES_WS, None).await;
        let ca = tempfile::NamedTempFile::new().expect("temporary file");
        let tls = Endpoint::start(Some(ca.path()));
        compare("wss://", &tls, PROBES_WSS, Some(ca.path())).await;
    });
}

/// Measures every variant in turn, several times over, and prints the table.
async fn compare(scheme: &str, endpoint: &Endpoint, probes: usize, ca: Option<&Path>) {
    let floor = Floor::new(endpoint.addr, ca);
    let config = config_for(endpoint, ca);
    let shared = Shared::system(Clock::system());
    let probe = Probe::new(config.targets[0].clone(), &shared).expect("probe");
    let (metrics, board, mut book) = (Metrics::new(&config, "bench"), Board::new(&config), Book::new(&config));
    let series = metrics.target(&config.targets[0].name).expect("target");
    let clock = Clock::system();
    let mut cost: [Vec<f64>; 4] = Default::default();
    for round in 0..=ROUNDS {
        let mut took = [0.0; 4];
        let start = cpu();
        for _ in 0..probes {
            floor.probe().await;
        }
        took[0] = cpu() - start;
        let start = cpu();
        for _ in 0..probes {
            floor.tungstenite().await;
        }
        took[1] = cpu() - start;
        let start = cpu();
        for _ in 0..probes {
            let outcome = probe.run().await;
            assert_eq!(outcome.verdict(), Verdict::Healthy, "{outcome:?}");
        }
        took[2] = cpu() - start;
        let start = cpu();
        for _ in 0..probes {
            let outcome = Arc::new(probe.run().await);
            series.record(&outcome);
            board.record(&outcome);
            std::hint::black_box(book.on_outcome(&outcome, clock.now()));
        }
        took[3] = cpu() - start;
        if round > 0 {
            // the first round warms up
            for (all, took) in cost.iter_mut().zip(took) {
                all.push(took / probes as f64 * 1e6);
            }
        }
    }
    println!("\n{scheme} probe, CPU µs of the probing thread, {ROUNDS} rounds of {probes}");
    let median = |v: &[f64]| v[v.len() / 2];
    cost.iter_mut().for_each(|v| v.sort_by(f64::total_cmp));
    for (name, v) in ["floor", "tungstenite", "wsprobe", "wsprobe, recorded"].iter().zip(&cost) {
        println!(
            "  {name:18} {:7.1}  ({:.1} to {:.1})  {:.2}x floor",
            median(v),
            v[0],
            v[v.len() - 1],
            median(v) / median(&cost[0])
        );
    }
}

fn config_for(endpoint: &Endpoint, ca: Option<&Path>) -> Config {
    let (scheme, tls) = match ca {
        None => ("ws", String::new()),
        Some(path) => ("wss", format!("\n    tls: {{ca_file: {}}}", path.display())),
    };
    let text = format!("targets:\n  - name: bench\n    url: {scheme}://{}/ws/health/{tls}\n", endpoint.addr);
    config::parse(&text, Path::new("bench.yaml"), &|_| None).expect("configuration")
}

/// The same bytes with nothing around them.
struct Floor {
    addr: SocketAddr,
    tls: Option<(tokio_rustls::TlsConnector, ServerName<'static>)>,
}

impl Floor {
    fn new(addr: SocketAddr, ca: Option<&Path>) -> Self {
        let tls = ca.map(|path| {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(path).expect("ca")).expect("root");
            let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("versions")
                .with_root_certificates(roots)
                .with_no_client_auth();
            config.resumption = rustls::client::Resumption::disabled();
            (tokio_rustls::TlsConnector::from(Arc::new(config)), ServerName::IpAddress(addr.ip().into()))
        });
        Floor { addr, tls }
    }

    async fn probe(&self) {
        let tcp = TcpStream::connect(self.addr).await.expect("connect");
        tcp.set_nodelay(true).expect("nodelay");
        match &self.tls {
            None => Self::bytes(tcp, self.addr).await,
            Some((tls, name)) => Self::bytes(tls.connect(name.clone(), tcp).await.expect("tls"), self.addr).await,
        }
    }

    async fn bytes(mut stream: impl AsyncRead + AsyncWrite + Unpin, addr: SocketAddr) {
        let request = format!(
            "GET /ws/health/ HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("write");
        let mut buffer = [0u8; 2048];
        let mut filled = 0;
        while !buffer[..filled].ends_with(b"\x88\x02\x03\xe8") {
            let n = stream.read(&mut buffer[filled..]).await.expect("read");
            assert_ne!(n, 0);
            filled += n;
        }
        stream.write_all(b"\x88\x82\x00\x00\x00\x00\x03\xe8").await.expect("close");
        let _ = stream.read(&mut buffer).await;
    }

    async fn tungstenite(&self) {
        let tcp = TcpStream::connect(self.addr).await.expect("connect");
        tcp.set_nodelay(true).expect("nodelay");
        match &self.tls {
            None => Self::frames(tcp, format!("ws://{}/ws/health/", self.addr)).await,
            Some((tls, name)) => {
                Self::frames(tls.connect(name.clone(), tcp).await.expect("tls"), format!("wss://{}/ws/health/", self.addr)).await;
            }
        }
    }

    async fn frames(stream: impl AsyncRead + AsyncWrite + Unpin, url: String) {
        let (mut ws, _) = tokio_tungstenite::client_async(url, stream).await.expect("upgrade");
        while let Some(Ok(_)) = ws.next().await {}
    }
}

/// `wsprobe endpoint` as a process of its own, on the other core.
struct Endpoint {
    child: Child,
    addr: SocketAddr,
}

impl Endpoint {
    fn start(tls: Option<&Path>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wsprobe"));
        command.args(["endpoint", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped());
        if let Some(ca) = tls {
            command.arg("--tls").arg("--write-ca").arg(ca);
        }
        pin(1); // inherited by the child
        let mut child = command.spawn().expect("wsprobe endpoint");
        pin(0);
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line).expect("address");
        let addr = line.split("://").nth(1).and_then(|rest| rest.split('/').next()).and_then(|a| a.parse().ok());
        Endpoint { child, addr: addr.unwrap_or_else(|| panic!("no address in {line:?}")) }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    let _ = sched_setaffinity(None, &set); // with one core there is nothing to choose
}

/// CPU seconds of this thread.
fn cpu() -> f64 {
    let t = clock_gettime(ClockId::ThreadCPUTime);
    t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
}
