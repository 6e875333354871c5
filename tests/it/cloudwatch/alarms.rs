//! The alarms of examples/cloudwatch, and the page about them: what a reader copies and runs.

use serde_json::Value;

use super::*;
use crate::support::docs::blocks;
use crate::support::process::{ran, shell};

const TEMPLATE: &str = "examples/cloudwatch/alarms.yaml";

/// The alarms of the template for this target: by name, what they see and whether they would go off.
async fn alarms(moto: &Moto, target: &str, more: &[&str]) -> Value {
    let mut tool = Command::new(python());
    tool.args(["tests/tools/read_alarms.py", TEMPLATE, &moto.base, &format!("Target={target}"), "Email=a@b.example"]).args(more);
    let output = tool.output().await.expect("read_alarms");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The alarms that would go off, in the order of their names.
fn ringing(alarms: &Value) -> Vec<&str> {
    let alarms = alarms.as_object().expect("alarms").iter();
    let mut names: Vec<&str> = alarms.filter(|(_, said)| said["breaching"] == true).map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn each_alarm_sees_the_numbers_that_are_sent_and_rings_for_its_own_kind_of_failure() {
    let moto = Moto::start().await;
    let settings = format!("{{region: eu-west-1, endpoint_url: '{}', every: 1s}}", moto.base);
    let keys = [("AWS_ACCESS_KEY_ID", "AKIDTEST"), ("AWS_SECRET_ACCESS_KEY", SECRET)];
    let all = ["ConnectionFailures", "HealthFailures", "NotWatched", "Redirects"];
    assert_eq!(ringing(&alarms(&moto, "prod", &[]).await), all, "nothing was ever sent");

    for (fault, expected) in [
        ("", None),
        ("redirect-301", Some(("Redirects", "upgrade_redirected"))),
        ("down", Some(("ConnectionFailures", "connect_refused"))),
        ("abnormal-close", Some(("HealthFailures", "close_abnormal"))),
    ] {
        moto.forget().await;
        let (url, control) = endpoint().await;
        if !fault.is_empty() {
            control.set(Faults::parse(fault).expect("fault"));
        }
        let prober = Prober::start(&url, &settings, &keys).await;
        match expected {
            None => prober.until("wsprobe_probes_total{target=\"prod\"}", 3.0).await,
            Some((_, reason)) => {
                prober.until(&format!("wsprobe_probe_failures_total{{target=\"prod\",reason=\"{reason}\"}}"), 3.0).await
            }
        };
        prober.stop().await; // the last period is sent at the end
        let alarms = alarms(&moto, "prod", &[]).await;
        assert_eq!(ringing(&alarms), expected.map(|(alarm, _)| alarm).into_iter().collect::<Vec<_>>(), "{fault}: {alarms}");
        let seen =
            alarms.as_object().expect("alarms").values().all(|said| !said["values"].as_array().expect("values").is_empty());
        assert!(seen, "each alarm has numbers: {alarms}");
    }
    assert_eq!(ringing(&alarms(&moto, "another", &[]).await), all, "a target that nobody watches");
    let held = alarms(&moto, "prod", &["SignOfLife=PingRoundTrip"]).await;
    assert_eq!(ringing(&held), ["HealthFailures", "NotWatched"], "without `hold` there are no pings");
}

#[tokio::test]
async fn the_template_is_valid_cloudformation_and_silence_is_an_alarm() {
    let lint = python().with_file_name("cfn-lint");
    let output = Command::new(lint).arg(TEMPLATE).output().await.expect("cfn-lint");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let alarms = std::fs::read_to_string(TEMPLATE).expect("alarms");
    let count = alarms.matches("Type: AWS::CloudWatch::Alarm").count();
    assert_eq!((count, alarms.matches("TreatMissingData: breaching").count()), (4, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_page_tells_a_reader_to_run_runs_and_what_it_shows_is_valid() {
    let moto = Moto::start().await;
    let aws = python().with_file_name("aws");
    assert!(aws.exists(), "{} is missing: run .ci/install (or `just setup`)", aws.display());
    let blocks = blocks("docs/cloudwatch.md");
    let of =
        |language: &str| blocks.iter().filter(|block| block.language == language).map(|block| &block.text).collect::<Vec<_>>();
    let commands: Vec<&str> =
        of("console").into_iter().flat_map(|text| text.lines()).filter_map(|line| line.strip_prefix("$ ")).collect();
    assert_eq!(commands.len(), 2, "{commands:?}");
    for command in commands {
        let bin = aws.parent().expect("a folder").display();
        let mut shell = shell(&format!("PATH={bin}:$PATH {command}"));
        shell.env("AWS_ENDPOINT_URL", &moto.base).env("AWS_DEFAULT_REGION", "eu-west-1");
        let ran = ran(shell.env("AWS_ACCESS_KEY_ID", "x").env("AWS_SECRET_ACCESS_KEY", "y")).await;
        assert_eq!(ran.code, Some(0), "{command}\n{}{}", ran.stdout, ran.stderr);
    }
    let topics = moto.ask("boto3.client('sns', **aws).list_topics()['Topics']").await;
    assert!(topics.to_string().contains("wsprobe-prod-Topic"), "the stack is there: {topics}");

    let snippets = of("yaml");
    assert!(snippets.len() >= 2);
    for yaml in snippets {
        let (_folder, file) = configured(&format!("targets: [{{name: prod, url: 'ws://prod/'}}]\n{yaml}"));
        let checked = crate::support::process::run(&["validate", &file]).await;
        assert_eq!(checked.code, Some(0), "{yaml}{}{}", checked.stdout, checked.stderr);
    }
    for json in of("json") {
        serde_json::from_str::<Value>(json).expect("JSON");
    }
}
