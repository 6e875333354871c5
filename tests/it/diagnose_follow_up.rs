//! What follow-up requests make certain changes the diagnosis; what they can't, leaves it.

use std::sync::Arc;

use wsprobe::diagnose::{Diagnosis, diagnose, diagnose_page};
use wsprobe::outcome::{FollowUp, Outcome, PageOutcome, Phase, Reason, Reply};
use wsprobe::time::Timestamp;

use crate::support::diagnose::{Evidence, asked};

const WSS: &str = "wss://api.example.com/ws/health/";
const ME: &str = "https://api.example.com/ws/health/";
const OK: &str = "HTTP/1.1 200 OK\nContent-Type: text/plain\n\nhello";

fn reply(url: &str, raw: &str) -> Reply {
    let http = asked(WSS).answered(raw).http;
    let failure = http.as_ref().filter(|http| http.status >= 300).map(|http| http.status_line());
    let self_redirect = http.as_ref().and_then(|http| http.location.as_deref()) == Some(url);
    Reply { url: url.to_owned(), http, failure, self_redirect }
}

fn nothing() -> FollowUp {
    FollowUp {
        asked_at: Timestamp::EPOCH,
        plain_get: None,
        at_location: None,
        with_origin: None,
        origin: Some("https://api.example.com".into()),
        site_root: None,
    }
}

fn with(mut outcome: Outcome, follow_up: FollowUp) -> Diagnosis {
    outcome.follow_up = Some(Arc::new(follow_up));
    diagnose(&outcome).expect("a diagnosis")
}

fn plain(raw: &str) -> FollowUp {
    // a plain GET gets any answer it gets
    FollowUp { plain_get: Some(Reply { failure: None, ..reply(ME, raw) }), ..nothing() }
}

/// One of each code that takes more than a probe.
pub fn examples() -> Vec<Diagnosis> {
    let www = "wss://www.api.example.com/ws/health/";
    let moved = "HTTP/1.1 301 Moved Permanently\nLocation: https://www.api.example.com/ws/health/\n\n";
    let switched = || Some(reply(www, "HTTP/1.1 101 Switching Protocols\n\n"));
    let loops = "HTTP/1.1 301 Moved Permanently\nLocation: https://api.example.com/\n\n";
    vec![
        with(asked(WSS).answered(moved), FollowUp { at_location: switched(), ..nothing() }),
        with(asked(WSS).answered("HTTP/1.1 403 Forbidden\n\n"), FollowUp { with_origin: switched(), ..nothing() }),
        with(asked(WSS).answered("HTTP/1.1 404 Not Found\n\n"), plain(OK)),
        diagnose_page(&page(loops)).expect("a diagnosis"),
    ]
}

#[test]
fn what_was_asked_again_names_the_cause() {
    let found: Vec<_> = examples().into_iter().map(|d| (d.code, d.summary)).collect();
    let expected = [
        ("redirect-upgrade-works", "The upgrade works at wss://www.api.example.com/ws/health/: probe and connect to that URL"),
        ("origin-rejected", "The server checks the Origin: 403 without one, 101 with Origin: https://api.example.com"),
        ("http-fine-websocket-not", "HTTP is fine, WebSocket is not: 404 Not Found to the upgrade, 200 OK to a plain GET"),
        ("page-redirects-to-itself", "https://api.example.com/ is redirected to itself: 301 Moved Permanently"),
    ];
    assert_eq!(found, expected.map(|(code, summary)| (code, summary.to_owned())));
}

#[test]
fn without_follow_up_requests_nothing_is_said_to_be_checked() {
    assert_eq!(diagnose(&asked(WSS).answered("HTTP/1.1 404 Not Found\n\n")).unwrap().checked, None);
    assert_eq!(with(asked(WSS).answered("HTTP/1.1 404 Not Found\n\n"), nothing()).checked, None);
}

#[test]
fn a_loop_of_unknown_make_is_certain_to_lose_the_upgrade_once_a_plain_get_gets_the_same() {
    let raw = format!("HTTP/1.1 301 Moved Permanently\nLocation: {ME}\n\n");
    let inferred = diagnose(&asked(WSS).answered(&raw)).unwrap();
    assert!(inferred.cause.contains("Most likely two faults"), "{inferred:?}");
    let certain = with(asked(WSS).answered(&raw), plain(&raw));
    assert_eq!(certain.code, "redirect-same-url");
    assert!(certain.cause.starts_with("Two faults. Certain: the upgrade is lost on the way"), "{certain:?}");
    assert!(certain.cause.contains("Most likely: a force-https rule"), "the second is still inferred: {certain:?}");
    assert_eq!(certain.fix, inferred.fix);
}

#[test]
fn a_loop_that_only_upgrades_meet_is_not_blamed_on_force_https() {
    let raw = format!("HTTP/1.1 301 Moved Permanently\nLocation: {ME}\n\n");
    let found = with(asked(WSS).answered(&raw), plain(OK));
    assert_eq!(found.summary, "Only the upgrade is redirected to the URL it was asked at; a plain GET gets 200 OK");
    assert!(!found.cause.contains("SECURE_PROXY_SSL_HEADER"), "{found:?}");
    assert_eq!(found.checked.as_deref(), Some("A plain GET of the same URL gets 200 OK."));
}

#[test]
fn a_page_in_place_of_the_websocket_is_certain_once_a_plain_get_gets_the_same() {
    let found = with(asked(WSS).answered(OK), plain(OK));
    assert_eq!(found.code, "http-view-answered");
    assert!(found.cause.starts_with("Certain: the upgrade never reached a WebSocket stack"), "{found:?}");
    let other = with(asked(WSS).answered(OK), plain("HTTP/1.1 200 OK\nContent-Type: text/plain\n\nanother"));
    assert!(other.cause.contains("Most likely"), "{other:?}");
    assert_eq!(other.checked.as_deref(), Some("A plain GET of the same URL gets 200 OK as well, but not the same answer."));
}

#[test]
fn what_is_known_of_the_stack_is_kept_where_it_says_more() {
    let daphne = "HTTP/1.1 500 Internal server error\nServer: daphne\n\n";
    let found = with(asked(WSS).answered(daphne), plain(OK));
    assert_eq!(found.code, "websocket-app-error");
    assert_eq!(found.checked.as_deref(), Some("HTTP is fine, WebSocket is not: a plain GET of the same URL gets 200 OK."));
    let waited = asked(WSS).answered("HTTP/1.1 502 Bad Gateway\nServer: nginx\n\n<hr><center>nginx</center>").after(4.6);
    assert_eq!(with(waited, plain(OK)).code, "daphne-handshake-timeout");
}

#[test]
fn a_refusal_of_plain_http_as_well_is_no_websocket_matter() {
    let raw = "HTTP/1.1 403 Forbidden\nContent-Type: text/html\n\nno";
    let found = with(asked(WSS).answered(raw), plain(raw));
    assert_eq!(found.summary, "Plain HTTP is refused as well: 403 Forbidden for /ws/health/");
    let missing = "HTTP/1.1 404 Not Found\nContent-Type: text/html\n\nno";
    let found = with(asked(WSS).answered(missing), plain(missing));
    assert_eq!(found.summary, "404 for /ws/health/, as to a plain GET: no WebSocket stack was asked");
}

#[test]
fn an_error_of_the_app_that_plain_http_shares_is_inferred_one_of_a_proxy_is_known() {
    let unknown = "HTTP/1.1 503 Service Unavailable\nContent-Type: text/plain\n\naway";
    let found = with(asked(WSS).answered(unknown), plain(unknown)).checked.unwrap();
    assert!(found.ends_with("Most likely it is no WebSocket problem."), "{found}");
    let nginx = "HTTP/1.1 502 Bad Gateway\nServer: nginx\nContent-Type: text/html\n\n<hr><center>nginx</center>";
    let found = with(asked(WSS).answered(nginx), plain(nginx)).checked.unwrap();
    assert!(found.ends_with("It is not a WebSocket problem."), "{found}");
}

#[test]
fn granian_with_a_fitting_origin_leaves_three_causes_of_four() {
    let raw = "HTTP/1.1 403 Forbidden\nserver: granian\n\n";
    let follow_up = FollowUp { with_origin: Some(reply(WSS, raw)), ..plain(OK) };
    let found = with(asked(WSS).answered(raw), follow_up);
    assert_eq!((found.code, found.hop), ("handshake-forbidden", Some("granian")));
    assert!(found.cause.contains("It is most likely not the Origin"), "{found:?}");
}

#[test]
fn a_bare_refusal_that_a_fitting_origin_does_not_change_is_not_advised_to_try_one() {
    let raw = "HTTP/1.1 403 Forbidden\n\n";
    let refused = || FollowUp { with_origin: Some(reply(WSS, raw)), ..nothing() };
    let alone = with(asked(WSS).answered(raw), nothing());
    assert!(alone.fix.starts_with("Send `Origin: https://api.example.com` in the target's `headers`"), "{alone:?}");
    let plain_text = with(asked("ws://127.0.0.1:8000/ws/").answered(raw), nothing());
    assert!(plain_text.fix.starts_with("Send `Origin: http://127.0.0.1:8000` in the target's `headers`"), "{plain_text:?}");
    for (raw, code) in [(raw, "handshake-forbidden"), ("HTTP/1.1 403 Forbidden\nContent-Type: text/html\n\nno", "forbidden")] {
        let found = with(asked(WSS).answered(raw), refused());
        assert_eq!(found.code, code);
        assert!(!found.fix.contains("Send `Origin") && found.cause.contains("is refused, too"), "{found:?}");
    }
    let found = with(asked(WSS).answered(raw), FollowUp { with_origin: Some(reply(WSS, raw)), ..plain(raw) });
    assert_eq!(found.summary, "Plain HTTP is refused as well: 403 Forbidden for /ws/health/");
}

#[test]
fn a_cut_beside_pages_that_are_answered_is_not_blamed_on_the_scheme() {
    let cut =
        |url| asked(url).failed(Reason::UpgradeClosed, Phase::Upgrade, "the peer ended the connection without a byte").after(0.1);
    let alone = with(cut("ws://api.example.com/ws/"), nothing());
    assert!(alone.fix.starts_with("Try wss://"), "{alone:?}");
    let found = with(cut("ws://api.example.com/ws/"), plain(OK));
    assert_eq!(
        (found.code, found.summary.as_str()),
        ("upgrade-cut", "The peer cut the connection 100 ms after the upgrade request, while a plain GET gets 200 OK")
    );
    assert!(!found.cause.contains("speaks TLS") && !found.fix.contains("wss://"), "{found:?}");
}

#[test]
fn a_certificate_for_another_name_than_server_name_is_measured_by_that() {
    let detail = "the certificate is for good.test, not for other.test";
    let found =
        diagnose(&asked("wss://127.0.0.1:8443/").failed(Reason::TlsNameMismatch, Phase::Tls, detail)).expect("a diagnosis");
    assert_eq!(found.summary, "The certificate is for another name than other.test");
}

#[test]
fn everything_checked_fits_and_is_free_of_what_a_peer_could_slip_in() {
    let hostile = format!("HTTP/1.1 302 {}\u{1b}[31m\u{202e}\nLocation: https://x.example.com/\n\n", "x".repeat(600));
    let long = "wss://x.example.com/".to_owned() + &"y".repeat(600);
    let follow_up = FollowUp {
        at_location: Some(reply(&long, &hostile)),
        with_origin: Some(reply(WSS, &hostile)),
        site_root: Some(reply(ME, &hostile)),
        ..plain(&hostile)
    };
    let found = with(asked(WSS).answered(&hostile), follow_up);
    let checked = found.checked.unwrap();
    assert!(checked.chars().count() <= 400, "{checked}");
    assert!(!checked.contains(['\u{1b}', '\u{202e}', '\n']), "{checked}");
}

#[test]
fn an_unanswered_plain_get_is_told_with_its_reason() {
    let failed = Reply { url: ME.to_owned(), http: None, failure: Some("no answer within 1000 ms".into()), self_redirect: false };
    let outcome = asked(WSS).failed(Reason::UpgradeTimeout, Phase::Upgrade, "connected, but not one byte");
    let found = with(outcome, FollowUp { plain_get: Some(failed), ..nothing() });
    assert_eq!(found.checked.as_deref(), Some("A plain GET of the same URL fails as well: no answer within 1000 ms."));
    assert_eq!(found.code, "upgrade-unanswered");
}

fn page(raw: &str) -> PageOutcome {
    let url = "https://api.example.com/";
    let target = wsprobe::outcome::TargetName::lossy("prod");
    let reply = Reply { failure: None, ..reply(url, raw) };
    PageOutcome { target, started_at: Timestamp::EPOCH, took: std::time::Duration::ZERO, reply }
}

#[test]
fn a_page_that_loops_is_explained_by_who_wrote_the_redirect() {
    let me = "https://api.example.com/";
    let trio = "X-Content-Type-Options: nosniff\nReferrer-Policy: same-origin\nCross-Origin-Opener-Policy: same-origin\n";
    let django = format!(
        "HTTP/1.1 301 Moved Permanently\nContent-Type: text/html; charset=utf-8\nLocation: {me}\n{trio}Server: daphne\n\n"
    );
    let found = diagnose_page(&page(&django)).unwrap();
    assert_eq!((found.code, found.hop), ("page-redirects-to-itself", Some("django")));
    assert_eq!(found.summary, "Django sends https://api.example.com/ to itself (301): it takes every request for http");
    assert!(found.cause.contains("SECURE_PROXY_SSL_HEADER") && found.fix.contains("HTTP_X_FORWARDED_PROTO"), "{found:?}");

    let nginx = format!(
        "HTTP/1.1 301 Moved Permanently\nServer: nginx\nContent-Type: text/html\nLocation: {me}\n\n<hr><center>nginx</center>"
    );
    assert_eq!(diagnose_page(&page(&nginx)).unwrap().hop, Some("nginx"));
    let cached = format!("HTTP/1.1 301 Moved Permanently\nLocation: {me}\nX-Cache: Hit from cloudfront\nAge: 12\n\n");
    assert!(diagnose_page(&page(&cached)).unwrap().summary.starts_with("A cached 301 sends"));
    let unknown = format!("HTTP/1.1 301 Moved Permanently\nLocation: {me}\n\n");
    assert!(diagnose_page(&page(&unknown)).unwrap().cause.starts_with("Most likely a force-https rule"));

    assert_eq!(diagnose_page(&page("HTTP/1.1 200 OK\n\n")), None);
    assert_eq!(diagnose_page(&page("HTTP/1.1 301 Moved Permanently\nLocation: https://www.example.com/\n\n")), None);
}
