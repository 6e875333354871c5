//! Bodies of webhooks as users write them: checked while the configuration is read, and never a reason to lose an alert.

use std::path::Path;

use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};
use wsprobe::config::{self, Body, BodyTemplate, Secret};
use wsprobe::notify::{context, webhook};

use crate::support::notify::*;

const SAMPLES: &str = "src/config/body_samples.json";

#[test]
fn templates_are_tried_on_what_they_will_be_given() {
    let contexts: Vec<Value> = samples().iter().map(|n| context::of(&[n], &links())).collect();
    let text = serde_json::to_string_pretty(&contexts).unwrap() + "\n";
    if std::env::var_os("WSPROBE_ACCEPT").is_some() {
        std::fs::write(SAMPLES, &text).unwrap();
    }
    let recorded = std::fs::read_to_string(SAMPLES).unwrap();
    assert_eq!(recorded, text, "WSPROBE_ACCEPT=1 cargo test --test it templates:: writes {SAMPLES} anew");
}

#[test]
fn the_context_is_the_standard_body_and_the_words_of_our_messages() {
    let (links, n) = (links(), fired());
    let context = context::of(&[&n, &resolved()], &links);
    let body: Value = serde_json::from_str(&webhook::body(&n, &links).unwrap()).unwrap();
    for (key, value) in body.as_object().unwrap() {
        assert_eq!(&context[key], value, "{key}");
    }
    assert_eq!(context["title"], "staging is down: upgrade_redirected");
    assert_eq!(context["sign"], "🔴");
    assert_eq!(context["links"]["target"], "https://wsprobe.example.com/#staging");
    assert_eq!(context["alerts"][0]["data"], context["data"]);
    assert_eq!(context["alerts"][1]["title"], "staging is up again after 12m 33s");
    assert_eq!(context["alerts"].as_array().unwrap().len(), 2);
}

fn template(source: &str, content_type: &str) -> Body {
    Body::Template(std::sync::Arc::new(BodyTemplate::new(Secret::inline(source), content_type)))
}

/// What a receiver with this body gets for an alert, and the type it is said to have.
async fn received(body: Body, n: wsprobe::notify::Notification) -> (String, String) {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    let mut delivery = Delivery::start(&[webhook_with("hook", &server.uri(), body)]);
    delivery.submit("hook", n);
    assert_eq!(delivery.next().await, Event::Sent("hook".into()));
    let requests = server.received_requests().await.unwrap();
    let content_type = requests[0].headers["content-type"].to_str().unwrap().to_owned();
    (String::from_utf8(requests[0].body.clone()).unwrap(), content_type)
}

#[tokio::test]
async fn a_template_makes_the_body_and_its_type() {
    let json_body = template(r#"{"chat": 42, "text": {{ sign ~ " " ~ title }}}"#, "application/json");
    let (body, content_type) = received(json_body, fired()).await;
    assert_eq!(
        serde_json::from_str::<Value>(&body).unwrap(),
        json!({"chat": 42, "text": "🔴 staging is down: upgrade_redirected"})
    );
    assert_eq!(content_type, "application/json");
    let (body, content_type) = received(template("{{ title }}", "text/plain; charset=utf-8"), fired()).await;
    assert_eq!((body.as_str(), content_type.as_str()), ("staging is down: upgrade_redirected", "text/plain; charset=utf-8"));
}

#[tokio::test]
async fn what_a_peer_says_can_not_break_out_of_a_json_body() {
    let body = template(r#"{"detail": {{ data.outcome.detail }}, "admin": false}"#, "application/json");
    let (body, _) = received(body, hostile()).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["admin"], false);
    assert!(body["detail"].as_str().unwrap().contains("{{ 7*7 }}"));
}

#[tokio::test]
async fn an_alert_is_never_lost_to_a_template_that_fails() {
    let (log, _guard) = Log::capture();
    for source in
        ["{{ data.outcome.nothing.here }}", "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}", "{"]
    {
        let (body, content_type) = received(template(source, "application/json"), fired()).await;
        assert_eq!(body, webhook::body(&fired(), &links()).unwrap());
        assert_eq!(content_type, "application/json");
    }
    assert_eq!(log.text().matches("the template of a webhook failed").count(), 3, "{}", log.text());
}

/// What is wrong with a configuration whose webhook has this besides its URL.
fn mistake(entries: &str) -> String {
    let text = format!(
        "targets: [{{name: a, url: \"wss://h/\"}}]\nreceivers:\n  - name: hook\n    webhook:\n      url: https://h/\n{entries}"
    );
    config::parse(&text, Path::new("monitors.yaml"), &|_| None).map_or_else(|report| report.to_string(), |_| String::new())
}

#[test]
fn a_mistake_in_a_template_is_found_before_the_first_outage() {
    let table = [
        ("      template: '{\"text\": {{ titel }}}'\n", "undefined value"),
        ("      template: '{\"text\": \"{{ title }}\"}'\n", "leave out the quotes around it"),
        ("      template: '{\"text\": {{ title }'\n", "syntax error"),
        (
            "      template: '{\"status\": {{ data.outcome.http.status }}}'\n",
            "`data.outcome.http` is undefined, for a sample event of kind",
        ),
        ("      template: '{\"status\": {{ data.outcome.http.status }}}'\n", "docs/receivers.md lists what there is"),
        ("      preset: discord\n      template: x\n", "exclude each other"),
        ("      preset: mattermost\n", "discord"),
        ("      content_type: text/plain\n", "needs `template`"),
    ];
    for (entries, expected) in table {
        let said = mistake(entries);
        assert!(said.contains(expected), "{entries}\n{said}");
    }
    let good = "      content_type: text/plain\n      template: |\n        {{ title }}{% if data.outcome %}\n        {{ data.outcome.reason }}{% endif %}\n";
    assert_eq!(mistake(good), "");
    for preset in ["discord", "teams"] {
        assert_eq!(mistake(&format!("      preset: {preset}\n")), "");
    }
}
