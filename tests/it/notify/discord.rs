//! Discord: limits kept, nobody called, no text of a peer become markup, and its rate limit honoured.

use std::time::Duration;

use serde_json::Value;
use wiremock::matchers::{any, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};
use wsprobe::config::Body;
use wsprobe::notify::batch::{Item, Parcel};
use wsprobe::notify::{FailureReason, discord};

use crate::support::notify::*;

fn units(value: &Value) -> usize {
    value.as_str().map_or(0, |text| text.encode_utf16().count())
}

/// Checks the documented limits, and returns the characters of all embeds.
fn checked(message: &Value) -> usize {
    let embeds = message["embeds"].as_array().unwrap();
    assert!(embeds.len() <= 10 && (!embeds.is_empty() || message["content"].is_string()));
    let mut total = 0;
    for embed in embeds {
        assert!(units(&embed["title"]) <= 256 && units(&embed["description"]) <= 4096);
        let fields = embed["fields"].as_array().unwrap();
        assert!(fields.len() <= 25);
        for field in fields {
            assert!((1..=256).contains(&units(&field["name"])) && (1..=1024).contains(&units(&field["value"])), "{field}");
            total += units(&field["name"]) + units(&field["value"]);
        }
        total += units(&embed["title"]) + units(&embed["description"]) + units(&embed["footer"]["text"]);
    }
    assert!(total <= 6000, "{total}");
    assert_eq!(message["allowed_mentions"], serde_json::json!({"parse": []}));
    total
}

#[test]
fn a_message_says_what_broke_why_and_what_to_do() {
    let message = discord::render(&parcel([fired()]), &links());
    checked(&message);
    let embed = &message["embeds"][0];
    assert_eq!(embed["title"], "🔴 staging is down: upgrade\\_redirected");
    assert_eq!(embed["url"], "https://wsprobe.example.com/#staging");
    let story = embed["description"].as_str().unwrap();
    for part in ["301 Moved Permanently", "**Fix:**", "[Runbook](<https://wsprobe.example.com/runbook#redirect-same-url>)"] {
        assert!(story.contains(part), "{part} in {story}");
    }
    assert!(!message.to_string().contains("hush"), "the query of the URL");
    let colours: Vec<_> =
        samples().into_iter().map(|n| discord::render(&parcel([n]), &links())["embeds"][0]["color"].clone()).collect();
    assert_ne!(colours[0], colours[2], "trouble and its end differ");
}

#[test]
fn every_kind_of_news_keeps_the_limits() {
    for n in samples() {
        checked(&discord::render(&parcel([n]), &links()));
    }
}

#[test]
fn what_a_peer_says_calls_nobody_and_is_no_markup() {
    let message = discord::render(&parcel([hostile()]), &links());
    checked(&message);
    let text = message.to_string();
    let story = message["embeds"][0]["description"].as_str().unwrap();
    for line in story.lines().filter(|line| !line.starts_with('`')) {
        assert!(!line.contains("@everyone") && !line.contains("](https://evil") && !line.contains(" <@U"), "{line}");
    }
    for control in ["\\u0000", "\\u001b", "\u{202e}"] {
        assert!(!text.contains(control), "{control:?}");
    }
}

#[test]
fn many_alerts_share_one_message_and_what_does_not_fit_is_counted() {
    let many = parcel(std::iter::repeat_with(fired).take(25));
    let message = discord::render(&many, &links());
    checked(&message);
    let shown = message["embeds"].as_array().unwrap().len();
    assert!(shown >= 2, "{shown}");
    let content = message["content"].as_str().unwrap();
    assert!(
        units(&message["content"]) <= 2000 && content.contains(&format!("{} more on the status page", 25 - shown)),
        "{content}"
    );
    assert!(content.starts_with("🔴 25 alerts"), "{content}");
}

#[test]
fn what_came_and_went_while_discord_could_not_be_reached_is_told_as_that() {
    let item = Item::Missed { fired: fired().into(), resolved: resolved().into() };
    let message = discord::render(&Parcel::of(vec![item]), &links());
    checked(&message);
    let text = message.to_string();
    assert!(text.contains("staging was down for 12m 33s and is up again"), "{text}");
    assert!(text.contains("no message could be delivered meanwhile"), "{text}");
}

#[tokio::test]
async fn discord_is_asked_for_a_receipt_and_given_the_time_it_asks_for() {
    let server = MockServer::start().await;
    let busy = ResponseTemplate::new(429)
        .set_body_string(r#"{"message": "You are being rate limited.", "retry_after": 0.25, "global": false}"#);
    Mock::given(query_param("wait", "true")).respond_with(busy).up_to_n_times(1).mount(&server).await;
    Mock::given(query_param("wait", "true")).respond_with(ResponseTemplate::new(200).set_body_string("{}")).mount(&server).await;
    Mock::given(any()).respond_with(ResponseTemplate::new(204)).with_priority(200).mount(&server).await;
    let mut delivery = Delivery::start(&[webhook_with("chat", &format!("{}/api/webhooks/1/x", server.uri()), Body::Discord)]);
    let began = std::time::Instant::now();
    delivery.submit("chat", fired());
    assert_eq!(delivery.next().await, Event::Failed("chat".into(), FailureReason::RateLimited));
    assert_eq!(delivery.next().await, Event::Sent("chat".into()));
    assert!(began.elapsed() >= Duration::from_millis(250));
    let requests = server.received_requests().await.unwrap();
    assert!(requests.iter().all(|request| request.url.query() == Some("wait=true")));
}
