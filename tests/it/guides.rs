//! The guides in docs/, played: whatever they tell a reader to run is run, and what they show is what comes out. And the
//! links between all pages lead somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::django::{RIGHT_HEADER, Stack, WRONG_HEADER};
use crate::support::daemon::Inbox;
use crate::support::docs::blocks;
use crate::support::front::{Answer, Front};
use crate::support::process::run;
use crate::support::reader::{Reader, timeless};
use crate::support::{require, source};

/// The scripts of a page, the waiting made short.
fn scripts(page: &str) -> Vec<String> {
    let shorter = |text: &str| {
        text.replace("--wait 3m", "--wait 20s")
            .replace("--wait 10m", "--wait 20s")
            .replace("--for 5m", "--for 1s --interval 100ms")
    };
    blocks(page).iter().filter(|block| block.language == "sh").map(|block| shorter(&block.text)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn getting_started_on_aws_leads_from_nothing_to_a_check_after_each_deploy() {
    let front = Front::answering(|_| Answer::Healthy).await;
    let reader = Reader::new();
    let scripts = scripts("docs/getting-started-aws.md");
    assert_eq!(scripts.len(), 5);
    for script in &scripts {
        reader.does(&script.replace("wss://api.example.com/ws/health/", &front.url())).await;
    }
    let calls = std::fs::read_to_string(reader.folder.path().join("calls")).expect("calls");
    assert_eq!(calls.lines().count(), 2, "{calls}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_for_incidents_leads_from_the_message_to_the_proof() {
    let broken = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let seen = broken.clone();
    let front = Front::answering(move |_| match seen.load(std::sync::atomic::Ordering::Relaxed) {
        true => crate::support::front::django_redirect("https://staging.example.com/ws/health/"),
        false => Answer::Healthy,
    })
    .await;
    let reader = Reader::new();
    let daemon = reader.daemon("staging", &front.url()).await;
    let scripts = scripts("docs/incident-guide.md");
    let [trace, silence, prove, expire] = scripts.as_slice() else { panic!("{scripts:#?}") };
    let traced = reader.runs(trace).await;
    assert!(traced.code == Some(1) && traced.stdout.contains("upgrade_redirected"), "{}", traced.stdout);
    let silenced = reader.does(silence).await;
    assert!(silenced.stdout.contains("staging (mending the redirect"), "{}", silenced.stdout);
    broken.store(false, std::sync::atomic::Ordering::Relaxed);
    reader.does(prove).await;
    let id = silenced.stdout.lines().next().expect("an id");
    let expired = reader.does(&expire.replace("3f9c2a71b0", id)).await;
    assert!(expired.stdout.contains("ended at"), "{}", expired.stdout);
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_guide_for_prometheus_checks_is_in_order() {
    require("promtool", "prometheus");
    let front = Front::answering(|_| Answer::Healthy).await;
    let reader = Reader::new();
    let daemon = reader.daemon("prod", &front.url()).await;
    std::os::unix::fs::symlink(source::root().join("prometheus"), reader.folder.path().join("prometheus")).expect("link");
    let scripts = scripts("docs/prometheus.md");
    assert_eq!(scripts.len(), 2);
    for script in &scripts {
        reader.does(&script.replace("http://127.0.0.1:19115", &reader.server)).await;
    }
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_for_slack_ends_with_a_valid_configuration_and_a_secret_that_is_kept() {
    let (reader, mut inbox) = (Reader::new(), Inbox::open().await);
    let page = "docs/slack.md";
    let scripts = scripts(page);
    let [secret, reload] = scripts.as_slice() else { panic!("{scripts:#?}") };
    reader.does(&format!("echo {}/slack | {secret}", inbox.base)).await;
    let kept = std::fs::metadata(reader.folder.path().join("slack-webhook-url")).expect("the file").permissions().mode();
    assert_eq!(kept & 0o777, 0o600);
    let yaml = blocks(page).into_iter().find(|block| block.language == "yaml").expect("a configuration").text;
    reader.write("monitors.yaml", &yaml);
    let done = reader.does(reload).await;
    assert!(done.stdout.contains("1 receiver"), "{}", done.stdout);
    assert!(inbox.slack.next().await.to_string().contains("test"), "the test message arrives");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_to_the_header_trap_shows_what_the_real_stack_answers() {
    let shown: Vec<String> =
        blocks("docs/secure-proxy-ssl-header.md").into_iter().filter(|b| b.language == "console").map(|b| b.text).collect();
    assert_eq!(shown.len(), 4);
    let mut stack = Stack::new();
    // in the order of the page
    let states = [
        ("outage.conf", WRONG_HEADER),
        ("outage.conf", WRONG_HEADER),
        ("outage.conf", RIGHT_HEADER),
        ("healthy.conf", WRONG_HEADER),
    ];
    let mut running = None;
    for (state, block) in states.into_iter().zip(&shown) {
        if running != Some(state) {
            stack.start(state.0, state.1).await;
            running = Some(state);
        }
        let (command, expected) = block.split_once('\n').expect("a command");
        let here = |text: &str| {
            let text = text.replace("localhost:8443", &format!("localhost:{}", stack.tls_port));
            text.replace("localhost:8000", &format!("localhost:{}", stack.daphne_port))
        };
        let command = here(command).replace("tls/cert.pem", &stack.certificate().display().to_string());
        let args: Vec<&str> = command.trim_start_matches("$ wsprobe ").split(' ').collect();
        let traced = run(&args).await;
        let said: BTreeSet<String> = traced.stdout.lines().map(timeless).collect();
        for line in here(expected).lines().filter(|line| *line != "[…]") {
            assert!(said.contains(&timeless(line)), "{line}\nis not what came:\n{}{}", traced.stdout, traced.stderr);
        }
    }
}

/// Every page for readers, by its path.
fn pages() -> BTreeMap<String, String> {
    let files = source::files(&["README.md", "CHANGELOG.md", "ARCHITECTURE.md", "docs", "examples"]);
    let pages = files.into_iter().filter(|file| file.path.ends_with(".md") && !file.path.contains("node_modules"));
    pages.map(|file| (file.path, file.text)).collect()
}

/// Without what stands in fences, which is no link.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let lines = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The anchors of a page, as GitHub makes them of its headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text);
    let headings =
        headings.lines().filter_map(|line| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')));
    let anchor = |heading: &str| -> String {
        let kept =
            heading.to_lowercase().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_')).collect::<String>();
        kept.replace(' ', "-")
    };
    headings.map(anchor).collect()
}

/// The targets of links, from the folder of the page on.
fn links(page: &str, text: &str) -> Vec<(PathBuf, Option<String>)> {
    let link = Regex::new(r"\]\(([^)\s]+)\)").expect("pattern");
    let folder = Path::new(page).parent().unwrap_or(Path::new(""));
    let text = prose(text);
    let inner = link.captures_iter(&text).map(|found| found[1].to_owned()).filter(|to| !to.contains("://"));
    let target = |to: String| {
        let (path, anchor) = to.split_once('#').map_or((to.as_str(), None), |(path, anchor)| (path, Some(anchor.to_owned())));
        let path = if path.is_empty() { PathBuf::from(page) } else { folder.join(path) };
        let mut plain = PathBuf::new();
        for part in path.components() {
            match part {
                std::path::Component::ParentDir => _ = plain.pop(),
                other => plain.push(other),
            }
        }
        (plain, anchor)
    };
    inner.map(target).collect()
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let pages = pages();
    let mut broken = vec![];
    for (page, text) in &pages {
        for (path, anchor) in links(page, text) {
            let there = source::root().join(&path).exists();
            let found = anchor
                .as_ref()
                .is_none_or(|anchor| pages.get(&path.display().to_string()).is_some_and(|text| anchors(text).contains(anchor)));
            if !there || !found {
                broken.push(format!("{page}: {}{}", path.display(), anchor.map(|a| format!("#{a}")).unwrap_or_default()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_page_of_docs_is_named_by_the_readme_and_by_the_index() {
    let pages = pages();
    for index in ["README.md", "docs/README.md"] {
        let named: BTreeSet<String> =
            links(index, &pages[index]).into_iter().map(|(path, _)| path.display().to_string()).collect();
        let missing: Vec<&String> = pages
            .keys()
            .filter(|page| page.starts_with("docs/") && *page != "docs/README.md" && !named.contains(*page))
            .collect();
        assert!(missing.is_empty(), "{index} does not name {missing:?}");
    }
}
