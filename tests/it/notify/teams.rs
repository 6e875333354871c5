//! Microsoft Teams: an Adaptive Card that a workflow takes, small enough, with nothing of a peer's as markup.

use serde_json::Value;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};
use wsprobe::config::Body;
use wsprobe::notify::batch::{Item, Parcel};
use wsprobe::notify::teams;

use crate::support::notify::*;

fn card(message: &Value) -> &Value {
    assert_eq!(message["type"], "message");
    assert_eq!(message["attachments"][0]["contentType"], "application/vnd.microsoft.card.adaptive");
    assert!(message.to_string().len() <= 20_000, "{} bytes", message.to_string().len());
    &message["attachments"][0]["content"]
}

/// The text that people read.
fn read(card: &Value) -> String {
    let items = card["body"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|block| block["items"].as_array().cloned().unwrap_or(vec![block.clone()]));
    let line = |item: Value| {
        item["inlines"].as_array().unwrap().iter().map(|run| run["text"].as_str().unwrap().to_owned()).collect::<String>()
    };
    items.map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_card_says_what_broke_why_and_what_to_do() {
    let message = teams::render(&parcel([fired()]), &links());
    let text = read(card(&message));
    for part in ["🔴 staging is down: upgrade_redirected", "301 Moved Permanently", "Fix: Let the proxy", "Rule: down (critical)"]
    {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert_eq!(card(&message)["actions"][0]["url"], "https://wsprobe.example.com/#staging");
    assert!(!message.to_string().contains("hush"), "the query of the URL");
    for n in samples() {
        assert!(!read(card(&teams::render(&parcel([n]), &links()))).is_empty());
    }
}

#[test]
fn what_a_peer_says_stands_where_no_markup_is_known() {
    let message = teams::render(&parcel([hostile()]), &links());
    let text = message.to_string();
    assert!(read(card(&message)).contains("@everyone"));
    assert!(!text.contains("\"TextBlock\"") && !text.contains("\"FactSet\""), "those read Markdown");
    assert!(!text.contains("\"entities\""), "nobody is mentioned");
    for control in ["\\u0000", "\\u001b", "\u{202e}"] {
        assert!(!text.contains(control), "{control:?}");
    }
}

#[test]
fn many_alerts_share_one_card_and_what_does_not_fit_is_counted() {
    let many = parcel(std::iter::repeat_with(fired).take(60));
    let message = teams::render(&many, &links());
    let text = read(card(&message));
    let shown = text.matches("🔴").count();
    assert!(
        shown >= 2 && text.starts_with("🔴 60 alerts") && text.ends_with(&format!("{} more on the status page", 61 - shown)),
        "{text}"
    );
}

#[test]
fn what_came_and_went_while_teams_could_not_be_reached_is_told_as_that() {
    let item = Item::Missed { fired: fired().into(), resolved: resolved().into() };
    let message = teams::render(&Parcel::of(vec![item]), &links());
    let text = read(card(&message));
    assert!(text.contains("staging was down for 12m 33s and is up again"), "{text}");
}

#[tokio::test]
async fn any_success_is_a_receipt() {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(202)).mount(&server).await;
    let mut delivery = Delivery::start(&[webhook_with("chat", &server.uri(), Body::Teams)]);
    delivery.submit("chat", fired());
    assert_eq!(delivery.next().await, Event::Sent("chat".into()));
}
