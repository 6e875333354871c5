//! `wsprobe gate`: it watches after a deploy, fails at once when too much fails, and says so in a code a pipeline can act on.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tokio::time::Instant;
use wsprobe::endpoint::{Control, Endpoint, Options};

use crate::reports::read_junit;
use crate::support::daemon::PATIENCE;
use crate::support::front::{Answer, Front, page, redirect};
use crate::support::process::{Running, configured, run};
use crate::support::stage::{Act::Hold, Gate, Peer};

async fn endpoint() -> (String, Control) {
    let endpoint = Endpoint::bind(Options::default()).await.expect("endpoint");
    let (url, control) = (endpoint.url(), endpoint.control());
    tokio::spawn(endpoint.run(tokio_util::sync::CancellationToken::new()));
    (url, control)
}

/// A front that answers its n-th probe like this; what is asked beside one is answered otherwise, and not counted.
async fn front(nth: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Front {
    let upgrades = std::sync::atomic::AtomicUsize::new(0);
    Front::answering(move |head| match head.is_upgrade() && head.path() == "/ws/health/" {
        true => nth(upgrades.fetch_add(1, std::sync::atomic::Ordering::Relaxed)),
        false => page("404 Not Found", ""),
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn it_passes_when_the_time_is_over_and_says_what_it_saw() {
    let (url, _) = endpoint().await;
    let began = Instant::now();
    let gate = run(&["gate", "--url", &url, "--for", "1500ms", "--interval", "200ms", "--output", "json"]).await;
    assert_eq!(gate.code, Some(0), "{}{}", gate.stdout, gate.stderr);
    assert!(began.elapsed() >= Duration::from_millis(1500), "it watches to the end");
    let report: Value = serde_json::from_str(&gate.stdout).expect("JSON");
    let target = &report["targets"][0];
    assert_eq!((&report["result"], &report["failures"], &report["max_failures"]), (&"passed".into(), &0.into(), &0.into()));
    // one at once, and one every 200 ms
    let probes = report["probes"].as_u64().expect("a number");
    assert!((3..=9).contains(&probes) && target["probes"] == probes, "{report:#}");
    assert!(target["latency"]["p50"].as_f64() <= target["latency"]["p95"].as_f64(), "{report:#}");
    assert_eq!((&target["reasons"], &target["outcomes"]), (&serde_json::json!({}), &serde_json::json!([])));
    assert_eq!(gate.stderr, "watching 1 target\n");
    let documented = std::fs::read_to_string("docs/outcome.md").expect("docs/outcome.md");
    let keys = report.as_object().into_iter().chain(target.as_object()).flat_map(|object| object.keys());
    let missing: Vec<_> = keys.filter(|key| !documented.contains(&format!("`{key}`"))).collect();
    assert!(missing.is_empty(), "docs/outcome.md names each key, but not {missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_that_breaks_fails_at_once_and_is_explained() {
    let (url, control) = endpoint().await;
    let mut gate = Running::start(&["gate", "--url", &url, "--for", "20m", "--interval", "100ms"]);
    assert_eq!(gate.stderr.line().await, "watching 1 target");
    control.set(wsprobe::endpoint::Faults::parse("redirect-301").expect("a fault"));
    let failure = gate.stderr.line().await;
    assert!(failure.contains(": failed upgrade_redirected: 301 Moved Permanently to https://"), "{failure}");
    assert_eq!(gate.code(PATIENCE).await, Some(1));
    let said = gate.stdout.rest().await;
    assert!(said.starts_with("✘ gate failed after ") && said.contains(" failed, at most 0 may\n"), "{said}");
    for part in ["upgrade_redirected in phase upgrade", "    fix      ", "    runbook  "] {
        assert!(said.contains(part), "{part} is missing in\n{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_failures_as_allowed_are_let_pass_and_still_told() {
    let gate = async |allowed: &str| {
        let front = front(|n| if n == 1 || n == 2 { redirect("/there/") } else { Answer::Healthy }).await;
        run(&["gate", "--url", &front.url(), "--for", "1500ms", "--interval", "100ms", "--max-failures", allowed]).await
    };
    let (strict, lenient) = (gate("1").await, gate("2").await);
    assert_eq!((strict.code, lenient.code), (Some(1), Some(0)), "{}{}", strict.stdout, lenient.stdout);
    assert!(strict.stdout.contains("2 of 3 probes failed, at most 1 may"), "{}", strict.stdout);
    assert!(
        lenient.stdout.starts_with("✔ gate passed after ") && lenient.stdout.contains(", at most 2 may\n"),
        "{}",
        lenient.stdout
    );
    assert!(lenient.stdout.contains("(upgrade_redirected 2), p50 "), "{}", lenient.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_all_targets_count_together_and_the_report_blames_the_right_one() {
    let (good, _) = endpoint().await;
    let bad = front(|_| redirect("/there/")).await;
    let (_folder, file) = configured(&format!(
        "defaults: {{interval: 300ms}}\ntargets: [{{name: good, url: '{good}'}}, {{name: bad, url: '{}'}}]\n",
        bad.url()
    ));
    let gate = async |format: &str| run(&["gate", "-c", &file, "--for", "10m", "--max-failures", "2", "--output", format]).await;
    let junit = gate("junit").await;
    assert_eq!(junit.code, Some(1), "{}{}", junit.stdout, junit.stderr);
    let report = read_junit(&junit.stdout).await;
    assert_eq!(report[0]["suite"], "wsprobe gate");
    let [good, bad] = report[0]["cases"].as_array().expect("cases").as_slice() else { panic!("{report:#}") };
    assert_eq!((&good["result"], &bad["result"]["type"]), (&Value::Null, &"upgrade_redirected".into()), "{report:#}");
    assert!(bad["out"].as_str().is_some_and(|out| out.contains("3 of 3 probes failed") && out.contains("fix ")), "{bad:#}");
    let github = gate("github").await;
    assert!(github.stdout.starts_with("::error title=wsprobe%3A bad failed::upgrade_redirected "), "{}", github.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prober_that_is_offline_lets_nothing_pass_and_blames_nobody() {
    let (hung, witness) = (Peer::plays(vec![Hold]).await, Gate::shut().await);
    let (_folder, file) = configured(&format!(
        "targets: [{{name: prod, url: '{}', timeout: 200ms, interval: 300ms}}]\nconnectivity: {{witnesses: ['tcp://{}']}}\n",
        hung.url(),
        witness.addr
    ));
    let gate = run(&["gate", "-c", &file, "--for", "1s"]).await;
    assert_eq!(gate.code, Some(3), "{}{}", gate.stdout, gate.stderr);
    assert!(
        gate.stdout.starts_with("? gate inconclusive after ") && gate.stdout.contains("too little is known of prod"),
        "{}",
        gate.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_is_interrupted_says_what_it_saw_and_neither_yes_nor_no() {
    let (url, _) = endpoint().await;
    for (signal, code, name) in [(Signal::INT, 130, "Ctrl-C"), (Signal::TERM, 143, "SIGTERM")] {
        let mut gate = Running::start(&["gate", "--url", &url, "--for", "20m", "--interval", "100ms"]);
        gate.stderr.until("watching").await;
        gate.signal(signal);
        assert_eq!(gate.code(PATIENCE).await, Some(code));
        let said = gate.stdout.rest().await;
        assert!(said.starts_with(&format!("? gate interrupted by {name} after ")) && said.contains("none of "), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_never_probed_beside_itself_and_the_last_probe_is_finished() {
    let slow = front(|_| Answer::Silence).await;
    let gate = run(&[
        "gate",
        "--url",
        &slow.url(),
        "--for",
        "1s",
        "--interval",
        "100ms",
        "--timeout",
        "700ms",
        "--max-failures",
        "9",
        "--output",
        "json",
    ])
    .await;
    assert_eq!(gate.code, Some(0), "{}", gate.stdout);
    let report: Value = serde_json::from_str(&gate.stdout).expect("JSON");
    assert_eq!((&report["probes"], &report["failures"], slow.counted().0), (&2.into(), &2.into(), 2), "{report:#}");
    assert_eq!(report["targets"][0]["outcomes"][0]["reason"], "upgrade_timeout");
}

#[tokio::test]
async fn usage_errors_exit_with_2_and_name_the_remedy() {
    for (args, said) in [
        (vec!["gate", "--url", "ws://h/"], "--for"),
        (vec!["gate", "--url", "ws://h/", "--for", "0s"], "more than 0"),
        (vec!["gate", "--url", "ws://h/", "--for", "2d"], "`wsprobe run` watches for longer"),
        (vec!["gate", "--url", "ws://h/", "--for", "1m", "--interval", "1ms"], "at least 100ms"),
        (vec!["gate", "--url", "ws://h/", "--for", "1m", "--interval", "1m"], "use `wsprobe check`"),
        (vec!["gate", "--url", "ws://h/", "--for", "20s"], "h is probed every 30s, so there would be one probe in 20s"),
        (vec!["gate", "prod", "-c", "/nonexistent.yaml", "--for", "1m"], "/nonexistent.yaml"),
    ] {
        let ran = run(&args).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{args:?} should say {said}: {}", ran.stderr);
    }
}
