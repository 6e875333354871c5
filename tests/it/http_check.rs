//! The companion `http:` check: it sees pages loop while the WebSocket is healthy, and never has a say in the verdict.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wsprobe::alert::{Book, State, TransitionKind};
use wsprobe::config::{Condition, HttpCheck, Target};
use wsprobe::outcome::{HttpEvidence, PageOutcome, Reason, Reply, Verdict};
use wsprobe::time::Timestamp;

use crate::support::alert::{START, config, mins, name, outcome, rule, target};
use crate::support::certs::{Authority, Flaw};
use crate::support::daemon::{Inbox, Running, get};
use crate::support::front::Answer::{Healthy, Nothing};
use crate::support::front::{Front, django_redirect, page};

// --- the rule

const PAGE: &str = "https://api.example.com/";

fn with_companion() -> Arc<Target> {
    let http = Some(HttpCheck { url: PAGE.parse().expect("url"), every: mins(5) });
    Arc::new(Target { http, ..Target::clone(&target("prod")) })
}

fn book() -> Book {
    Book::new(&config(vec![with_companion(), target("bare")], vec![rule("http-side", Condition::HttpSelfRedirect(2))]))
}

/// A companion GET; `None`: without an answer.
fn got(self_redirect: Option<bool>, started_at: Timestamp) -> Arc<PageOutcome> {
    let http = self_redirect.map(|looped| HttpEvidence {
        status: if looped { 301 } else { 200 },
        reason_phrase: String::new(),
        location: looped.then(|| PAGE.to_owned()),
        lowercase_names: false,
        headers: vec![],
        body: Some(String::new()),
    });
    let failure = http.is_none().then(|| "no answer".to_owned());
    let reply = Reply { url: PAGE.to_owned(), http, failure, self_redirect: self_redirect == Some(true) };
    Arc::new(PageOutcome { target: name("prod"), started_at, took: Duration::ZERO, reply })
}

/// Lets these GETs come in, one each five minutes, and says what came of each.
fn story(book: &mut Book, gets: &[Option<bool>]) -> Vec<Option<(TransitionKind, String)>> {
    let gets = gets.iter().enumerate();
    let said = gets.map(|(n, get)| {
        let now = START + mins(5) * n as u32;
        let mut transitions = book.on_page(&got(*get, now), now);
        assert!(transitions.len() <= 1);
        transitions.pop().map(|t| (t.kind, t.alert.cause))
    });
    said.collect()
}

#[test]
fn it_fires_after_so_many_self_redirects_in_a_row_and_resolves_after_one_get_that_is_none() {
    let mut book = book();
    book.on_outcome(&Arc::new(outcome("prod", START, Reason::Ok)), START);
    let fired =
        "https://api.example.com/ redirects to itself (301) while the WebSocket is healthy: most likely every HTTPS page loops";
    assert_eq!(
        story(&mut book, &[Some(true), Some(false), Some(true), Some(true), Some(true), Some(false), Some(true)]),
        [
            None,
            None,
            None,
            Some((TransitionKind::Fired, fired.to_owned())),
            None,
            Some((TransitionKind::Resolved, "https://api.example.com/ redirected to itself (301)".to_owned())),
            None
        ]
    );
    assert_eq!(book.of_target(&name("prod"))[0].state, State::Pending);
}

#[test]
fn a_get_without_an_answer_neither_counts_nor_resolves() {
    let mut book = book();
    let said = story(&mut book, &[Some(true), None, Some(true), None, None]);
    assert_eq!(said.iter().flatten().count(), 1);
    assert!(said[2].as_ref().is_some_and(|(kind, cause)| *kind == TransitionKind::Fired && !cause.contains("WebSocket")));
    assert_eq!(book.of_target(&name("prod"))[0].state, State::Firing);
}

#[test]
fn probes_of_the_websocket_neither_fire_nor_resolve_it_and_pages_say_nothing_to_other_rules() {
    let rules = vec![rule("http-side", Condition::HttpSelfRedirect(1)), rule("down", Condition::ConsecutiveFailures(2))];
    let mut book = Book::new(&config(vec![with_companion()], rules));
    let down =
        |book: &mut Book, n: u64| book.on_outcome(&Arc::new(outcome("prod", START, Reason::ConnectRefused)), START + mins(n));
    assert!(down(&mut book, 0).is_empty());
    let fired = book.on_page(&got(Some(true), START), START);
    assert_eq!(fired.len(), 1);
    assert!(fired[0].alert.cause.contains(", and the WebSocket fails, too"), "{:?}", fired[0]);
    assert_eq!(fired[0].alert.page.as_ref().map(|page| page.reply.status()), Some(Some(301)));
    assert!(book.on_page(&got(Some(false), START), START).iter().all(|t| &*t.alert.rule.name == "http-side"));
    assert_eq!(down(&mut book, 1).len(), 1, "the good page did not interrupt the run of failures");
    for n in 2..9 {
        book.on_outcome(&Arc::new(outcome("prod", START, Reason::Ok)), START + mins(n));
    }
    assert_eq!(book.of_target(&name("prod"))[0].state, State::Inactive);
}

#[test]
fn a_target_without_a_companion_is_not_watched_by_the_rule() {
    assert!(book().of_target(&name("bare")).is_empty());
    assert_eq!(book().of_target(&name("prod")).len(), 1);
}

// --- the daemon

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_loop_while_the_websocket_is_healthy_are_alerted_and_leave_the_verdict() {
    let authority = Authority::new();
    let broken = Arc::new(AtomicBool::new(true));
    let still = broken.clone();
    let front = Front::answering_over_tls(authority.server(Flaw::None), move |head| {
        let host = head.header("host").unwrap_or_default();
        match head.is_upgrade() {
            true => Healthy,
            false if still.load(Ordering::SeqCst) => django_redirect(&format!("https://{host}{}", head.path())),
            false => page("200 OK", "hello"),
        }
    })
    .await;
    let mut inbox = Inbox::open().await;
    let daemon = Running::start(&format!(
        "
server: {{listen: '127.0.0.1:0'}}
targets:
  - name: prod
    url: '{}'
    interval: 200ms
    timeout: 2s
    headers: {{X-Token: hunter2}}
    tls: {{ca_file: {}}}
    http: {{url: 'https://localhost:{port}/?lang=en', every: 100ms}}
  - {{name: bare, url: 'ws://127.0.0.1:9/', interval: 1h}}
alerts: [{{name: http-side, severity: warning, when: {{http_self_redirect: 2}}}}]
receivers:
  - {{name: slack, slack: {{webhook_url: '{base}/slack'}}}}
  - {{name: hook, webhook: {{url: '{base}/hook'}}}}
",
        front.tls_url(),
        serde_json::json!(authority.ca_file()),
        port = front.addr.port(),
        base = inbox.base
    ))
    .await;
    let url = format!("https://localhost:{}/", front.addr.port());

    let firing = inbox.hook.next().await;
    assert_eq!((&firing["type"], &firing["data"]["alert"]["rule"]), (&"alert.firing".into(), &"http-side".into()));
    let cause = firing["data"]["alert"]["cause"].as_str().expect("cause");
    assert!(cause.starts_with(&format!("{url} redirects to itself (301)")), "{cause}");
    assert_eq!(firing["data"]["http_check"]["self_redirect"], true);
    assert!(firing["data"]["alert"]["runbook"].as_str().expect("a link").ends_with("#page-redirects-to-itself"));
    let slack = inbox.slack.next().await.to_string();
    for said in ["prod: the page beside it redirects to itself", &url, "301 Moved Permanently", "SECURE_PROXY_SSL_HEADER"] {
        assert!(slack.contains(said), "the message should say {said}: {slack}");
    }

    daemon.until("the WebSocket was probed a few times", |d| d.target("prod").consecutive >= 3).await;
    assert_eq!(daemon.target("prod").verdict, Some(Verdict::Healthy));
    let metrics = daemon.metrics().await;
    for line in ["wsprobe_http_status_code{target=\"prod\"} 301", "wsprobe_http_self_redirect{target=\"prod\"} 1"] {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }
    assert!(!metrics.contains("wsprobe_http_status_code{target=\"bare\"}"), "only with `http`");
    let api = get(&format!("{}/api/v1/targets/prod", daemon.base)).await;
    for said in [r#""http_check":{"#, r#""self_redirect":true"#, &format!(r#""url":"{url}""#)] {
        assert!(api.contains(said), "{said} is missing in {api}");
    }
    let page = front.asked().into_iter().find(|head| !head.is_upgrade()).expect("a GET");
    assert_eq!((page.path(), page.header("x-token")), ("/?lang=en", Some("hunter2")), "it is the target's own origin");

    broken.store(false, Ordering::SeqCst);
    let resolved = inbox.hook.next().await;
    assert_eq!(resolved["type"], "alert.resolved");
    assert!(inbox.slack.next().await.to_string().contains("no longer redirects to itself"));
    daemon.until("the last GET is shown", |d| d.target("prod").page.is_some_and(|page| page.reply.status() == Some(200))).await;
    assert!(daemon.metrics().await.contains("wsprobe_http_self_redirect{target=\"prod\"} 0"));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_companion_elsewhere_gets_no_secret_and_one_that_hangs_does_not_hold_up_the_end() {
    let pages = Front::answering(|_| crate::support::front::Answer::Silence).await;
    let front = Front::answering(|_| Healthy).await;
    let daemon = Running::start(&format!(
        "
server: {{listen: '127.0.0.1:0'}}
targets:
  - name: prod
    url: '{}?token=hunter3'
    interval: 200ms
    timeout: 5s
    headers: {{X-Token: hunter2}}
    basic_auth: {{username: u, password: hunter4}}
    http: {{url: 'http://{}/', every: 50ms}}
alerts: []
",
        front.url(),
        pages.addr
    ))
    .await;
    daemon.until("both were asked", |d| d.target("prod").consecutive >= 2 && !pages.asked().is_empty()).await;
    daemon.stop().await;
    let asked = pages.asked();
    assert_eq!(asked.len(), 1, "the one that hangs is not asked beside itself");
    let head = &asked[0].0;
    assert!(!head.contains("hunter") && !head.contains("Authorization"), "{head}");
    assert!(front.asked()[0].0.contains("hunter2"), "the target itself gets them");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_companion_without_an_answer_is_shown_with_its_reason_and_alerts_nobody() {
    let front = Front::answering(|head| if head.is_upgrade() { Healthy } else { Nothing }).await;
    let daemon = Running::start(&format!(
        "
server: {{listen: '127.0.0.1:0'}}
targets: [{{name: prod, url: '{}', interval: 200ms, http: {{url: 'http://{}/', every: 50ms}}}}]
alerts: [{{name: http-side, when: {{http_self_redirect: 1}}}}]
",
        front.url(),
        front.addr
    ))
    .await;
    daemon.until("a GET has ended", |d| d.target("prod").page.is_some()).await;
    let page = daemon.target("prod").page.expect("a GET");
    assert_eq!((&page.reply.http, page.reply.self_redirect), (&None, false));
    assert!(page.reply.failure.as_ref().is_some_and(|why| why.contains("without a byte")), "{page:?}");
    let metrics = daemon.metrics().await;
    assert!(!metrics.contains("wsprobe_http_status_code{"), "nothing is known");
    assert!(metrics.contains("wsprobe_alert_state{target=\"prod\",rule=\"http-side\",severity=\"critical\"} 0"));
    daemon.stop().await;
}
