//! Follow-up requests: what is asked beside a failure, of whom, how often, and that it never changes a verdict.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use wsprobe::config::{Addresses, Authorization, ClientCert, Secret, Target, TargetUrl};
use wsprobe::diagnose::{Diagnosis, diagnose};
use wsprobe::outcome::{FollowUp, Outcome, Reason, Verdict};
use wsprobe::probe::{Probe, Shared};
use wsprobe::time::Clock;

use crate::support::certs::{Authority, Flaw};
use crate::support::daemon::{Inbox, Running};
use crate::support::dns::{NameServer, Say};
use crate::support::front::Answer::{Endless, Healthy, Nothing, Silence};
use crate::support::front::{Answer, Front, Head, django_redirect, page, redirect};
use crate::support::probing::{ready, shared, target};

const AMPLE: Duration = Duration::from_secs(10);

/// Probes once and asks again, as daemon and `check` do.
async fn probed(target: Target) -> Outcome {
    probed_with(target, &Shared::system(Clock::system())).await
}

async fn probed_with(target: Target, shared: &Shared) -> Outcome {
    let probe = Probe::new(Arc::new(target), shared).expect("probe");
    let mut outcome = probe.run().await;
    let alone = outcome.clone();
    outcome.follow_up = probe.follow_up(&outcome, AMPLE).await.map(Arc::new);
    let verdict = |o: &Outcome| (o.verdict(), o.reason, o.phase, o.detail.clone(), o.timings, o.http.clone());
    assert_eq!(verdict(&alone), verdict(&outcome), "what was asked beside it changed the outcome");
    outcome
}

fn found(outcome: &Outcome) -> &FollowUp {
    outcome.follow_up.as_deref().unwrap_or_else(|| panic!("no follow-up: {outcome:?}"))
}

fn diagnosis(outcome: &Outcome) -> (Diagnosis, String) {
    let diagnosis = diagnose(outcome).expect("a diagnosis");
    let checked = diagnosis.checked.clone().unwrap_or_default();
    (diagnosis, checked)
}

type Says = fn() -> Answer;

/// One answer to upgrades, another one to everything else.
fn tells_apart(upgrade: Says, plain: Says) -> impl Fn(&Head) -> Answer + Send + Sync {
    move |head| if head.is_upgrade() { upgrade() } else { plain() }
}

#[tokio::test]
async fn a_redirect_to_where_the_upgrade_works_is_said_to_work_there_and_stays_a_failure() {
    let www = Front::answering(|_| Healthy).await;
    let there = format!("http://{}/ws/health/?room=1", www.addr);
    let front = Front::answering(move |_| redirect(&there)).await;
    let outcome = probed(target(&front.url())).await;
    assert_eq!((outcome.verdict(), outcome.reason), (Verdict::Failed, Reason::UpgradeRedirected));
    let at_location = found(&outcome).at_location.as_ref().expect("an upgrade at the Location");
    assert!(at_location.upgraded(), "{at_location:?}");
    assert_eq!(at_location.url, www.url());
    let asked = www.asked();
    assert_eq!((asked.len(), asked[0].path()), (1, "/ws/health/?room=1"));

    let (diagnosis, checked) = diagnosis(&outcome);
    assert_eq!(diagnosis.code, "redirect-upgrade-works");
    assert_eq!(diagnosis.summary, format!("The upgrade works at {}: probe and connect to that URL", www.url()));
    assert!(checked.contains(&format!("The upgrade works at {}.", www.url())), "{checked}");
    assert!(
        checked.contains("gets the same 301 Moved Permanently, so the upgrade never reached a WebSocket stack."),
        "{checked}"
    );
}

#[tokio::test]
async fn a_redirect_to_where_the_upgrade_fails_as_well_says_so() {
    let other = Front::answering(|_| page("404 Not Found", "no")).await;
    let there = format!("http://{}/ws/", other.addr);
    let front = Front::answering(move |_| redirect(&there)).await;
    let outcome = probed(target(&front.url())).await;
    let answer = found(&outcome).at_location.as_ref().and_then(|reply| reply.http.as_ref()).expect("an answer");
    assert_eq!(answer.body, None, "what a page behind a redirect says is not shown");
    let (diagnosis, checked) = diagnosis(&outcome);
    assert_eq!(diagnosis.code, "redirect-port-leak", "another port of the same host");
    assert!(checked.contains(&format!("An upgrade at ws://{}/ws/ gets 404 Not Found.", other.addr)), "{checked}");
}

#[tokio::test]
async fn a_self_redirect_is_told_to_be_of_the_whole_site_or_of_this_path_alone() {
    let authority = Authority::new();
    for whole_site in [true, false] {
        let front = Front::answering_over_tls(authority.server(Flaw::None), move |head| match head.path() {
            "/" if !whole_site => page("200 OK", "hello"),
            path => django_redirect(&format!("https://{}{path}", head.header("host").unwrap_or_default())),
        })
        .await;
        let mut target = target(&front.tls_url());
        target.tls.ca_file = Some(authority.ca_file().to_owned());
        let outcome = probed(target).await;
        let (diagnosis, checked) = diagnosis(&outcome);
        assert_eq!((diagnosis.code, diagnosis.hop), ("redirect-same-url", Some("django")));
        assert!(diagnosis.cause.starts_with("Two faults at once"), "{diagnosis:?}");
        assert!(checked.starts_with("A plain GET of the same URL gets the same 301 Moved Permanently, so the upgrade never"));
        let root = found(&outcome).site_root.as_ref().expect("GET /");
        assert_eq!(root.self_redirect, whole_site);
        assert_eq!(root.url, format!("https://localhost:{}/", front.addr.port()));
        let said = if whole_site { "GET / redirects to itself as well" } else { "GET / gets 200 OK: not every page loops." };
        assert!(checked.contains(said), "{checked}");
        assert_eq!(found(&outcome).at_location, None, "the answer at the same URL is known");
        assert_eq!(front.counted(), (1, 2));
    }
}

#[tokio::test]
async fn an_origin_check_is_told_apart_by_a_second_probe_with_a_fitting_origin() {
    let front = Front::answering(|head| match head.header("origin") {
        Some(_) => Healthy,
        None => page("403 Forbidden", ""),
    })
    .await;
    let outcome = probed(target(&front.url())).await;
    let origin = format!("http://{}", front.addr);
    let (diagnosis, checked) = diagnosis(&outcome);
    assert_eq!(diagnosis.code, "origin-rejected");
    assert!(diagnosis.summary.ends_with(&format!("101 with Origin: {origin}")), "{diagnosis:?}");
    assert!(checked.contains(&format!("With Origin: {origin} the upgrade works.")), "{checked}");
    assert!(front.asked().iter().any(|head| head.header("origin") == Some(&origin)));

    // asked by an address, under a name of its own
    let mut named = target(&front.url());
    named.headers.push((http::header::HOST, Secret::inline("api.example.com")));
    let found = diagnose(&probed(named).await).expect("a diagnosis");
    assert!(found.summary.ends_with("101 with Origin: http://api.example.com"), "{found:?}");

    let mut own = target(&front.url());
    own.headers.push((http::header::ORIGIN, Secret::inline("https://elsewhere.example.com")));
    assert!(probed(own).await.follow_up.is_none(), "with its own Origin the target is healthy here");
}

#[tokio::test]
async fn a_refusal_whatever_the_origin_is_not_blamed_on_the_origin() {
    let refused = || Answer::Http("HTTP/1.1 403 Access denied\r\nServer: daphne\r\nContent-Length: 0\r\n\r\n".to_owned());
    let front = Front::answering(tells_apart(refused, || page("200 OK", "a view"))).await;
    let outcome = probed(target(&front.url())).await;
    let (diagnosis, checked) = diagnosis(&outcome);
    assert_eq!(diagnosis.code, "handshake-forbidden");
    assert!(diagnosis.cause.contains("Most likely the consumer closed before accept"), "{diagnosis:?}");
    assert!(checked.contains(&format!("With Origin: http://{} it gets 403 Access denied.", front.addr)), "{checked}");
}

#[tokio::test]
async fn a_target_with_an_origin_of_its_own_is_not_asked_with_another() {
    let front = Front::answering(|_| page("403 Forbidden", "")).await;
    let mut target = target(&front.url());
    target.headers.push((http::header::ORIGIN, Secret::inline("https://app.example.com")));
    assert_eq!(found(&probed(target).await).with_origin, None);
    assert_eq!(front.counted(), (1, 1));
}

#[tokio::test]
async fn http_that_is_fine_beside_a_websocket_that_is_not_is_said_in_these_words() {
    let upgrades: [(Says, &str); 4] = [
        (|| page("404 Not Found", "no such route"), "http-fine-websocket-not"),
        (|| page("502 Bad Gateway", "<hr><center>nginx</center>"), "http-fine-websocket-not"),
        (|| page("500 Internal Server Error", "oh"), "http-fine-websocket-not"),
        (|| Nothing, "upgrade-cut"),
    ];
    for (upgrade, code) in upgrades {
        let front = Front::answering(tells_apart(upgrade, || page("200 OK", "hello"))).await;
        let (diagnosis, checked) = diagnosis(&probed(target(&front.url())).await);
        assert_eq!(diagnosis.code, code);
        assert!(checked.starts_with("HTTP is fine, WebSocket is not: a plain GET of the same URL gets 200 OK."), "{checked}");
        let plain = front.asked().into_iter().find(|head| !head.is_upgrade()).expect("a plain GET");
        assert_eq!(plain.path(), "/ws/health/");
        assert!(!plain.0.to_lowercase().contains("websocket"), "{plain:?}");
    }
}

#[tokio::test]
async fn http_that_fails_in_the_same_way_is_no_websocket_problem() {
    let front = Front::answering(|_| page("502 Bad Gateway", "<hr><center>nginx/1.22.1</center>")).await;
    let (diagnosis, checked) = diagnosis(&probed(target(&front.url())).await);
    assert_eq!(diagnosis.code, "bad-gateway");
    assert_eq!(checked, "HTTP fails in the same way: a plain GET gets 502 Bad Gateway, too. It is not a WebSocket problem.");
}

#[tokio::test]
async fn an_upgrade_that_hangs_beside_pages_that_are_answered_is_known_to_hang_alone() {
    let front = Front::answering(tells_apart(|| Silence, || page("200 OK", "hello"))).await;
    let (diagnosis, _) = diagnosis(&probed(target(&front.url())).await);
    assert_eq!(diagnosis.code, "upgrade-unanswered");
    assert!(diagnosis.summary.ends_with("while a plain GET of the same URL gets 200 OK"), "{diagnosis:?}");
}

#[tokio::test]
async fn requests_that_are_not_answered_end_with_their_limit_and_say_so() {
    let front = Front::answering(tells_apart(|| page("404 Not Found", "no"), || Silence)).await;
    let probe = Probe::new(Arc::new(target(&front.url())), &Shared::system(Clock::system())).expect("probe");
    let outcome = probe.run().await;
    let started = tokio::time::Instant::now();
    let follow_up = probe.follow_up(&outcome, Duration::from_millis(150)).await.expect("a follow-up");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    let plain = follow_up.plain_get.expect("a plain GET");
    assert!(plain.http.is_none());
    assert!(plain.failure.expect("why").starts_with("no answer within 1"));
}

#[tokio::test]
async fn with_no_time_left_nothing_is_asked_and_nothing_is_said() {
    let front = Front::answering(tells_apart(|| Silence, || page("200 OK", "hello"))).await;
    let probe = ready(target(&front.url()));
    let outcome = probe.run().await;
    assert_eq!(outcome.reason, Reason::UpgradeTimeout);
    assert_eq!(probe.follow_up(&outcome, Duration::ZERO).await, None);
    assert_eq!(front.counted(), (1, 0));
}

#[tokio::test]
async fn of_a_name_with_many_addresses_the_one_that_failed_is_asked_again() {
    let healthy = Front::answering(tells_apart(|| Healthy, || page("200 OK", "hello"))).await;
    let broken_at = SocketAddr::from(([127, 0, 0, 2], healthy.addr.port()));
    let broken = Front::answering_at(broken_at, |_| page("404 Not Found", "no")).await;
    let names = NameServer::says(Say::Addresses(vec![healthy.addr.ip(), broken.addr.ip()])).await;
    let mut target = target(&format!("ws://api.test:{}/ws/", healthy.addr.port()));
    target.addresses = Addresses::All;
    let shared = Shared { resolver: names.resolver(), ..shared() };
    let outcome = probed_with(target, &shared).await;
    assert_eq!((outcome.reason, outcome.address), (Reason::UpgradeRejected, Some(broken_at)));
    assert_eq!((healthy.counted(), broken.counted()), ((1, 0), (1, 1)));
    let (_, checked) = diagnosis(&outcome);
    assert!(checked.starts_with("A plain GET of the same URL gets the same 404 Not Found"), "{checked}");
}

#[tokio::test]
async fn of_an_endless_answer_no_more_is_read_than_is_kept() {
    let refused: Says = || page("404 Not Found", "no");
    let front = Front::answering(tells_apart(refused, || Endless("HTTP/1.1 200 OK\r\n\r\n", "aaaaaaaaaaaaaaa\n"))).await;
    let outcome = probed(target(&front.url())).await;
    let plain = found(&outcome).plain_get.as_ref().and_then(|reply| reply.http.as_ref()).expect("an answer");
    assert_eq!(plain.body.as_ref().map(String::len), Some(512));

    let front = Front::answering(tells_apart(refused, || Endless("HTTP/1.1 200 OK\r\n", "X: aaaaaaaaaaaaaaaaaaaaaaa\r\n"))).await;
    let outcome = probed(target(&front.url())).await;
    let plain = found(&outcome).plain_get.as_ref().expect("a plain GET");
    assert_eq!(plain.http, None);
    assert!(plain.failure.as_ref().is_some_and(|why| why.contains("the response")), "{plain:?}");
}

#[tokio::test]
async fn what_is_healthy_or_failed_after_the_upgrade_is_not_asked_about() {
    let healthy = Front::answering(|_| Healthy).await;
    assert_eq!(probed(target(&healthy.url())).await.follow_up, None);
    assert_eq!(healthy.counted(), (1, 0));

    let mut picky = target(&healthy.url());
    picky.expect.message = Some(wsprobe::config::Matcher::Text("other".into()));
    let outcome = probed(picky).await;
    assert_eq!((outcome.reason, outcome.follow_up), (Reason::MessageMismatch, None));
    assert_eq!(healthy.counted(), (2, 0));
}

#[tokio::test]
async fn only_http_locations_are_asked() {
    for location in ["ftp://127.0.0.1/ws/", "javascript:alert(1)", "https://[bad", "", "file:///etc/passwd"] {
        let to = location.to_owned();
        let front = Front::answering(move |_| redirect(&to)).await;
        let outcome = probed(target(&front.url())).await;
        assert_eq!((&found(&outcome).at_location, &found(&outcome).site_root), (&None, &None), "{location}");
    }
}

// --- secrets

const SECRETS: [&str; 4] = ["hunter2-token", "hunter3-header", "hunter4-password", "hunter5-cookie"];

/// A target that has every kind of secret.
fn secretive(url: &str) -> Target {
    let mut target = target(&format!("{url}?token={}", SECRETS[0]));
    target.headers = vec![
        (http::HeaderName::from_static("x-token"), Secret::inline(SECRETS[1])),
        (http::header::COOKIE, Secret::inline(format!("session={}", SECRETS[3]))),
        (http::header::USER_AGENT, Secret::inline("monitor/1")),
    ];
    target.authorization = Some(Authorization::Basic { username: "u".into(), password: Secret::inline(SECRETS[2]) });
    target
}

/// What a request tells of the secrets, the encoded password included.
fn told(heads: &[Head]) -> Vec<&'static str> {
    let all: String = heads.iter().map(|head| head.0.clone()).collect();
    let mut told: Vec<_> = SECRETS.into_iter().filter(|secret| all.contains(*secret)).collect();
    told.extend(all.contains("Authorization").then_some("Authorization"));
    told
}

#[tokio::test]
async fn secrets_go_to_the_targets_own_origin_and_never_to_where_a_redirect_points() {
    let stranger = Front::answering(|_| Healthy).await;
    for path in ["/ws/health/?token=hunter2-token", "/ws/", "/ws/?next=hunter3-header", "//ws"] {
        let there = format!("http://{}{path}", stranger.addr);
        let front = Front::answering(move |_| redirect(&there)).await;
        let outcome = probed(secretive(&front.url())).await;
        assert!(found(&outcome).at_location.as_ref().expect("asked there").upgraded());
        assert_eq!(told(&front.asked()), ["hunter2-token", "hunter3-header", "hunter5-cookie", "Authorization"]);
        let json = serde_json::to_string(&wsprobe::views::outcome(&outcome, &wsprobe::views::Links::new(""))).expect("JSON");
        assert!(SECRETS.iter().all(|secret| !json.contains(secret)), "{json}");
    }
    assert_eq!(told(&stranger.asked()), [""; 0]);
    assert_eq!(stranger.asked().len(), 4);
    assert!(stranger.asked().iter().all(|head| head.header("user-agent") == Some("monitor/1")));

    // a secret in the path is nobody else's business
    let there = format!("http://{}/hunter3-header/ws/", stranger.addr);
    let front = Front::answering(move |_| redirect(&there)).await;
    assert_eq!(found(&probed(secretive(&front.url())).await).at_location, None);
    assert_eq!(stranger.asked().len(), 4);
}

#[tokio::test]
async fn a_redirect_within_the_targets_own_origin_is_asked_with_its_secrets() {
    let front = Front::answering(|head| match head.path() {
        "/v2/ws/?token=hunter2-token" if head.header("x-token").is_some() => Healthy,
        _ => redirect("/v2/ws/?token=hunter2-token"),
    })
    .await;
    let outcome = probed(secretive(&front.url())).await;
    assert!(found(&outcome).at_location.as_ref().expect("asked").upgraded(), "{outcome:?}");
    assert_eq!(
        diagnosis(&outcome).0.summary,
        format!("The upgrade works at ws://{}/v2/ws/: probe and connect to that URL", front.addr)
    );
}

#[tokio::test]
async fn a_client_certificate_is_not_shown_to_where_a_redirect_points() {
    let authority = Authority::new();
    let curious = Front::answering_over_tls(authority.server_with_client_auth(), |_| Healthy).await;
    let there = format!("https://localhost:{}/ws/health/", curious.addr.port());
    let front = Front::answering_over_tls(authority.server_with_client_auth(), move |_| redirect(&there)).await;
    let (cert, key) = authority.client();
    let mut target = target(&front.tls_url());
    target.tls.ca_file = Some(authority.ca_file().to_owned());
    target.tls.client_cert = Some(ClientCert { cert_file: cert.path().to_owned(), key_file: key.path().to_owned() });
    let outcome = probed(target.clone()).await;
    assert_eq!(outcome.reason, Reason::UpgradeRedirected, "its own origin was shown the certificate: {outcome:?}");
    let at_location = found(&outcome).at_location.as_ref().expect("asked there");
    assert!(at_location.failure.is_some() && at_location.http.is_none(), "{at_location:?}");
    assert!(curious.asked().is_empty());
    target.url = TargetUrl::parse(&curious.tls_url()).expect("url");
    assert_eq!(probed(target).await.reason, Reason::Ok, "asked as a target of its own, it is shown and healthy");
}

// --- the daemon

async fn daemon_on(front: &Front, more: &str) -> Running {
    Running::start(&format!(
        "
server: {{listen: '127.0.0.1:0'}}
targets: [{{name: t, url: '{}', interval: 200ms, timeout: 200ms{more}}}]
alerts: []
",
        front.url()
    ))
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_that_look_alike_are_asked_about_once() {
    let front = Front::answering(|_| page("404 Not Found", "no")).await;
    let daemon = daemon_on(&front, "").await;
    daemon.until("some probes have failed", |d| d.target("t").consecutive >= 6).await;
    let outcomes = daemon.target("t").outcomes;
    let first = outcomes.last().expect("an outcome").follow_up.clone();
    assert!(first.is_some());
    assert!(outcomes.iter().all(|outcome| outcome.follow_up == first), "each has what was found once");
    assert!(daemon.metrics().await.contains("wsprobe_probes_skipped_total{reason=\"overrun\"} 0"));
    daemon.stop().await;
    let (upgrades, plain) = front.counted();
    assert!(upgrades >= 6 && plain == 1, "{upgrades} upgrades, {plain} plain requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn follow_ups_that_hang_cost_no_slot() {
    let front = Front::answering(tells_apart(|| page("404 Not Found", "no"), || Silence)).await;
    let daemon = daemon_on(&front, "").await;
    daemon.until("some probes have failed", |d| d.target("t").consecutive >= 4).await;
    assert!(daemon.metrics().await.contains("wsprobe_probes_skipped_total{reason=\"overrun\"} 0"));
    let outcomes = daemon.target("t").outcomes;
    assert!(outcomes.iter().all(|outcome| outcome.timings.total < Duration::from_millis(150)), "{outcomes:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_with_diagnose_false_is_asked_exactly_once_per_probe() {
    let front = Front::answering(|_| page("404 Not Found", "no")).await;
    let daemon = daemon_on(&front, ", diagnose: false").await;
    daemon.until("some probes have failed", |d| d.target("t").consecutive >= 4).await;
    assert!(daemon.target("t").outcomes.iter().all(|outcome| outcome.follow_up.is_none()));
    daemon.stop().await;
    assert_eq!(front.counted().1, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_alert_about_a_redirect_says_where_the_upgrade_works() {
    let www = Front::answering(|_| Healthy).await;
    let there = format!("http://{}/ws/health/", www.addr);
    let front = Front::answering(move |_| redirect(&there)).await;
    let mut inbox = Inbox::open().await;
    let daemon = Running::start(&format!(
        "
server: {{listen: '127.0.0.1:0'}}
targets: [{{name: prod, url: '{}', interval: 300ms, timeout: 300ms}}]
alerts: [{{name: redirecting, severity: critical, when: {{redirect_ratio: {{above: 0%, over: 5m}}}}}}]
receivers:
  - {{name: slack, slack: {{webhook_url: '{base}/slack'}}}}
  - {{name: hook, webhook: {{url: '{base}/hook'}}}}
",
        front.url(),
        base = inbox.base
    ))
    .await;
    let firing = inbox.hook.next().await;
    assert_eq!(firing["data"]["outcome"]["diagnosis"]["code"], "redirect-upgrade-works");
    assert_eq!(firing["data"]["outcome"]["follow_up"]["at_location"]["upgraded"], true);
    assert_eq!(firing["data"]["outcome"]["follow_up"]["plain_get"]["http"]["status"], 301);
    let slack = inbox.slack.next().await.to_string();
    for said in [format!("The upgrade works at {}: probe and connect to that URL", www.url()), "*Checked:*".to_owned()] {
        assert!(slack.contains(&said), "the message should say {said}: {slack}");
    }
    assert_eq!(daemon.target("prod").verdict, Some(Verdict::Failed));
    daemon.stop().await;
    assert_eq!(www.counted(), (1, 0), "it was tried there once");
}
