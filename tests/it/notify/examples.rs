//! docs/receivers.md: every example in it works as it stands.

use std::collections::BTreeSet;

use wsprobe::config;

#[test]
fn every_receiver_has_an_example_and_every_example_is_valid() {
    let page = std::fs::read_to_string("docs/receivers.md").unwrap();
    let examples: Vec<&str> = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    for name in ["slack-webhook-url", "discord-webhook-url", "teams-workflow-url", "telegram-url"] {
        write(name, "https://hooks.example.com/secret");
    }
    write("signing-secret", "a text of enough characters");
    write("body.txt", "{{ summary }}\n{{ links.target }}");
    write("alertmanager-password", "p");
    write("pagerduty-key", "0123456789abcdef0123456789abcdef");
    let text = format!("targets: [{{name: prod, url: 'wss://h/'}}]\nreceivers:\n{}", examples.concat());
    let config =
        config::parse(&text, &folder.path().join("monitors.yaml"), &|_| None).unwrap_or_else(|report| panic!("{report}"));
    let shown: BTreeSet<&str> = config.receivers.iter().map(|receiver| super::secrets::kind_and_body(&receiver.kind)).collect();
    assert_eq!(shown, BTreeSet::from(super::secrets::KINDS));
}
