//! docs/deploy-pipeline.md, played: every script on the page is taken out of it and run, through deploys that go well and
//! deploys that do not. The only thing changed in them is how long they wait.

use std::path::{Path, PathBuf};

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use serde_json::{Value as Json, json};
use serde_yaml::Value as Yaml;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::reports::read_junit;
use crate::support::certs::{Authority, Flaw};
use crate::support::docs::blocks;
use crate::support::front::{Answer, Front, Head, django_redirect};
use crate::support::process::{self, Ran, shell};
use crate::support::python;

const PAGE: &str = "docs/deploy-pipeline.md";

/// The block of this language that has this in it, its minutes made seconds.
pub fn block(language: &str, part: &str) -> String {
    let fitting = blocks(PAGE).into_iter().filter(|b| b.language == language && b.text.contains(part));
    let [block] =
        fitting.collect::<Vec<_>>().try_into().unwrap_or_else(|_| panic!("{PAGE} has one {language} block with {part}"));
    block.text.replace("--wait 3m", "--wait 3s").replace("--for 5m", "--for 1500ms").replace("--interval 5s", "--interval 150ms")
}

/// What a deploy makes of the endpoint.
#[derive(Clone, Copy)]
pub enum Deploy {
    Well,
    /// Redirected from the deploy on.
    Redirects,
    /// Redirected once a gate watches it.
    RedirectsInGate,
}

/// A runner's folder, with the endpoint that is deployed: `./deploy.sh` and `./rollback.sh`, and `wsprobe` on the PATH.
/// Whatever is called is written down.
pub struct Runner {
    pub folder: TempDir,
    pub front: Front,
    /// Where its silences go.
    server: String,
}

impl Runner {
    pub async fn with(deploy: Deploy) -> Runner {
        let folder = TempDir::new().expect("folder");
        let (deployed, gating) = (folder.path().join("deployed"), folder.path().join("gating"));
        let front = Front::answering(move |_| match deploy {
            Deploy::Redirects if deployed.exists() => django_redirect("https://api.example.com/ws/health/"),
            Deploy::RedirectsInGate if gating.exists() => django_redirect("https://api.example.com/ws/health/"),
            _ => Answer::Healthy,
        })
        .await;
        let runner = Runner { folder, front, server: "http://127.0.0.1:1".to_owned() };
        runner.script("deploy.sh", "echo deploy >>calls; touch deployed");
        runner.script("rollback.sh", "echo rollback >>calls; rm -f deployed gating");
        let noted = "case $1 in silence) echo \"$@\" >>calls ;; gate) touch gating ;; esac; exec \"$REAL\" \"$@\"";
        runner.script("bin/wsprobe", noted);
        runner
    }

    /// Its alerts are those of this daemon.
    pub fn silencing(self, server: &str) -> Runner {
        Runner { server: server.to_owned(), ..self }
    }

    pub fn script(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
        let text = if text.starts_with("#!") { text.to_owned() } else { format!("#!/bin/sh\n{text}\n") };
        std::fs::write(&path, text).expect("write");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("permissions");
        path
    }

    /// A script, to be run with `sh -e` as pipelines do.
    pub fn command(&self, script: &str) -> Command {
        let path = self.script("script.sh", script);
        let mut command = shell(&format!("REAL=$0 exec sh -e {}", path.display()));
        command.current_dir(self.folder.path()).env("WS_URL", self.front.url()).env("WSPROBE_SERVER", &self.server);
        let path = format!("{}:{}", self.folder.path().join("bin").display(), std::env::var("PATH").unwrap_or_default());
        command.env("PATH", path);
        command
    }

    /// Runs it to its end.
    pub async fn runs(&self, script: &str) -> Ran {
        process::ran(&mut self.command(script)).await
    }

    /// What was called, in order; of a silence that is expired the id is left out.
    pub fn calls(&self) -> Vec<String> {
        let calls = std::fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default();
        calls.lines().map(|call| if call.starts_with("silence expire ") { "silence expire" } else { call }.to_owned()).collect()
    }

    fn deployed(self) -> Runner {
        std::fs::write(self.folder.path().join("deployed"), "").expect("write");
        self
    }
}

/// The commands of a job in a YAML block.
fn commands(part: &str, at: &[&str]) -> String {
    let yaml: Yaml = serde_yaml::from_str(&block("yaml", part)).expect("YAML");
    let step = |value: &Yaml, key: &str| value.get(key).or_else(|| value.get(key.parse::<usize>().ok()?)).expect(key).clone();
    match at.iter().fold(yaml, |value, key| step(&value, key)) {
        Yaml::String(script) => script,
        Yaml::Sequence(lines) => lines.iter().map(|line| format!("{}\n", line.as_str().expect("a command"))).collect(),
        other => panic!("no commands: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_is_the_whole_smoke_test() {
    let smoke_test = blocks(PAGE).into_iter().find(|b| b.language == "sh").expect("the first block").text;
    assert_eq!(smoke_test.lines().count(), 1, "one command: {smoke_test}");
    let healthy = Runner::with(Deploy::Well).await.deployed();
    let ran = healthy.runs(&smoke_test).await;
    assert_eq!(ran.code, Some(0), "basic health: {}{}", ran.stdout, ran.stderr);
    assert!(
        ran.stdout.contains("upgrade ") && ran.stdout.contains("message ") && ran.stdout.contains("close "),
        "{}",
        ran.stdout
    );
    let outage = Runner::with(Deploy::Redirects).await.deployed();
    let ran = outage.runs(&smoke_test).await;
    assert_eq!(ran.code, Some(1), "a redirect: {}{}", ran.stdout, ran.stderr);
    for part in ["301 Moved Permanently to https://api.example.com/ws/health/", "    fix ", "    checked "] {
        assert!(ran.stdout.contains(part), "{part} is missing in\n{}", ran.stdout);
    }

    // the full path: the same command, pointed at production, where a name and TLS are on the way
    let ca = Authority::new();
    let there = |_: &Head| Answer::Healthy;
    for (flaw, code, said) in [(Flaw::None, 0, " tls "), (Flaw::Expired, 1, "failed tls_expired in phase tls")] {
        let edge = Front::answering_over_tls(ca.server(flaw), there).await;
        let mut command = healthy.command(&smoke_test);
        command.env("WS_URL", edge.tls_url()).env("SSL_CERT_FILE", ca.ca_file());
        let ran = process::ran(&mut command).await;
        assert_eq!(ran.code, Some(code), "the full path: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains(said) && ran.stdout.contains("dns "), "{}", ran.stdout);
    }
    let edge = Front::answering_over_tls(ca.server(Flaw::None), |_| django_redirect("https://localhost/ws/health/")).await;
    let mut command = healthy.command(&smoke_test);
    let ran = process::ran(command.env("WS_URL", edge.tls_url()).env("SSL_CERT_FILE", ca.ca_file())).await;
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("failed upgrade_redirected in phase upgrade"), "{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_goes_on_where_the_daemon_can_not_be_reached() {
    let runner = Runner::with(Deploy::Well).await;
    let ran = runner.runs(&block("sh", "# deploy-watched.sh")).await;
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(runner.calls(), ["silence add --for 15m --reason deploy", "deploy"]);
    assert!(ran.stderr.contains("alerts are not silenced") && ran.stdout.contains("✔ gate passed after "), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_of_which_nothing_is_known_is_left_to_a_person() {
    let runner = Runner::with(Deploy::Well).await;
    let ran = runner.runs(&format!("export WS_URL=https://not-a-websocket/\n{}", block("sh", "# deploy-watched.sh"))).await;
    assert_eq!(ran.code, Some(2), "{}{}", ran.stdout, ran.stderr);
    assert!(!runner.calls().contains(&"rollback".to_owned()), "{:?}", runner.calls());
    assert!(ran.stderr.contains("look before you roll back"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_steps_for_github_and_gitlab_fail_with_the_deploy_and_leave_their_reports() {
    let github = commands("runs-on", &["jobs", "deploy", "steps", "0", "run"]);
    let gitlab = commands("artifacts", &["websockets", "script"]);
    for (deploy, code) in [(Deploy::Well, 0), (Deploy::RedirectsInGate, 1)] {
        let runner = Runner::with(deploy).await.deployed();
        let ran = runner.runs(&github).await;
        assert_eq!(ran.code, Some(code), "{}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.stdout.contains("::error title=wsprobe"), code == 1, "{}", ran.stdout);

        let runner = Runner::with(deploy).await.deployed();
        let ran = runner.runs(&gitlab).await;
        assert_eq!(ran.code, Some(code), "{}{}", ran.stdout, ran.stderr);
        for (file, failed) in [("check.xml", false), ("gate.xml", code == 1)] {
            let xml = std::fs::read_to_string(runner.folder.path().join(file)).expect(file);
            let report = read_junit(&xml).await;
            assert_eq!(report[0]["cases"][0]["result"].is_null(), !failed, "{file}: {report:#}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_ec2_the_hook_fails_with_the_deploy() {
    let location = commands("ValidateService", &["hooks", "ValidateService", "0", "location"]);
    assert!(block("sh", "# verify-websockets.sh").contains(&location), "the hook names the script: {location}");
    for (deploy, code) in [(Deploy::Well, 0), (Deploy::Redirects, 1), (Deploy::RedirectsInGate, 1)] {
        let runner = Runner::with(deploy).await.deployed();
        let ran = runner.runs(&block("sh", "# verify-websockets.sh")).await;
        assert_eq!(ran.code, Some(code), "{}{}", ran.stdout, ran.stderr);
    }
}

/// CodeDeploy, as far as a hook talks to it: what AWS's own client sends, and the answer that it takes.
async fn codedeploy() -> (String, mpsc::UnboundedReceiver<(String, Json)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let base = format!("http://{}", listener.local_addr().expect("address"));
    let (told, asked) = mpsc::unbounded_channel();
    let answer = async |State(told): State<mpsc::UnboundedSender<_>>, headers: HeaderMap, body: String| {
        let action = headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let body: Json = serde_json::from_str(&body).expect("JSON");
        let id = body["lifecycleEventHookExecutionId"].clone();
        told.send((action, body)).expect("the test listens");
        axum::Json(json!({ "lifecycleEventHookExecutionId": id }))
    };
    let routes = Router::new().route("/", post(answer)).with_state(told);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (base, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn on_ecs_codedeploy_is_told_how_it_went_whatever_happens() {
    let function = commands("AfterAllowTraffic", &["Hooks", "0", "AfterAllowTraffic"]);
    let module = function.replace('-', "_");
    let source = block("python", "def handler");
    assert!(source.starts_with(&format!("# {module}.py")), "the hook names the function: {function}");
    let (base, mut asked) = codedeploy().await;
    for (deploy, missing, status) in [
        (Deploy::Well, false, "Succeeded"),
        (Deploy::Redirects, false, "Failed"),
        (Deploy::RedirectsInGate, false, "Failed"),
        (Deploy::Well, true, "Failed"),
    ] {
        // as a zip is unpacked: the function, and the program beside it
        let runner = Runner::with(deploy).await.deployed();
        runner.script(&format!("{module}.py"), &source);
        if !missing {
            std::fs::rename(runner.folder.path().join("bin/wsprobe"), runner.folder.path().join("wsprobe")).expect("beside it");
        }
        let event = "{'DeploymentId': 'd-1A2B', 'LifecycleEventHookExecutionId': 'hook-7'}";
        let run = format!("exec {} -c \"import {module}; {module}.handler({event}, None)\"", python().display());
        let mut command = runner.command(&run);
        command.env("AWS_ENDPOINT_URL_CODEDEPLOY", &base).env("AWS_DEFAULT_REGION", "eu-west-1");
        let ran = process::ran(command.env("AWS_ACCESS_KEY_ID", "id").env("AWS_SECRET_ACCESS_KEY", "key")).await;
        assert_eq!(ran.code, Some(i32::from(missing)), "{}{}", ran.stdout, ran.stderr);
        let (action, body) = asked.try_recv().expect("CodeDeploy is told");
        assert_eq!(action, "CodeDeploy_20141006.PutLifecycleEventHookExecutionStatus");
        let told = json!({"deploymentId": "d-1A2B", "lifecycleEventHookExecutionId": "hook-7", "status": status});
        assert_eq!(body, told, "{}{}", ran.stdout, ran.stderr);
        assert!(asked.try_recv().is_err(), "once");
    }
}

#[test]
fn every_block_of_the_page_is_played_here() {
    let told = blocks(PAGE).len();
    assert_eq!(told, 8, "a block was added to {PAGE}: play it in {}", Path::new(file!()).display());
}
