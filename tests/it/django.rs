//! The outage that wsprobe was born from, on the real stack: Django and Channels under Daphne, behind nginx with TLS.
//!
//! The project of `examples/django` is started as a user would start it, goes from healthy to the outage and back, and the
//! real daemon has to see, tell and end the alert.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::support::daemon::{Inbox, Running};
use crate::support::nginx::{self, free_port, listening};
use crate::support::{python, require};

/// Names a header that no hop sends.
pub const WRONG_HEADER: &str = "HTTP_CLOUDFRONT_FORWARDED_PROTO";
pub const RIGHT_HEADER: &str = "HTTP_X_FORWARDED_PROTO";

/// nginx and Daphne on ports of their own, in a folder of their own.
pub struct Stack {
    folder: TempDir,
    pub daphne_port: u16,
    pub tls_port: u16,
    daphne: Option<Child>,
    nginx: Option<Child>,
}

impl Stack {
    pub fn new() -> Self {
        require("openssl", "openssl");
        let folder = TempDir::new().expect("folder");
        std::fs::create_dir(folder.path().join("tls")).expect("folder");
        let made = std::process::Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"])
            .args([
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost,IP:127.0.0.1",
                "-addext",
                "basicConstraints=CA:FALSE",
            ])
            .arg("-keyout")
            .arg(folder.path().join("tls/key.pem"))
            .arg("-out")
            .arg(folder.path().join("tls/cert.pem"))
            .output()
            .expect("openssl");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Stack { folder, daphne_port: free_port(), tls_port: free_port(), daphne: None, nginx: None }
    }

    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("tls/cert.pem")
    }

    fn url(&self) -> String {
        format!("wss://localhost:{}/ws/health/", self.tls_port)
    }

    /// Ends what runs and starts both anew: nginx with this file, Django with this header for the scheme.
    pub async fn start(&mut self, configuration: &str, header: &str) {
        for mut child in [self.nginx.take(), self.daphne.take()].into_iter().flatten() {
            child.kill().await.expect("kill");
        }
        let daphne = Command::new(python())
            .args(["-m", "daphne", "-b", "127.0.0.1", "-p", &self.daphne_port.to_string(), "project.asgi:application"])
            .current_dir(project())
            .env("DJANGO_PROXY_SSL_HEADER", header)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("daphne");
        self.daphne = Some(daphne);
        let text = std::fs::read_to_string(project().join("nginx").join(configuration)).expect("nginx configuration");
        let text = text.replace("127.0.0.1:8443", &format!("127.0.0.1:{}", self.tls_port));
        let text = text.replace("127.0.0.1:8000", &format!("127.0.0.1:{}", self.daphne_port));
        self.nginx = Some(nginx::start(self.folder.path(), &text));
        for port in [self.daphne_port, self.tls_port] {
            listening(port).await;
        }
    }
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/django")
}

/// `wsprobe check`, as a pipeline would run it: its exit code and the outcome.
async fn check(stack: &Stack) -> (Option<i32>, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_wsprobe"))
        .args(["check", "--url", &stack.url(), "--output", "json", "--ca-file"])
        .arg(stack.certificate())
        .output()
        .await
        .expect("wsprobe check");
    let outcomes: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    (output.status.code(), outcomes[0].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outage_it_was_born_from_is_seen_told_and_ended_on_the_real_stack() {
    let mut stack = Stack::new();
    stack.start("healthy.conf", RIGHT_HEADER).await;
    let mut inbox = Inbox::open().await;
    let daemon = Running::start(&format!(
        "
server: {{listen: '127.0.0.1:0'}}
defaults: {{interval: 300ms, timeout: 5s}}
targets:
  - name: django
    url: '{url}'
    tls: {{ca_file: '{ca}'}}
    expect: {{message: {{json: {{path: $.status, equals: ok}}}}}}
    http: {{url: 'https://localhost:{port}/', every: 500ms}}
alerts: [{{name: down, severity: critical, when: {{consecutive_failures: 2}}, resolve_after: 2}}]
receivers:
  - {{name: slack, slack: {{webhook_url: '{base}/slack'}}}}
  - {{name: hook, webhook: {{url: '{base}/hook'}}}}
",
        url = stack.url(),
        port = stack.tls_port,
        ca = stack.certificate().display(),
        base = inbox.base
    ))
    .await;
    daemon.until("healthy", |d| d.target("django").consecutive >= 2).await;
    let (code, outcome) = check(&stack).await;
    assert_eq!((code, &outcome["verdict"]), (Some(0), &Value::from("healthy")), "{outcome:#}");
    assert_eq!(outcome["close"]["code"], 1000);

    // both faults: the upgrade is not forwarded, and Django takes every request for http
    stack.start("outage.conf", WRONG_HEADER).await;
    let location = format!("https://localhost:{}/ws/health/", stack.tls_port);
    let (code, outcome) = check(&stack).await;
    assert_eq!((code, &outcome["reason"]), (Some(1), &Value::from("upgrade_redirected")), "{outcome:#}");
    assert_eq!((&outcome["http"]["status"], &outcome["http"]["location"]), (&301.into(), &location.as_str().into()));
    assert_eq!(outcome["diagnosis"]["code"], "redirect-same-url", "{outcome:#}");
    let checked = outcome["diagnosis"]["checked"].as_str().expect("follow-up requests were made");
    for certain in ["so the upgrade never reached a WebSocket stack.", "GET / redirects to itself as well"] {
        assert!(checked.contains(certain), "{checked}");
    }

    // the restart itself is an outage, too: its alert may come first, and goes on into the redirect or ends before it
    let redirected = |message: &Value| message["data"]["outcome"]["reason"] == "upgrade_redirected";
    daemon
        .until("the daemon sees the redirect", |d| {
            let target = d.target("django");
            target.latest().is_some_and(|o| o.redirect_code() == Some(301)) && target.consecutive >= 2
        })
        .await;
    let slack = inbox.slack.next().await.to_string();
    assert!(slack.contains("django is down"), "{slack}");
    let firing = inbox.hook.next().await;
    assert_eq!(firing["type"], "alert.firing", "{firing:#}");
    if redirected(&firing) {
        assert!(slack.contains(&location) && slack.contains("SECURE_PROXY_SSL_HEADER"), "{slack}");
    }

    // one fault of the two: upgrades are forwarded, so only pages loop, and only the companion sees it
    stack.start("healthy.conf", WRONG_HEADER).await;
    assert_eq!(check(&stack).await.0, Some(0));
    daemon.until("the page is seen to loop", |d| d.target("django").page.is_some_and(|page| page.reply.self_redirect)).await;
    assert!(daemon.metrics().await.contains("wsprobe_http_self_redirect{target=\"django\"} 1"));

    stack.start("healthy.conf", RIGHT_HEADER).await;
    let resolved = inbox.hook.next().await;
    assert_eq!(resolved["type"], "alert.resolved", "{resolved:#}");
    assert_eq!(resolved["data"]["alert"]["id"], firing["data"]["alert"]["id"]);
    assert_eq!(check(&stack).await.0, Some(0));
    daemon.stop().await;
}
