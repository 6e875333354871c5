//! The README, played from its first command to its last, as someone new does it; and the blocks of all other pages, of
//! which none may be there that nobody plays.

use std::collections::BTreeMap;

use crate::support::docs::blocks;
use crate::support::front::{Answer, Front, django_redirect};
use crate::support::nginx::{free_port, listening};
use crate::support::process::{Running, shell};
use crate::support::reader::{Reader, timeless};
use crate::support::source;

/// The block of the README that begins like this.
fn block(start: &str) -> String {
    let found = blocks("README.md").into_iter().find(|block| block.text.starts_with(start));
    found.unwrap_or_else(|| panic!("the README has no block that begins with {start:?}")).text
}

/// Whether all that is shown was said, in this order; `[…]` stands for what is left out.
fn is_said(shown: &str, said: &str) {
    let said = said.lines().map(timeless).collect::<Vec<_>>().join("\n");
    let mut rest = said.as_str();
    for part in shown.lines().map(timeless).flat_map(|line| line.split("[…]").map(str::to_owned).collect::<Vec<_>>()) {
        let part = part.trim();
        let at = rest.find(part).unwrap_or_else(|| panic!("{part:?}\nis not in its place in what came:\n{said}"));
        rest = &rest[at + part.len()..];
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_man_pages_and_schema_are_where_the_readme_puts_them() {
    let reader = Reader::new();
    let home = reader.folder.path().join("home");
    std::fs::create_dir(&home).expect("home");
    let script = block("mkdir -p ~/.local/share/bash-completion").replace("/usr/local", &home.display().to_string());
    reader.does(&format!("HOME={}\n{script}", home.display())).await;
    let written = |path: &str| std::fs::read_to_string(reader.folder.path().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    assert!(written("home/.local/share/bash-completion/completions/wsprobe").contains("complete -F _wsprobe"));
    assert!(written("home/share/man/man1/wsprobe-gate.1").contains(".TH wsprobe-gate 1"));
    assert!(written("monitors.schema.json").contains("json-schema.org"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_configuration_is_valid_is_checked_and_is_run() {
    let front = Front::answering(|_| Answer::Healthy).await;
    let reader = Reader::new();
    let yaml = block("# monitors.yaml").replace("127.0.0.1:19115", reader.server.trim_start_matches("http://"));
    let hosts = ["wss://api.example.com/ws/health/", "wss://staging.example.com/ws/health/"];
    let yaml = hosts.iter().fold(yaml, |yaml, host| yaml.replace(host, &front.url()));
    reader.write("monitors.yaml", &yaml);
    reader.write("slack-webhook-url", "http://127.0.0.1:9/services/T0/B0/XXXX\n");

    let script = block("wsprobe validate monitors.yaml");
    let (checks, _) = script.split_once("wsprobe run ").expect("the daemon comes last");
    let checked = reader.does(checks).await;
    assert!(checked.stdout.contains("2 targets, 4 alert rules, 1 receiver"), "{}", checked.stdout);
    assert_eq!(checked.stdout.matches("✔").count(), 2, "{}", checked.stdout);

    let daemon = reader.starts().await;
    let page = format!("{}/-/ready", reader.server);
    assert!(crate::support::daemon::get(&page).await.contains("ready"), "the daemon of the README serves");
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_is_installed_by_the_commands_of_the_readme() {
    let reader = Reader::new();
    let here = reader.folder.path().display().to_string();
    reader.write("monitors.yaml", "targets: [{name: prod, url: 'wss://api.example.com/ws/health/'}]\n");
    reader.write("systemd/wsprobe.service", &std::fs::read_to_string("systemd/wsprobe.service").expect("the unit"));
    std::fs::create_dir_all(reader.folder.path().join("target/release")).expect("a folder");
    std::fs::copy(env!("CARGO_BIN_EXE_wsprobe"), reader.folder.path().join("target/release/wsprobe")).expect("the program");
    for folder in ["usr/bin", "etc/systemd/system"] {
        std::fs::create_dir_all(reader.folder.path().join(folder)).expect("a folder");
    }
    let script =
        block("sudo install -m 755").replace(" /usr/", &format!(" {here}/usr/")).replace(" /etc/", &format!(" {here}/etc/"));
    reader.does(&script).await;
    let installed = reader.does(&format!("{here}/usr/bin/wsprobe validate {here}/etc/wsprobe/monitors.yaml")).await;
    assert!(installed.stdout.contains("1 target"), "{}", installed.stdout);
    let calls = std::fs::read_to_string(reader.folder.path().join("calls")).expect("calls");
    assert_eq!(calls, "systemctl daemon-reload\nsystemctl enable --now wsprobe\nsystemctl status wsprobe\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_of_the_readme_is_what_its_two_commands_print() {
    let (reader, port) = (Reader::new(), free_port().to_string());
    let text = block("$ wsprobe endpoint --tls").replace("19116", &port);
    let mut commands = text.lines().filter_map(|line| line.strip_prefix("$ "));
    let (serve, trace) = (commands.next().expect("the endpoint"), commands.next().expect("the trace"));
    let serve = serve.trim_end_matches(" &").replace("wsprobe", "exec \"$0\"") + &format!(" --listen 127.0.0.1:{port}");
    let mut endpoint = shell(&serve);
    endpoint.current_dir(reader.folder.path());
    let endpoint = Running::of(endpoint);
    listening(port.parse().expect("a port")).await;

    let traced = reader.runs(trace).await;
    assert_eq!(traced.code, Some(1), "{}", traced.stderr);
    let (_, shown) = text.split_once(&format!("{trace}\n")).expect("what comes of it");
    is_said(shown, &traced.stdout);
    drop(endpoint);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lint_django_says_in_the_readme_is_what_it_says() {
    let reader = Reader::new();
    let text = block("$ wsprobe lint-django config/settings/production.py");
    let (command, shown) = text.split_once('\n').expect("a command");
    let settings = "from .base import *\n\nDEBUG = env.bool('DEBUG')\nif not DEBUG:\n    SECURE_PROXY_SSL_HEADER = (\"HTTP_CLOUDFRONT_FORWARDED_PROTO\", \"https\")\n";
    reader.write(
        "config/settings/base.py",
        "INSTALLED_APPS = ['channels']\nMIDDLEWARE = ['django.middleware.security.SecurityMiddleware']\n",
    );
    reader.write("config/settings/production.py", settings);
    let linted = reader.runs(command.trim_start_matches("$ ")).await;
    assert_eq!(linted.code, Some(1), "{}{}", linted.stdout, linted.stderr);
    is_said(shown, &linted.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_is_begun_listed_and_ended_by_the_commands_of_the_readme_and_of_the_page_on_alerting() {
    let script = block("wsprobe silence add");
    let told_again = blocks("docs/alerting.md").into_iter().find(|block| block.language == "console").expect("the commands").text;
    assert_eq!(script, told_again);
    let front = Front::answering(|_| django_redirect("https://staging.example.com/ws/health/")).await;
    let reader = Reader::new();
    let daemon = reader.daemon("staging", &front.url()).await;
    let (begin, expire) = script.split_once("wsprobe silence expire").expect("it is ended last");
    let begun = reader.does(begin).await;
    let id = begun.stdout.lines().next().expect("an id");
    assert!(begun.stdout.matches(id).count() >= 2 && begun.stdout.contains("deploy 1234"), "it is listed: {}", begun.stdout);
    let expired = reader.does(&format!("wsprobe silence expire {}", expire.replace("3f9c2a71b0", id))).await;
    assert!(expired.stdout.contains("ended at"), "{}", expired.stdout);
    drop(daemon);
}

/// The blocks of commands on each page, and who plays them. What is under `by hand` takes longer than tests may, and is run
/// before a release.
const PLAYED: &[(&str, usize, &str)] = &[
    ("README.md", 9, "here; `demo`, `cargo install` and `cargo test` by hand and in CI"),
    ("docs/alerting.md", 1, "here"),
    ("docs/cloudwatch.md", 2, "cloudwatch"),
    ("docs/deploy-pipeline.md", 3, "deploy_pipeline"),
    ("docs/getting-started-aws.md", 5, "guides"),
    ("docs/incident-guide.md", 4, "guides"),
    ("docs/lint-django.md", 2, "lint::command"),
    ("docs/outcome.md", 2, "trace"),
    ("docs/prometheus.md", 2, "guides"),
    ("docs/secure-proxy-ssl-header.md", 4, "guides"),
    ("docs/slack.md", 2, "guides"),
    ("examples/django/README.md", 1, "django, examples"),
];

#[test]
fn no_page_has_commands_that_nobody_plays() {
    let pages = source::files(&["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs", "examples"]);
    let pages = pages.into_iter().map(|page| page.path).filter(|path| path.ends_with(".md") && !path.contains("node_modules"));
    let commands =
        |path: &String| blocks(path).iter().filter(|b| matches!(&*b.language, "sh" | "console" | "bash" | "shell")).count();
    let there: BTreeMap<String, usize> =
        pages.map(|path| (path.clone(), commands(&path))).filter(|(_, count)| *count > 0).collect();
    let played: BTreeMap<String, usize> = PLAYED.iter().map(|(page, count, _)| ((*page).to_owned(), *count)).collect();
    assert_eq!(there, played, "the left is what pages have, the right is what tests play");
}
