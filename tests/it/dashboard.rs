//! The Grafana dashboard: Grafana understands it, and each of its queries finds data in a real Prometheus.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use wsprobe::endpoint::{Endpoint, Faults, Options, PATH, Tls};

use crate::support::daemon::{Inbox, Running, get};
use crate::support::{require, source};

const DASHBOARD: &str = "grafana/wsprobe.json";
/// A rate needs two scrapes, a quantile of a rate some more.
const DATA_WITHIN: Duration = Duration::from_secs(60);

fn dashboard() -> Value {
    serde_json::from_str(&std::fs::read_to_string(DASHBOARD).expect(DASHBOARD)).expect("JSON")
}

/// Title and expression of every query.
fn queries() -> Vec<(String, String)> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().expect("panels").clone();
    let targets = panels.iter().flat_map(|panel| {
        let title = panel["title"].as_str().unwrap_or_default().to_owned();
        panel["targets"].as_array().cloned().unwrap_or_default().into_iter().map(move |target| (title.clone(), target))
    });
    targets.map(|(title, target)| (title, target["expr"].as_str().expect("expr").to_owned())).collect()
}

#[test]
fn every_metric_it_uses_is_one_that_wsprobe_has() {
    let sources: String = source::rust(&["src/observe"]).into_iter().map(|file| file.text).collect();
    let name = regex::Regex::new("wsprobe_[a-z_]+").expect("regex");
    let text = std::fs::read_to_string(DASHBOARD).expect(DASHBOARD);
    let used: BTreeSet<&str> = name.find_iter(&text).map(|m| m.as_str()).collect();
    let known = |metric: &&&str| !["_bucket", "_sum", "_count"].iter().any(|end| sources.contains(metric.trim_end_matches(end)));
    let unknown: Vec<_> = used.iter().filter(known).collect();
    assert!(used.len() > 10 && unknown.is_empty(), "unknown metrics: {unknown:?}");
}

#[test]
fn grafana_understands_it() {
    require("promtool", "prometheus");
    let python = std::env::var_os("WSPROBE_TEST_PYTHON").map_or_else(|| PathBuf::from("target/venv/bin/python"), PathBuf::from);
    assert!(python.exists(), "{} is missing: run .ci/install (or `just setup`)", python.display());
    let output = std::process::Command::new(python).args(["tests/tools/check_dashboard.py", DASHBOARD]).output().expect("python");
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_finds_data_in_a_real_prometheus() {
    require("prometheus", "prometheus");
    let secure = Endpoint::bind(Options { tls: Some(Tls::SelfMade), ..Options::default() }).await.expect("endpoint");
    let redirecting = Options { faults: Faults::parse("redirect-301").expect("fault"), ..Options::default() };
    let redirecting = Endpoint::bind(redirecting).await.expect("endpoint");
    let feed = Options { faults: Faults::parse("stays-open").expect("fault"), ..Options::default() };
    let feed = Endpoint::bind(feed).await.expect("endpoint");
    let folder = TempDir::new().expect("folder");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, secure.root_pem().expect("root")).expect("write");
    let inbox = Inbox::open().await;
    let daemon = Running::start(&format!(
        "
server: {{listen: '127.0.0.1:0'}}
defaults: {{interval: 500ms}}
targets:
  - {{name: prod, url: 'wss://localhost:{port}{PATH}', tls: {{ca_file: '{ca}'}}, labels: {{env: prod}}}}
  - {{name: staging, url: '{redirecting}'}}
  - {{name: feed, url: '{feed}', timeout: 5s, hold: {{for: 2s, ping_every: 1s}}}}
receivers: [{{name: slack, slack: {{webhook_url: '{inbox}/slack'}}}}]
",
        port = secure.addr().port(),
        ca = ca.display(),
        redirecting = redirecting.url(),
        feed = feed.url(),
        inbox = inbox.base,
    ))
    .await;
    for endpoint in [secure, redirecting, feed] {
        tokio::spawn(endpoint.run(CancellationToken::new()));
    }
    let prometheus = Prometheus::scraping(&daemon.base, folder.path());
    for (title, expression) in queries() {
        let concrete = expression.replace("$target", ".*").replace("$__rate_interval", "20s").replace("$__range", "20s");
        let asked = async {
            let mut again = tokio::time::interval(Duration::from_millis(300));
            while prometheus.series(&concrete).await == 0 {
                again.tick().await;
            }
        };
        timeout(DATA_WITHIN, asked).await.unwrap_or_else(|_| panic!("{title}: no data for {concrete}"));
    }
    daemon.stop().await;
}

struct Prometheus {
    base: String,
    _child: tokio::process::Child,
}

impl Prometheus {
    fn scraping(target: &str, folder: &Path) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let config = folder.join("prometheus.yml");
        let address = target.trim_start_matches("http://");
        let text = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n  - {{job_name: wsprobe, static_configs: [{{targets: ['{address}']}}]}}\n"
        );
        std::fs::write(&config, text).expect("write");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("prometheus");
        Prometheus { base: format!("http://127.0.0.1:{port}"), _child: child }
    }

    /// How many series a query has now; none while Prometheus is starting.
    async fn series(&self, query: &str) -> usize {
        if tokio::net::TcpStream::connect(self.base.trim_start_matches("http://")).await.is_err() {
            return 0;
        }
        let encoded: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let answer = get(&format!("{}/api/v1/query?query={encoded}", self.base)).await;
        let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
        // the body may be in chunks: the JSON is the part between the outer braces
        let json = body.find('{').and_then(|from| body.rfind('}').map(|to| &body[from..=to])).unwrap_or_default();
        let parsed: Value = serde_json::from_str(json).unwrap_or_default();
        assert_ne!(parsed["status"], "error", "{query}: {parsed}");
        parsed["data"]["result"].as_array().map_or(0, Vec::len)
    }
}
